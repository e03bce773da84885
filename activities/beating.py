"""Heartbeats for every activity that has a heartbeat timeout, and work that a cancellation must not break off."""

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any, TypeVar

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

T = TypeVar("T")

BEAT_SECONDS = 5.0
"""Work that is done sooner costs no heartbeat at all. Heartbeat timeouts in `workflows/` are a few of these."""


class HeartbeatInterceptor(Interceptor):
    """Beats while an activity runs, so that a worker that died is noticed in seconds, and a cancellation arrives.

    A beat says that the process lives, not that the work goes on: for that there is the activity's timeout.
    """

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Temporal's hook."""
        return _Beating(next)


class _Beating(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        if activity.info().heartbeat_timeout is None:
            return await self.next.execute_activity(input)
        beat = asyncio.create_task(_beat())
        try:
            return await self.next.execute_activity(input)
        finally:
            beat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beat


async def _beat() -> None:
    while True:
        await asyncio.sleep(BEAT_SECONDS)
        activity.heartbeat()


async def to_the_end(work: Awaitable[T]) -> T:
    """Finishes the work although the activity is cancelled, or its worker shuts down: its result counts."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({task})
    return task.result()
