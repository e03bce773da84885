"""Turns: how an activity keeps to the pace that all workers share."""

import asyncio
from datetime import timedelta

from temporalio.exceptions import ApplicationError

from contracts.errors import ErrorCode
from store.store import Store

_LOOK_UPS_PER_SECOND = 50.0
"""Of the events of one user. Iterable allows 100/s for a project; somebody else may be asking too."""


async def look_up_turn(store: Store, workspace_id: str, longest: timedelta) -> None:
    """As `take_turn`, for `events/{email}` and what is as quick."""
    await take_turn(store, workspace_id, "events", _LOOK_UPS_PER_SECOND, longest)


async def take_turn(store: Store, workspace_id: str, operation: str, per_second: float, longest: timedelta) -> None:
    """Waits for a turn that is near; sends the activity back for one farther than `longest`, so that it holds no
    slot: raises `ApplicationError` (`rate_limited`, with the wait as its next retry delay)."""
    async with store.begin() as tx:
        wait, reserved = await tx.paces.reserve(workspace_id, operation, per_second, longest)
    if not reserved:
        raise ApplicationError("Waits for its turn to ask Iterable", type=ErrorCode.RATE_LIMITED, next_retry_delay=wait)
    await asyncio.sleep(wait.total_seconds())
