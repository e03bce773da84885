"""What happens to events after they came in: over a real server, with a sandbox that delivers badly."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from temporalio import activity
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.forgetting import forget
from activities.signing import new_secret
from activities.waking import wake_inboxes
from cli.sending import start_send
from contracts.backfill import BackfillPlan, BackfillRequest, BackfillResult, ExportWindow
from contracts.connector import ConnectorStatus
from contracts.errors import ErrorCode
from contracts.event import EventKind, TimelinePage
from contracts.names import BACKFILL_WORKFLOW, backfill_schedule_id, connector_workflow_id
from contracts.send import SendRequest, SendResult, SendStatus
from endpoint.tokens import HEADER
from iterable.webhook_event import EMAIL_EVENTS
from store.person import Person
from store.tables import event, send
from tests.stage import Project, Stage, served
from workflows.backfill import BackfillWorkflow

pytestmark = pytest.mark.scenario


async def start(project: Project, request: SendRequest) -> WorkflowHandle[Any, SendResult]:
    return await start_send(project.stage.client, project.stage.settings.task_queue, request)


async def outcome(project: Project, request: SendRequest) -> SendResult:
    return await (await start(project, request)).result()


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 90) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def post(project: Project, payload: Any) -> httpx.Response:
    return await project.stage.endpoint_http.post(
        f"/webhooks/iterable/{project.workspace_id}", json=payload, headers={HEADER: project.webhook_token}
    )


async def timeline(project: Project, **query: Any) -> TimelinePage:
    answer = await project.stage.endpoint_http.get(
        f"/v1/workspaces/{project.workspace_id}/timeline",
        params=query,
        headers={"Authorization": "Bearer admin-token"},
    )
    return TimelinePage.model_validate_json(answer.raise_for_status().content)


async def status_of(project: Project, send_id: str) -> SendStatus | None:
    async with project.stage.store.read() as tx:
        row = await tx.sends.get(project.workspace_id, send_id)
    return row.status if row else None


async def test_webhooks_twice_and_in_any_order_tell_the_story_once(project: Project) -> None:
    await project.deliver(duplicate=0.7, reorder=True, event_delay_seconds=0.3, seed=7)
    requests = [project.request(f"open-click+{n}@example.com") for n in range(12)]
    handles = await asyncio.gather(*(start(project, request) for request in requests))
    await asyncio.gather(*(handle.result() for handle in handles))

    async def complete() -> bool:
        return len((await timeline(project, limit=1000)).entries) >= 36

    await until(complete)
    page = await timeline(project, limit=1000)
    cursors = [entry.cursor for entry in page.entries]
    assert cursors == sorted(set(cursors))
    by_send: dict[str, list[EventKind]] = {}
    for entry in sorted(page.entries, key=lambda entry: entry.event.occurred_at):
        by_send.setdefault(entry.send_id or "", []).append(entry.event.kind)
    assert {send: sorted(kinds) for send, kinds in by_send.items()} == {
        request.send_id: ["clicked", "opened", "sent"] for request in requests
    }


async def test_a_page_goes_on_where_the_last_one_ended(project: Project) -> None:
    await outcome(project, project.request("open-click@example.com"))

    async def three() -> bool:
        return len((await timeline(project)).entries) == 3

    await until(three)
    seen: list[int] = []
    after = 0
    while (page := await timeline(project, after=after, limit=1)).entries:
        seen.append(page.entries[0].cursor)
        after = page.next_cursor
    assert seen == [entry.cursor for entry in (await timeline(project)).entries]


async def test_a_skip_comes_with_advice(project: Project) -> None:
    await outcome(project, project.request("skip-invalidsender@example.com"))
    (entry,) = (await timeline(project)).entries
    assert entry.skip_class == "fix_content"
    assert entry.advice


async def test_a_send_whose_webhooks_are_lost_asks_iterable_before_it_is_unconfirmed(the_stage: Stage) -> None:
    project = await the_stage.new_project(settings={"confirm_within_seconds": 2})
    await project.deliver(drop=1.0)
    result = await outcome(project, project.request("hard-bounce@example.com"))
    assert (result.status, result.reason) == (SendStatus.BOUNCED, "HardBounce")
    async with the_stage.store.read() as tx:
        row = await tx.connectors.get(project.workspace_id)
    assert row is not None
    assert row.state == "awaiting_webhook"  # what we read ourselves does not prove that webhooks work


async def test_a_back_fill_finds_what_webhooks_lost_and_nothing_twice(the_stage: Stage) -> None:
    project = await the_stage.new_project(settings={"confirm_within_seconds": 300})
    await project.change(rate_limits={"GET /api/export/data.json": None})
    first = await outcome(project, project.request("plain@example.com"))
    assert first.status is SendStatus.SENT
    await project.deliver(drop=1.0)
    lost = await start(project, project.request("plain+lost@example.com"))
    await until(lambda: _has_messages(project, 2))
    await asyncio.sleep(0.5)  # until exports show it

    async def read() -> BackfillResult:
        return await the_stage.client.execute_workflow(
            BACKFILL_WORKFLOW,
            BackfillRequest(
                workspace_id=project.workspace_id,
                since=datetime.now(UTC) - timedelta(hours=1),
                until=datetime.now(UTC) + timedelta(minutes=1),
                event_names=["emailSend"],
            ),
            id=f"{backfill_schedule_id(project.workspace_id)}/test",
            task_queue=the_stage.settings.task_queue,
            result_type=BackfillResult,
        )

    assert await read() == BackfillResult(read=2, found=1)
    assert (await lost.result()).status is SendStatus.SENT
    assert await read() == BackfillResult(read=2, found=0)


async def test_a_long_back_fill_counts_what_all_of_its_runs_read(the_stage: Stage) -> None:
    @activity.defn(name="read_export")
    async def read_export(window: ExportWindow) -> BackfillResult:
        del window
        return BackfillResult(read=2, found=1)

    queue = f"export-{uuid.uuid4().hex}"
    since = datetime(2026, 1, 1, tzinfo=UTC)
    async with Worker(the_stage.client, task_queue=queue, workflows=[BackfillWorkflow], activities=[read_export]):
        done = await the_stage.client.execute_workflow(
            BACKFILL_WORKFLOW,
            BackfillRequest(
                workspace_id="acme", since=since, until=since + timedelta(days=35), event_names=["emailSend"]
            ),
            id=queue,
            task_queue=queue,
            result_type=BackfillResult,
        )
    assert done == BackfillResult(read=70, found=35)


async def test_a_kind_that_cannot_be_read_holds_up_no_other_and_nothing_is_noted(the_stage: Stage) -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    read: list[tuple[str, int]] = []
    noted: list[BackfillPlan] = []

    @activity.defn(name="plan_backfill")
    async def plan_backfill(workspace_id: str) -> BackfillPlan:
        return BackfillPlan(workspace_id=workspace_id, since=since, until=since + timedelta(days=3))

    @activity.defn(name="read_export")
    async def read_export(window: ExportWindow) -> BackfillResult:
        day = (window.since - since).days
        read.append((window.event_name, day))
        if window.event_name == "emailComplaint" and day == 1:
            raise ApplicationError("no", type=ErrorCode.PROVIDER_REJECTED, non_retryable=True)
        return BackfillResult(read=1, found=1)

    @activity.defn(name="finish_backfill")
    async def finish_backfill(done: BackfillPlan) -> None:
        noted.append(done)

    queue = f"export-{uuid.uuid4().hex}"
    activities = [plan_backfill, read_export, finish_backfill]
    async with Worker(the_stage.client, task_queue=queue, workflows=[BackfillWorkflow], activities=activities):
        with pytest.raises(WorkflowFailureError) as failed:
            await the_stage.client.execute_workflow(
                BACKFILL_WORKFLOW,
                BackfillRequest(workspace_id="acme"),
                id=queue,
                task_queue=queue,
                result_type=BackfillResult,
            )
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == ErrorCode.PROVIDER_REJECTED
    assert [name for name, day in read if day == 0] == [
        "emailSend",
        "emailSendSkip",
        "emailBounce",
        "emailComplaint",
        "emailSubscribe",
        "emailUnSubscribe",
        "emailOpen",
        "emailClick",
        "hostedUnsubscribeClick",
    ]
    assert [name for name, day in read if day == 1] == list(EMAIL_EVENTS)
    assert [name for name, day in read if day == 2] == [name for name in EMAIL_EVENTS if name != "emailComplaint"]
    assert [one.since for one in noted] == [since]


async def _has_messages(project: Project, count: int) -> bool:
    return (await project.counts())["messages"] == count


async def test_the_back_fill_is_scheduled_with_the_installation_and_ends_with_it(project: Project) -> None:
    client = project.stage.client
    schedule = client.get_schedule_handle(backfill_schedule_id(project.workspace_id))
    assert (await schedule.describe()).schedule.spec.intervals[0].every == timedelta(hours=1)
    await client.get_workflow_handle(connector_workflow_id(project.workspace_id)).execute_update(
        "uninstall", result_type=ConnectorStatus
    )
    with pytest.raises(RPCError):
        await schedule.describe()


async def test_an_event_that_cannot_be_read_is_set_aside_and_can_be_replayed(project: Project) -> None:
    stage = project.stage
    bad: list[dict[str, Any]] = [
        {"eventName": "emailOpen", "dataFields": {}},
        {"eventName": "emailTeleported", "dataFields": {"createdAt": "2026-01-02 18:51:40 +00:00"}},
        {"eventName": "emailOpen", "dataFields": {"createdAt": "yesterday"}},
    ]
    assert (await post(project, bad)).status_code == 204
    await outcome(project, project.request("plain@example.com"))  # nothing is held up

    async def problems() -> list[str]:
        async with stage.store.read() as tx:
            return [one.reason for one in await tx.inbox.problems(project.workspace_id, 10)]

    async def all_aside() -> bool:
        return len(await problems()) == 3

    await until(all_aside)
    assert sorted(await problems()) == [
        "dataFields.createdAt is not a time",
        "no dataFields.createdAt",
        "unknown event emailTeleported",
    ]
    async with stage.store.begin() as tx:
        shards = await tx.inbox.replay(project.workspace_id, None)
    assert len(shards) == 3
    await wake_inboxes(stage.client, stage.settings.task_queue, project.workspace_id, shards)
    await until(all_aside)


async def test_events_of_other_campaigns_stay_visible_as_unmatched(project: Project) -> None:
    foreign = {
        "eventName": "emailOpen",
        "email": "ann@example.com",
        "dataFields": {"createdAt": "2026-01-02 18:51:40 +00:00", "campaignId": 1, "messageId": "m1"},
    }
    assert (await post(project, foreign)).status_code == 204

    async def unmatched() -> bool:
        async with project.stage.store.read() as tx:
            return [one.message_id for one in await tx.events.unmatched(project.workspace_id, 10)] == ["m1"]

    await until(unmatched)
    assert (await timeline(project)).entries == []


async def test_who_is_forgotten_is_nowhere_and_gets_nothing_more(project: Project) -> None:
    stage = project.stage
    request = project.request("open-click+gone@example.com")
    await outcome(project, request)
    done = await forget(
        stage.store,
        project.workspace_id,
        Person.all_of(stage.store.hasher, "Open-Click+gone@Example.com", None),
        source="admin",
    )
    assert (done.events >= 1, done.sends) == (True, 1)
    second = await outcome(project, project.request("open-click+gone@example.com"))
    assert second.status is SendStatus.SUPPRESSED
    assert await status_of(project, request.send_id) is SendStatus.SENT
    late = {
        "eventName": "emailComplaint",
        "email": "open-click+gone@example.com",
        "dataFields": {"createdAt": "2026-01-02 18:51:40 +00:00", "campaignId": 1, "messageId": "late"},
    }
    await post(project, late)

    async def kept() -> bool:
        async with stage.store.read() as tx:
            return any(one.message_id == "late" for one in await tx.events.unmatched(project.workspace_id, 10))

    await until(kept)
    person = stage.store.hasher.of_email("open-click+gone@example.com")
    async with stage.store._engine.connect() as connection:
        rows = (await connection.execute(select(event).where(event.c.workspace_id == project.workspace_id))).all()
        sent_to = await connection.scalar(select(send.c.recipient_hash).where(send.c.send_id == request.send_id))
    assert len(rows) >= 2
    for row in rows:
        body = stage.keyring.open(row.body, f"event.body.{project.workspace_id}/{row.event_id}")
        assert b"gone@example.com" not in body.lower()
        assert person not in {row.recipient_hash, row.user_hash}
    assert sent_to != person


async def test_the_feed_is_pushed_and_a_failure_is_made_good(project: Project) -> None:
    stage = project.stage
    got: list[dict[str, Any]] = []
    answers = [503]

    async def hook(request: Request) -> Response:
        status = answers.pop() if answers else 204
        if status == 204:
            got.append(await request.json())
        return Response(status_code=status, headers={"Retry-After": "1"})

    async with served(Starlette(routes=[Route("/hook", hook, methods=["POST"])])) as url:
        async with stage.store.begin() as tx:
            await tx.pushes.set_receiver(project.workspace_id, f"{url}/hook", new_secret(), 0)
        request = project.request("open-click@example.com")
        await outcome(project, request)

        async def all_there() -> bool:
            return len([entry for body in got for entry in body["data"]]) == 3

        await until(all_there)
    entries = [entry for body in got for entry in body["data"]]
    assert [entry["cursor"] for entry in entries] == [1, 2, 3]
    assert {entry["send_id"] for entry in entries} == {request.send_id}
