"""Waiting in a workflow."""

from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow

SPREAD = 0.25
"""Of a wait: up to so much is added by chance."""


async def wait_until(condition: Callable[[], bool], at_most: timedelta | None, what: str) -> bool:
    """Whether `condition` came true in time. `what` names the timer in the Temporal UI."""
    try:
        await workflow.wait_condition(condition, timeout=at_most, timeout_summary=what)
    except TimeoutError:
        return False
    return True


def spread(wait: timedelta) -> timedelta:
    """Answers are lost by the hundred when Iterable stumbles: those who ask come back at different moments."""
    return wait * (1 + SPREAD * workflow.random().random())
