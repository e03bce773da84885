"""Heartbeats for activities that mostly wait."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from temporalio import activity

T = TypeVar("T")

BEAT_SECONDS = 5.0
"""Work that is done sooner costs no heartbeat at all. Heartbeat timeouts in `workflows/` are a few of these."""


async def beating(work: Awaitable[T], *, to_the_end: bool = False) -> T:
    """Heartbeats while something is awaited, so that a worker that died is noticed in seconds, and a cancellation
    arrives. It cancels the work; or, with `to_the_end`, the work is finished all the same and its result counts."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            try:
                await asyncio.wait({task}, timeout=BEAT_SECONDS)
            except asyncio.CancelledError:
                if not to_the_end:
                    raise
            if not task.done():
                activity.heartbeat()
        return task.result()
    finally:
        task.cancel()
