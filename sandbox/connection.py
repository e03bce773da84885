"""The connection below a request: cutting it, or leaving it hanging, as a network does.

Without one (a test that calls the application through `httpx.ASGITransport`) the exception is raised that httpx would
raise over a network.
"""

import asyncio
import contextlib
import socket
import struct

import httpx
from starlette.requests import Request
from starlette.responses import Response

# A client that waits longer than this has no timeout of its own.
LONGEST_HANG_SECONDS = 600.0


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
    # An answer given after uvicorn learnt of the loss goes nowhere, quietly.
    while (await request.receive())["type"] != "http.disconnect":
        pass
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


def give_up(request: Request) -> Response | None:
    """Cuts the connection of a request that uvicorn cancelled because it shuts down.

    None where there is no connection: then it was the caller that cancelled, and that must reach it.
    """
    transport = _transport(request)
    if transport is None:
        return None
    transport.abort()
    return Response(status_code=503)


def _transport(request: Request) -> asyncio.Transport | None:
    """uvicorn hides the transport from the application; the object that `receive` is a method of knows it.

    So it works however uvicorn serves the application, with either of its HTTP implementations.
    """
    cycle = getattr(request.receive, "__self__", None)
    transport = getattr(cycle, "transport", None)
    return transport if hasattr(transport, "abort") else None
