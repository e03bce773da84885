"""The end of the process: a grace for all workers together, not for one after another."""

import asyncio
from types import TracebackType
from typing import Any, Self, cast

import pytest
from structlog.testing import capture_logs
from temporalio.worker import Worker

import worker
from runtime.settings import Settings
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
    async with asyncio.timeout(60), at_work([cast("Worker", Busy(told)) for _ in range(3)]):
        pass


async def test_why_temporal_is_away_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = asyncio.Event()

    async def refuse(*_: object, **__: object) -> None:
        stop.set()
        raise RuntimeError("Failed client connect: PermissionDenied, authorization: Bearer abcdefghijkl " + "x" * 5000)

    monkeypatch.setattr(worker, "connect", refuse)
    with capture_logs() as lines:
        await worker._connected(Settings(), cast("Any", None), cast("Any", None), [], stop)
    [line] = lines
    assert line["event"] == "worker.temporal_away"
    assert "PermissionDenied" in line["reason"]
    assert "abcdefghijkl" not in line["reason"]
    assert len(line["reason"]) < 400
