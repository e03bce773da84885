"""What the endpoint is measured against, served as it is served: `python -m bench.servers nothing|signalling PORT`."""

import asyncio
import sys
from typing import Any

import orjson
import uvicorn
from starlette.types import Receive, Scope, Send
from temporalio.client import Client

from contracts.names import inbox_workflow_id
from endpoint.__main__ import SERVER
from runtime.process import run, spare_the_collector
from runtime.temporal import connect

_KEPT: dict[str, Any] = {"type": "http.response.start", "status": 204, "headers": []}
_NO_BODY: dict[str, Any] = {"type": "http.response.body", "body": b""}


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers 204."""
    del receive
    if scope["type"] == "http":
        await send(_KEPT)
        await send(_NO_BODY)


class Signalling:
    """Passes each event on as one signal-with-start, and answers when the server has it."""

    def __init__(self, temporal: Client) -> None:
        self._temporal = temporal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        message = await receive()
        await self._temporal.start_workflow(
            "Signalled",
            id=inbox_workflow_id("signalled", 0),
            task_queue="nobody",
            start_signal="event",
            start_signal_args=[orjson.loads(message["body"])],
        )
        await send(_KEPT)
        await send(_NO_BODY)


async def _main() -> None:
    which, port = sys.argv[1], int(sys.argv[2])
    spare_the_collector()
    app = nothing if which == "nothing" else Signalling(await connect())
    config = uvicorn.Config(app, host="127.0.0.1", port=port, lifespan="off", **SERVER)
    await asyncio.shield(uvicorn.Server(config).serve())


if __name__ == "__main__":
    run(_main(), fast=True)
