"""How the run of a send ends, with activities that answer as they are told: the story and nothing else."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from activities.beating import to_the_end
from contracts.connector import ConnectorSettings
from contracts.errors import ErrorCode
from contracts.event import Event, EventKind
from contracts.send import Recipient, SendRequest, SendResult, SendStatus
from contracts.target import (
    FindOutcomeRequest,
    FingerprintRequest,
    FoundOutcome,
    PreparedSend,
    SendEnding,
    TargetEnd,
    TargetOutcome,
    TargetRequest,
    TemplateBody,
)
from tests.stage import TEMPLATE, Stage, known_content
from workflows.send import SendWorkflow

pytestmark = pytest.mark.scenario

TAKEN = TargetOutcome(end=TargetEnd.TAKEN, accepted_at=datetime(2026, 1, 1, tzinfo=UTC))
LOST = TargetOutcome(end=TargetEnd.UNKNOWN)
Answer = TargetOutcome | ApplicationError


@dataclass
class World:
    """What `target_recipient` and `find_outcome` answer, one after another; the last answer stands."""

    attempts: list[Answer] = field(default_factory=lambda: [TAKEN])
    looks: list[FoundOutcome | ApplicationError] = field(default_factory=lambda: [FoundOutcome(verdict="unknown")])
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    excused: list[int] = field(default_factory=list[int])
    """What each attempt was told to leave out of account."""
    ended: list[SendEnding] = field(default_factory=list[SendEnding])
    times_looked: int = 0
    targeting: asyncio.Event = field(default_factory=asyncio.Event)
    looked: asyncio.Event = field(default_factory=asyncio.Event)
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared, it keeps an attempt under way."""

    def __post_init__(self) -> None:
        self.answers.set()

    @activity.defn
    async def fingerprint_template(self, request: FingerprintRequest, body: TemplateBody | None = None) -> PreparedSend:
        del body
        settings = ConnectorSettings.model_validate(
            {
                "data_center": "us",
                "confirm_within_seconds": 0,
                "settle_for_seconds": 0,
                "evidence_every_seconds": 1,
                "reconcile_within_seconds": 0,
                **self.settings,
            }
        )
        return known_content(settings, request.send.stream)

    @activity.defn
    async def target_recipient(self, request: TargetRequest) -> TargetOutcome:
        self.excused.append(request.excused)
        self.targeting.set()
        await to_the_end(self.answers.wait())
        return self._next(self.attempts)

    @activity.defn
    async def find_outcome(self, request: FindOutcomeRequest) -> FoundOutcome:
        del request
        self.looked.set()
        self.times_looked += 1
        return self._next(self.looks)

    @activity.defn
    async def look_for_events(self, request: FindOutcomeRequest) -> int:
        del request
        return 0

    @activity.defn
    async def close_send(self, ending: SendEnding) -> None:
        self.ended.append(ending)

    def _next(self, answers: list[Any]) -> Any:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, ApplicationError):
            raise answer
        return answer


@asynccontextmanager
async def sending(stage: Stage, world: World, stream: str = "marketing") -> AsyncGenerator[WorkflowHandle[Any, Any]]:
    queue = f"ends-{uuid.uuid4().hex}"
    activities = [
        world.fingerprint_template,
        world.target_recipient,
        world.find_outcome,
        world.look_for_events,
        world.close_send,
    ]
    request = SendRequest.model_validate(
        {
            "workspace_id": "acme",
            "send_id": "snd_1",
            "stream": stream,
            "template": TEMPLATE,
            "recipient": Recipient(email="ann@example.com"),
        }
    )
    async with Worker(stage.client, task_queue=queue, workflows=[SendWorkflow], activities=activities):
        yield await stage.client.start_workflow(
            SendWorkflow.run, request, id=queue, task_queue=queue, result_type=SendResult
        )


async def code(handle: WorkflowHandle[Any, Any]) -> tuple[str | None, str]:
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    return cause.type, cause.message


