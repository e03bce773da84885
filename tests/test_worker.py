"""The end of the process: a grace for all workers together, not for one after another."""

import asyncio
from types import TracebackType
from typing import Self, cast

from temporalio.worker import Worker

from worker import at_work


class Busy:
    """A worker whose activities need until all have been told to stop."""

    def __init__(self, told: asyncio.Barrier) -> None:
        self._told = told
        self._done = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.shutdown()

    async def shutdown(self) -> None:
        if not self._done:
            await self._told.wait()
            self._done = True


async def test_all_are_shut_down_at_once() -> None:
    told = asyncio.Barrier(3)
    async with asyncio.timeout(5), at_work([cast("Worker", Busy(told)) for _ in range(3)]):
        pass
