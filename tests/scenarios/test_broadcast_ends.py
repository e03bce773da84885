"""How the run of a broadcast ends, with activities that answer as they are told: the story and nothing else."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.beating import to_the_end
from contracts.broadcast import BroadcastProgress, BroadcastRequest, BroadcastStatus, Tally
from contracts.broadcasting import (
    BroadcastName,
    LaneReport,
    LaneRequest,
    OpenBroadcast,
    OpenedBroadcast,
    Standing,
    Steering,
)
from contracts.connector import ConnectorSettings
from contracts.shadow import Shadow, ShadowWanted
from contracts.target import FingerprintRequest, PreparedSend, TemplateBody
from tests.stage import TEMPLATE, Stage, known_content
from workflows import broadcast, failures
from workflows.broadcast import LONGEST_LOOK, BroadcastWorkflow

pytestmark = pytest.mark.scenario

END = LaneReport(stop="end", tally=Tally(taken=1))
_TIMER = "timer_started_event_attributes"
REQUEST = BroadcastRequest.model_validate(
    {
        "workspace_id": "acme",
        "broadcast_id": "brc_1",
        "template": TEMPLATE,
        "audience": {"recipients": [{"recipient": {"email": "ann@example.com"}}]},
    }
)
SETTINGS = ConnectorSettings(data_center="us", marketing_message_type_id=1)


@dataclass
class World:
    """What the pages of both lanes report, one after another; the last report stands."""

    pages: list[LaneReport] = field(default_factory=lambda: [END])
    looks: list[LaneReport] = field(default_factory=lambda: [END])
    looked: int = 0
    renewed: int = 0
    steered: list[str | None] = field(default_factory=list[str | None])
    shown: list[BroadcastStatus] = field(default_factory=list[BroadcastStatus])
    closed: list[Standing] = field(default_factory=list[Standing])
    opening: asyncio.Event = field(default_factory=asyncio.Event)
    opens: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared, it keeps `open_broadcast` waiting."""
    looking: asyncio.Event = field(default_factory=asyncio.Event)
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared, it keeps `look_after_held` waiting."""
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    closes: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared, it keeps `close_broadcast` waiting."""
    has_campaign: bool = True
    """Otherwise it never comes to be."""
    retried: int = 0
    ended_as: BroadcastStatus | None = None
    has_template: bool = True

    def __post_init__(self) -> None:
        self.opens.set()
        self.answers.set()
        self.closes.set()

    @activity.defn
    async def open_broadcast(self, request: OpenBroadcast) -> OpenedBroadcast:
        self.opening.set()
        await to_the_end(self.opens.wait())
        asked = request.request
        return OpenedBroadcast(
            stream=asked.stream, template_ref="a" * 64, send_at=None, expires_at=None, ended_as=self.ended_as
        )

    @activity.defn
    async def fingerprint_template(self, request: FingerprintRequest, body: TemplateBody | None = None) -> PreparedSend:
        del body
        if not self.has_template:
            raise ApplicationError("it is gone", type="template_unknown", non_retryable=True)
        known = known_content(SETTINGS, request.send.stream)
        return known if self.has_campaign else known.model_copy(update={"shadow": None})

    @activity.defn
    async def target_audience(self, request: LaneRequest) -> LaneReport:
        del request
        return _next(self.pages)

    @activity.defn
    async def look_after_held(self, request: LaneRequest) -> LaneReport:
        del request
        report = _next(self.looks)
        self.looking.set()
        await self.answers.wait()
        self.looked += 1
        return report

    @activity.defn
    async def ensure_shadow(self, wanted: ShadowWanted) -> Shadow:
        self.renewed += 1
        if wanted.gone is None:
            await asyncio.Event().wait()
            raise RuntimeError
        return wanted.gone

    @activity.defn
    async def retry_failed(self, name: BroadcastName) -> int:
        del name
        self.retried += 1
        return 0

    @activity.defn
    async def steer_broadcast(self, steering: Steering) -> None:
        self.steered.append(steering.wanted)

    @activity.defn
    async def show_broadcast(self, standing: Standing) -> None:
        self.shown.append(standing.status)

    @activity.defn
    async def close_broadcast(self, standing: Standing) -> Tally:
        self.closing.set()
        await self.closes.wait()
        self.closed.append(standing)
        return Tally(taken=1)


def _next(reports: list[LaneReport]) -> LaneReport:
    return reports.pop(0) if len(reports) > 1 else reports[0]


