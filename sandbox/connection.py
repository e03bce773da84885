"""The connection below a request: cutting it, or leaving it hanging, as a network does.

uvicorn hides the transport from the application; `SandboxProtocol` puts it into the scope. Without one (a test that
calls the application through `httpx.ASGITransport`) the exception is raised that httpx would raise over a network.
"""

import asyncio
import contextlib
import socket
import struct
from typing import cast

import httpx
from starlette.requests import Request
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_TRANSPORT = "sandbox.transport"
# A client that waits longer than this has no timeout of its own.
LONGEST_HANG_SECONDS = 600.0


class SandboxProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with the transport in the scope."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast("dict[str, object]", self.scope)[_TRANSPORT] = self.transport


async def reset(request: Request) -> Response:
    """Cuts the connection, so that the client sees a reset and not a polite end."""
    transport = _transport(request)
    if transport is None:
        raise httpx.ReadError("the sandbox cut the connection")
    peer: socket.socket = transport.get_extra_info("socket")
    # Lingering for zero seconds turns the close into a RST.
    with contextlib.suppress(OSError):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    # uvicorn learns of the loss in the next turn of the loop; an answer given after that goes nowhere, quietly.
    while not await request.is_disconnected():
        await asyncio.sleep(0)
    return Response(status_code=500)


async def hang(request: Request, seconds: float | None) -> Response:
    """Says nothing until the client gives up, or until `seconds` have passed; then cuts the connection."""
    if _transport(request) is None:
        raise httpx.ReadTimeout("the sandbox does not answer")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_HANG_SECONDS if seconds is None else seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass
            return Response(status_code=500)
    return await reset(request)


def _transport(request: Request) -> asyncio.Transport | None:
    return request.scope.get(_TRANSPORT)
