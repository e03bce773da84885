"""What a log line of an activity says, and what it never says."""

import dataclasses
import io
import json
import logging
from collections.abc import Iterator

import httpx
import pytest
import structlog
from pydantic import SecretStr
from temporalio.common import MetricMeter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from contracts.names import parts_of
from iterable.client import IterableClient
from runtime.logging import configure_logging
from runtime.metrics import WorkerMetrics
from runtime.observing import Observing

REQUEST_ID = "0a1b2c3d-0000-4000-8000-0123456789ab"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What a process would have logged."""
    stream, before = io.StringIO(), logging.getLogger().handlers
    configure_logging(stream=stream)
    yield stream
    logging.getLogger().handlers = before
    structlog.reset_defaults()


class _Activity(ActivityInboundInterceptor):
    """An activity that asks Iterable about somebody, and fails naming them, as a library might."""

    def __init__(self) -> None:
        """Nothing follows."""

    async def execute_activity(self, input: ExecuteActivityInput) -> None:  # noqa: A002
        def answer(request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, json={"events": []}, headers={"Iterable-Request-Id": REQUEST_ID})

        async with IterableClient(
            data_center="us", api_key=SecretStr("the-secret-key"), transport=httpx.MockTransport(answer)
        ) as iterable:
            await iterable.events.for_user(email="ann@example.com")
        error = ValueError("no mailbox ann@example.com, Api-Key: the-secret-key")
        structlog.get_logger().error("something.failed", who="ann@example.com", exc_info=error)
        raise ApplicationError("later", type="rate_limited")


async def _run(workflow_id: str) -> None:
    environment = ActivityEnvironment()
    about = ActivityEnvironment.default_info()
    environment.info = dataclasses.replace(about, workflow_id=workflow_id, activity_type="find_outcome")
    observed = Observing(WorkerMetrics(MetricMeter.noop)).intercept_activity(_Activity())
    given = ExecuteActivityInput(fn=_run, args=(), executor=None, headers={})
    with pytest.raises(ApplicationError):
        await environment.run(observed.execute_activity, given)


async def test_lines_name_workspace_send_run_activity_attempt_and_iterables_request(lines: io.StringIO) -> None:
    await _run("iterable/acme/send/snd_1")
    call, failed = (json.loads(line) for line in lines.getvalue().splitlines())
    about = {
        "workspace": "acme",
        "send": "snd_1",
        "workflow": "iterable/acme/send/snd_1",
        "activity": "find_outcome",
        "attempt": 1,
    }
    assert about.items() <= call.items()
    assert about.items() <= failed.items()
    assert call["event"] == "iterable.call"
    assert call["request_id"] == REQUEST_ID
    assert structlog.contextvars.get_contextvars() == {}, "the next activity starts afresh"


async def test_lines_name_no_address_and_no_key(lines: io.StringIO) -> None:
    await _run("iterable/acme/send/snd_1")
    assert "something.failed" in lines.getvalue()
    assert "ann" not in lines.getvalue()
    assert "the-secret-key" not in lines.getvalue()


def test_what_a_workflow_id_says() -> None:
    assert parts_of("iterable/acme") == {"workspace": "acme"}
    assert parts_of("iterable/acme/inbox/3") == {"workspace": "acme"}
    assert parts_of("iterable/acme/send/a/b") == {"workspace": "acme", "send": "a/b"}
    assert parts_of("another") == {}


async def test_a_page_that_ends_in_trouble_counts_the_attempts_that_it_made(monkeypatch: pytest.MonkeyPatch) -> None:
    class Page(ActivityInboundInterceptor):
        def __init__(self) -> None:
            """Nothing follows."""

        async def execute_activity(self, input: ExecuteActivityInput) -> None:  # noqa: A002
            raise ApplicationError("away", {"unknown": 7, "taken": 2}, type="provider_unavailable")

    counted: dict[str, int] = {}
    metrics = WorkerMetrics(MetricMeter.noop)
    monkeypatch.setattr(metrics, "attempt", lambda end, count=1: counted.update({end: count}))
    environment = ActivityEnvironment()
    environment.info = dataclasses.replace(ActivityEnvironment.default_info(), activity_type="target_audience")
    given = ExecuteActivityInput(fn=_run, args=(), executor=None, headers={})
    with pytest.raises(ApplicationError):
        await environment.run(Observing(metrics).intercept_activity(Page()).execute_activity, given)
    assert counted == {"unknown": 7, "taken": 2}