@asynccontextmanager
async def working(stage: Stage, world: World) -> AsyncGenerator[str]:
    """Workers; the name of their queue."""
    queue = f"ends-{uuid.uuid4().hex}"
    activities = [
        world.open_broadcast,
        world.fingerprint_template,
        world.target_audience,
        world.look_after_held,
        world.steer_broadcast,
        world.show_broadcast,
        world.close_broadcast,
        world.retry_failed,
    ]
    runner = UnsandboxedWorkflowRunner()
    async with (
        Worker(
            stage.client,
            task_queue=queue,
            workflows=[BroadcastWorkflow],
            activities=activities,
            workflow_runner=runner,
        ),
        Worker(stage.client, task_queue=f"{queue}-broadcast", activities=activities),
        Worker(stage.client, task_queue=f"{queue}-shadow", activities=[world.ensure_shadow]),
    ):
        yield queue


@asynccontextmanager
async def broadcasting(stage: Stage, world: World) -> AsyncGenerator[WorkflowHandle[Any, BroadcastProgress]]:
    async with working(stage, world) as queue:
        yield await stage.client.start_workflow(
            "BroadcastWorkflow", REQUEST, id=queue, task_queue=queue, result_type=BroadcastProgress
        )


async def progress(handle: WorkflowHandle[Any, BroadcastProgress]) -> BroadcastProgress:
    return await handle.query("progress", result_type=BroadcastProgress)


async def test_one_that_is_cancelled_while_it_is_opened_is_closed(the_stage: Stage) -> None:
    world = World()
    world.opens.clear()
    async with broadcasting(the_stage, world) as handle:
        await world.opening.wait()
        await handle.cancel()
        while not await _has_noticed(handle):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert not world.closing.is_set()  # before it is opened, there is nothing to close
        world.opens.set()
        assert (await handle.result()).status is BroadcastStatus.CANCELLED
    assert [standing.status for standing in world.closed] == [BroadcastStatus.CANCELLED]


async def _has_noticed(handle: WorkflowHandle[Any, Any]) -> bool:
    """Whether the run has dealt with the request to cancel it."""
    kinds = [event.event_type for event in (await handle.fetch_history()).events]
    asked = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED
    return asked in kinds and EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED in kinds[kinds.index(asked) :]


async def test_cancel_does_not_wait_for_an_audience_that_nobody_hands_out(the_stage: Stage) -> None:
    world = World()
    world.opens.clear()
    async with broadcasting(the_stage, world) as handle:
        await world.opening.wait()
        await handle.execute_update("cancel")
        world.opens.set()
        assert (await handle.result()).status is BroadcastStatus.CANCELLED
    assert (world.looked, world.renewed) == (0, 0)


async def test_cancel_does_not_wait_for_a_campaign_and_other_updates_not_for_long(
    the_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "STEERING_PATIENCE", timedelta(milliseconds=100))
    world = World(has_campaign=False)
    async with broadcasting(the_stage, world) as handle:
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update("pause")
        await handle.execute_update("cancel")
        assert (await handle.result()).status is BroadcastStatus.CANCELLED
    assert [standing.status for standing in world.closed] == [BroadcastStatus.CANCELLED]


async def test_one_that_is_being_closed_is_not_paused_any_more(the_stage: Stage) -> None:
    world = World()
    world.closes.clear()
    async with broadcasting(the_stage, world) as handle:
        await world.closing.wait()
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update("pause")
        world.closes.set()
        assert (await handle.result()).status is BroadcastStatus.COMPLETED
    assert BroadcastStatus.PAUSED not in world.shown


async def test_one_retry_of_a_broadcast_that_ended_is_one_and_it_ends_as_it_did(the_stage: Stage) -> None:
    world = World(ended_as=BroadcastStatus.CANCELLED)
    again = BroadcastRequest(workspace_id="acme", broadcast_id="brc_1", again=True)
    async with working(the_stage, world) as queue:
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            "BroadcastWorkflow", again, id=queue, task_queue=queue, id_conflict_policy=WorkflowIDConflictPolicy.FAIL
        )
        await the_stage.client.execute_update_with_start_workflow(  # pyright: ignore[reportUnknownMemberType]
            "retry", start_workflow_operation=start
        )
        await (await start.workflow_handle()).result()
    assert world.retried == 1
    assert [standing.status for standing in world.closed] == [BroadcastStatus.CANCELLED]


async def test_one_that_is_taken_up_and_cannot_be_prepared_stays_as_it_stood(the_stage: Stage) -> None:
    world = World(has_template=False)
    resumed = BroadcastRequest(workspace_id="acme", broadcast_id="brc_1", resume=True)
    async with working(the_stage, world) as queue:
        with pytest.raises(WorkflowFailureError) as caught:
            await the_stage.client.execute_workflow("BroadcastWorkflow", resumed, id=queue, task_queue=queue)
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == "template_unknown"
    assert world.closed == []


async def test_a_bad_carried_fails_the_run(the_stage: Stage) -> None:
    bad = BroadcastRequest(workspace_id="acme", broadcast_id="brc_1", carried={"x": 1})
    async with working(the_stage, World()) as queue:
        with pytest.raises(WorkflowFailureError) as caught:
            await the_stage.client.execute_workflow("BroadcastWorkflow", bad, id=queue, task_queue=queue)
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == "request_invalid"


