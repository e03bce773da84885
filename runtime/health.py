"""`/healthz`: the process lives. `/readyz`: what it depends on answers."""

import socket
from asyncio import create_task
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import uvicorn
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from temporalio.client import Client
from temporalio.service import RPCError

from runtime.serving import Server
from store.store import Store

_PATIENCE = timedelta(seconds=2)

Check = Callable[[], Awaitable[bool]]


class Health:
    """Asks at every request; remembers nothing."""

    def __init__(self, **parts: Check) -> None:
        self._parts = parts

    def needs(self, **parts: Check) -> None:
        """Adds parts without which the process is not ready."""
        self._parts.update(parts)

    async def alive(self, request: Request) -> Response:
        """`GET /healthz`."""
        del request
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """`GET /readyz`: 503 naming what does not answer."""
        del request
        answers = {name: "ok" if await check() else "does not answer" for name, check in self._parts.items()}
        return JSONResponse(answers, status_code=200 if set(answers.values()) == {"ok"} else 503)

    def routes(self) -> list[Route]:
        """Both."""
        return [Route("/healthz", self.alive), Route("/readyz", self.ready)]


def database(store: Store) -> Check:
    """Whether the database answers."""

    async def answers() -> bool:
        try:
            await store.ping()
        except (SQLAlchemyError, OSError):
            return False
        return True

    return answers


def temporal(client: Client) -> Check:
    """Whether Temporal answers."""

    async def answers() -> bool:
        try:
            await client.service_client.check_health(timeout=_PATIENCE)
        except (RPCError, RuntimeError):  # RuntimeError: the first connection did not come about
            return False
        return True

    return answers


@asynccontextmanager
async def answering(health: Health, address: str) -> AsyncGenerator[int]:
    """Answers on `host:port` for as long as the block runs; its port. For a process that serves nothing else over HTTP.

    Raises `OSError` where the address is taken.
    """
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # It listens from here on: who asks before the server runs waits for it.
    listener = socket.create_server((host.strip("[]"), int(port)), family=family)
    app = Starlette(routes=health.routes())
    server = Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
    task = create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task
