"""Serving HTTP in a process that ends in an order of its own."""

import asyncio
import contextlib
from collections.abc import Generator

import uvicorn


class Server(uvicorn.Server):
    """One that leaves the process's signals to the process. Left to itself it takes them, and when it has ended it has
    them kill the process: whatever should be closed after it would not be."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Does not."""
        yield


async def serve_until(stop: asyncio.Event, config: uvicorn.Config) -> None:
    """Serves until told to stop, then answers what it has begun. Exits where it cannot begin, an address that is taken
    say."""
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = True
        stopping.cancel()
        await serving