def refused(kind: ErrorCode, *, final: bool = True) -> ApplicationError:
    return ApplicationError("refused", type=kind, non_retryable=final)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (LOST, SendStatus.CANCELLED),
        (refused(ErrorCode.RATE_LIMITED, final=False), SendStatus.CANCELLED),
        (TargetOutcome(end=TargetEnd.RECIPIENT_UNKNOWN), SendStatus.CANCELLED),
        (TAKEN, SendStatus.UNCONFIRMED),
    ],
)
async def test_after_a_cancellation_in_the_temporal_ui_nothing_new_is_attempted(
    the_stage: Stage, answer: Answer, status: SendStatus
) -> None:
    world = World([answer, TAKEN], [FoundOutcome(verdict="not_taken")], {"profile_policy": "on_unknown"})
    world.answers.clear()
    async with sending(the_stage, world) as handle:
        await world.targeting.wait()
        await handle.cancel()
        await asyncio.sleep(0.2)
        world.answers.set()
        assert (await handle.result()).status is status
    assert (len(world.excused), [one.status for one in world.ended]) == (1, [status])


async def test_news_bring_one_look_for_evidence_and_not_an_endless_row_of_them(the_stage: Stage) -> None:
    opened = Event(event_id="e" * 64, kind=EventKind.OPENED, occurred_at=datetime(2026, 1, 1, tzinfo=UTC))
    world = World([LOST], settings={"reconcile_within_seconds": 600, "evidence_every_seconds": 300})
    async with sending(the_stage, world) as handle:
        await world.looked.wait()
        await asyncio.sleep(0.5)  # by now it waits for the next look
        for _ in range(2):
            await handle.signal("events", [opened])
            await asyncio.sleep(1)
        assert world.times_looked == 2
        await handle.terminate()


async def test_an_attempt_whose_answer_nobody_could_write_down_is_looked_into(the_stage: Stage) -> None:
    fault = ApplicationError("the database is away", type="OperationalError", non_retryable=True)
    world = World([fault], [FoundOutcome(verdict="taken", accepted_at=TAKEN.accepted_at)])
    async with sending(the_stage, world) as handle:
        result = await handle.result()
    assert (result.status, result.accepted_at) == (SendStatus.UNCONFIRMED, TAKEN.accepted_at)


async def test_a_cancelled_send_that_nobody_can_be_asked_about_ends_as_unknown(the_stage: Stage) -> None:
    world = World([LOST], [FoundOutcome(verdict="unknown"), refused(ErrorCode.CONNECTOR_DISABLED)])
    world.settings = {"reconcile_within_seconds": 60, "evidence_every_seconds": 60}
    async with sending(the_stage, world) as handle:
        await world.looked.wait()
        await asyncio.sleep(0.2)  # by now it waits for the next look
        await handle.cancel()
        kind, message = await code(handle)
    assert kind == ErrorCode.OUTCOME_UNKNOWN
    assert ErrorCode.CONNECTOR_DISABLED in message
    assert [one.reason for one in world.ended] == [ErrorCode.OUTCOME_UNKNOWN]


async def test_attempts_that_stay_unanswered_end_when_the_send_has_waited_for_as_long_as_it_may(
    the_stage: Stage,
) -> None:
    world = World([LOST], [FoundOutcome(verdict="unknown"), FoundOutcome(verdict="not_taken")])
    world.settings = {"give_up_after_seconds": 2, "reconcile_within_seconds": 60}
    async with sending(the_stage, world) as handle:
        assert (await asyncio.wait_for(code(handle), 60))[0] == ErrorCode.PROVIDER_UNAVAILABLE
    assert len(world.excused) > 1


async def test_a_refusal_does_not_deny_an_earlier_attempt_that_may_be_out(the_stage: Stage) -> None:
    world = World([LOST, refused(ErrorCode.RECIPIENT_INVALID)], [FoundOutcome(verdict="unknown", attempts=1)])
    async with sending(the_stage, world, "transactional") as handle:
        kind, message = await code(handle)
    assert (kind, world.excused) == (ErrorCode.OUTCOME_UNKNOWN, [0, 1])
    assert ErrorCode.RECIPIENT_INVALID in message
