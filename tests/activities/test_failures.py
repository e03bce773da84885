"""What an error of the client means for a call that may be repeated."""

from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.common import RetryPolicy
from temporalio.testing import ActivityEnvironment

from activities.failures import provider_failure
from iterable.errors import IterableError, NoAnswer, NotConnected, RateLimited, ServerFault

POLICY = RetryPolicy(initial_interval=timedelta(seconds=2), maximum_interval=timedelta(minutes=2))


@pytest.mark.parametrize(
    ("error", "attempt", "least"),
    [
        (NotConnected("POST /x"), 1, 2),
        (NoAnswer("POST /x"), 3, 8),
        (ServerFault("POST /x", status=500), 40, 120),
        (RateLimited("POST /x", retry_after=7), 40, 7),
    ],
)
def test_those_whom_one_outage_stopped_come_back_at_different_moments(
    error: IterableError, attempt: int, least: float
) -> None:
    there = ActivityEnvironment()
    there.info = replace(there.info, attempt=attempt, retry_policy=POLICY)
    delays = [there.run(lambda: provider_failure(error).next_retry_delay) for _ in range(20)]
    seconds = [delay.total_seconds() for delay in delays if delay is not None]
    assert len(set(seconds)) == 20
    assert least <= min(seconds) <= max(seconds) <= 1.25 * least