async def test_one_that_just_fits_its_start_is_refused_and_not_stuck(
    the_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "LARGEST_START", 100)
    world = World()
    async with broadcasting(the_stage, world) as handle:
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == "template_too_large"
    assert not world.opening.is_set()


async def test_one_that_is_stuck_is_paused_until_somebody_has_it_go_on(the_stage: Stage) -> None:
    stuck = LaneReport(stop="stuck", reason="api_key_invalid", tally=Tally(waiting=1))
    world = World(pages=[stuck, END])
    async with broadcasting(the_stage, world) as handle:
        while BroadcastStatus.PAUSED not in world.shown:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert world.steered == ["pause"]
        stands = await progress(handle)
        assert (stands.status, stands.reason) == (BroadcastStatus.PAUSED, "api_key_invalid")
        assert world.pages == [END]  # no page runs meanwhile
        await handle.execute_update("resume")
        assert (await handle.result()).status is BroadcastStatus.COMPLETED
    assert world.steered == ["pause", "go"]


async def test_one_whose_campaign_runs_and_takes_nobody_is_paused_after_one_renewal(the_stage: Stage) -> None:
    gone = LaneReport(stop="campaign_gone", tally=Tally(), ended={"not_taken": 1})
    some = gone.model_copy(update={"ended": {"taken": 1, "not_taken": 1}})
    world = World(pages=[gone, some, gone, gone, END])
    async with broadcasting(the_stage, world) as handle:
        while BroadcastStatus.PAUSED not in world.shown:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert (await progress(handle)).reason == "provider_rejected"
        assert (world.renewed, world.pages) == (2, [gone, END])
        await handle.execute_update("resume")
        assert (await handle.result()).status is BroadcastStatus.COMPLETED
    assert world.renewed == 3


async def test_while_it_is_paused_rows_that_wait_cost_a_look_now_and_then(the_stage: Stage) -> None:
    stuck = LaneReport(stop="stuck", reason="api_key_invalid", tally=Tally(waiting=1), held=1)
    paused = LaneReport(stop="paused", tally=Tally(waiting=1), held=1)
    world = World(pages=[stuck], looks=[paused])
    async with broadcasting(the_stage, world) as handle:
        while not (waits := await _timers(handle)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert set(waits) == {LONGEST_LOOK}
        await handle.execute_update("cancel")
        assert (await handle.result()).status is BroadcastStatus.CANCELLED


async def _timers(handle: WorkflowHandle[Any, Any]) -> list[timedelta]:
    events = (await handle.fetch_history()).events
    started = (event.timer_started_event_attributes for event in events if event.HasField(_TIMER))
    return [one.start_to_fire_timeout.ToTimedelta() for one in started]


async def test_rows_that_still_wait_when_it_expires_do_not_keep_it_open(the_stage: Stage) -> None:
    waits = LaneReport(stop="expired", tally=Tally(waiting=1), held=1)
    world = World(pages=[END.model_copy(update={"held": 1})], looks=[waits])
    async with broadcasting(the_stage, world) as handle:
        assert (await handle.result()).status is BroadcastStatus.EXPIRED
    assert world.steered == ["cancel"]
    assert [standing.status for standing in world.closed] == [BroadcastStatus.EXPIRED]


async def test_none_is_closed_on_a_report_that_is_older_than_the_last_page_of_its_audience(the_stage: Stage) -> None:
    one_held = LaneReport(stop="page", tally=Tally(waiting=1), held=1)
    none_held = LaneReport(stop="end", tally=Tally())  # as of before the last page
    world = World(pages=[one_held, END], looks=[none_held, END])
    world.answers.clear()
    async with broadcasting(the_stage, world) as handle:
        await world.looking.wait()
        while (await progress(handle)).tally != END.tally:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        world.answers.set()
        assert (await handle.result()).status is BroadcastStatus.COMPLETED
    assert world.looked == 2


async def test_a_run_that_continues_looks_again_where_its_last_look_was_too_early(
    the_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_held = LaneReport(stop="page", tally=Tally(waiting=1), held=1)
    none_held = LaneReport(stop="end", tally=Tally())
    world = World(pages=[one_held, END], looks=[none_held, END])
    world.answers.clear()
    async with broadcasting(the_stage, world) as handle:
        await world.looking.wait()
        while (await progress(handle)).tally != END.tally:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        so_far = len((await handle.fetch_history()).events)
        monkeypatch.setattr(broadcast, "MOST_EVENTS", so_far)  # the look ends behind it, and the next run before it
        world.answers.set()
        assert (await handle.result()).status is BroadcastStatus.COMPLETED
    assert world.looked == 2
