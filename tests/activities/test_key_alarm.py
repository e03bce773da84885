"""A refused key is told to the run that looks after the connector."""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.key_alarm import KeyAlarm
from contracts.broadcast import Tally
from contracts.broadcasting import LaneReport


def fails(code: str) -> Callable[[], Any]:
    def run() -> Any:
        raise ApplicationError("no", type=code)

    return run


def reports(reason: str | None) -> Callable[[], Any]:
    return lambda: LaneReport(stop="stuck", reason=reason, tally=Tally(), held=0, next_due=None)


class Activity(ActivityInboundInterceptor):
    def __init__(self, run: Callable[[], Any]) -> None:
        self._run = run

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        return self._run()


async def rung(run: Callable[[], Any], alarm: KeyAlarm, workflow_id: str = "iterable/acme/broadcast/brc_1") -> None:
    environment = ActivityEnvironment()
    environment.info = dataclasses.replace(ActivityEnvironment.default_info(), workflow_id=workflow_id)
    given = ExecuteActivityInput(fn=run, args=(), executor=None, headers={})
    with contextlib.suppress(ApplicationError):
        await environment.run(alarm.intercept_activity(Activity(run)).execute_activity, given)


@pytest.mark.parametrize(
    ("run", "signals"),
    [
        (fails("api_key_invalid"), 1),
        (fails("api_key_insufficient"), 1),
        (fails("rate_limited"), 0),
        (reports("api_key_invalid"), 1),
        (reports(None), 0),
    ],
)
async def test_who_meets_a_refused_key_rings_once(run: Callable[[], Any], signals: int) -> None:
    connector = mock.AsyncMock()
    temporal = mock.Mock(get_workflow_handle=mock.Mock(return_value=connector))
    alarm = KeyAlarm(temporal)
    await rung(run, alarm)
    await rung(run, alarm)  # not again for five minutes
    assert connector.signal.await_count == signals


async def test_the_connectors_own_run_does_not_call_itself() -> None:
    connector = mock.AsyncMock()
    alarm = KeyAlarm(mock.Mock(get_workflow_handle=mock.Mock(return_value=connector)))
    await rung(fails("api_key_invalid"), alarm, "iterable/acme")
    assert connector.signal.await_count == 0
