"""Who must not be sent to: told by Iterable, told to Iterable."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from sqlalchemy import select
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError

import activities.target
from cli.sending import start_send
from contracts.errors import ErrorCode
from contracts.names import SUPPRESSION_WORKFLOW, connector_workflow_id, suppression_workflow_id
from contracts.send import SendResult, SendStatus
from contracts.suppression import WORKSPACE, Cause, Scope, SyncProgress, SyncRequest
from store.person import Person
from store.suppressions import Report, Suppression
from store.tables import send
from tests.stage import PATIENT, Project, Stage

pytestmark = pytest.mark.scenario
T = TypeVar("T")


async def outcome(project: Project, email: str, **changes: Any) -> SendResult:
    stage = project.stage
    request = project.request(email, **changes)
    return await (await start_send(stage.client, stage.settings.task_queue, request)).result()


async def status(project: Project, email: str, stream: str) -> SendStatus:
    return (await outcome(project, email, stream=stream)).status


async def until(look: Callable[[], Awaitable[T]], good: Callable[[T], bool] = bool) -> T:
    """What a look gives once it is good; the test's own timeout ends a wait for nothing."""
    while not good(seen := await look()):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return seen


async def known(project: Project, email: str, *, lifted: bool = False) -> list[Suppression]:
    hash_ = project.stage.store.hasher.of_email(email)
    async with project.stage.store.read() as tx:
        return (await tx.suppressions.of(project.workspace_id, [hash_], lifted=lifted))[hash_]


async def tell(project: Project, kind: str, email: str, at: float | None = None, **fields: Any) -> None:
    """Has the sandbox report an event."""
    body = {"kind": kind, "email": email, "fields": fields, "at": at}
    path = f"/_sandbox/projects/{project.project_id}/events"
    (await project.stage.sandbox_http.post(path, json=body)).raise_for_status()


async def call(project: Project, path: str, **body: Any) -> dict[str, Any]:
    """Asks Iterable for something, as another program of the same project may."""
    headers = {"Api-Key": project.keys["server"]}
    answer = await project.stage.sandbox_http.post(f"/us{path}", json=body, headers=headers)
    return answer.raise_for_status().json()


async def channels(project: Project) -> dict[str, int]:
    path = f"/_sandbox/projects/{project.project_id}"
    shown = (await project.stage.sandbox_http.get(path)).raise_for_status().json()
    return {channel["name"].split()[0].lower(): channel["id"] for channel in shown["channels"]}


async def configure(project: Project, **settings: Any) -> None:
    handle = project.stage.client.get_workflow_handle(connector_workflow_id(project.workspace_id))
    async with project.stage.store.read() as tx:
        row = await tx.connectors.get(project.workspace_id)
    assert row is not None
    await handle.execute_update("configure", row.settings.model_copy(update=settings))
    await asyncio.sleep(2.1)  # a worker goes on with the old settings for so long


# ── what Iterable tells ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_unsubscribe_blocks_marketing_and_a_resubscribe_opens_it_again(project: Project) -> None:
    email = "unsubscribe@example.com"
    assert await status(project, email, "marketing") is SendStatus.SENT
    (entry,) = await until(lambda: known(project, email))
    assert (entry.cause, entry.reason) == (Cause.UNSUBSCRIBE, "EmailLink")
    assert await status(project, email, "marketing") is SendStatus.SUPPRESSED
    assert await status(project, email, "transactional") is SendStatus.SENT
    ids = await channels(project)
    later = datetime.now(UTC).timestamp() + 2
    await tell(project, "emailSubscribe", email, at=later, channelIds=[ids["marketing"]])
    await until(lambda: known(project, email), lambda found: entry.scope not in {one.scope for one in found})
    # Its link in the receipt was clicked too, and that channel is a transactional one.
    await until(lambda: known(project, email), lambda found: len(found) == 1)
    assert await status(project, email, "transactional") is SendStatus.SUPPRESSED
    assert await status(project, email, "marketing") is SendStatus.SKIPPED  # by Iterable, which only told of it


async def test_unsubscribing_from_text_messages_blocks_no_email(project: Project) -> None:
    ids = await channels(project)
    await tell(project, "emailUnSubscribe", "ann@example.com", unsubSource="SMS", channelIds=[ids["sms"]])
    await tell(project, "emailUnSubscribe", "ann@example.com", unsubSource="WebApp", emailListIds=[1])
    (entry,) = await until(lambda: known(project, "ann@example.com"))
    assert entry.scope == "list:1"
    assert await status(project, "ann@example.com", "marketing") is SendStatus.SENT


async def test_a_channel_that_is_newer_than_the_installation_is_looked_up(project: Project) -> None:
    stage = project.stage
    path = f"/_sandbox/projects/{project.project_id}/channels"
    spec = {"name": "Push", "message_medium": "Push"}
    fresh = (await stage.sandbox_http.post(path, json=spec)).raise_for_status().json()["id"]
    await tell(project, "emailUnSubscribe", "ann@example.com", unsubSource="WebApp", channelIds=[fresh])

    async def is_known() -> bool:
        async with stage.store.read() as tx:
            row = await tx.connectors.get(project.workspace_id)
        return row is not None and row.catalog.channel(fresh) is not None

    await until(is_known)
    assert await known(project, "ann@example.com") == []


@pytest.mark.parametrize(("blocks", "expected"), [(True, SendStatus.SUPPRESSED), (False, SendStatus.COMPLAINED)])
async def test_whether_a_complaint_blocks_receipts_is_a_setting(
    the_stage: Stage, blocks: bool, expected: SendStatus
) -> None:
    project = await the_stage.new_project(settings={"complaint_blocks_transactional": blocks, **PATIENT})
    assert await status(project, "complaint@example.com", "transactional") is SendStatus.COMPLAINED
    assert await status(project, "complaint@example.com", "marketing") is SendStatus.SUPPRESSED
    assert await status(project, "complaint@example.com", "transactional") is expected


async def test_who_is_suppressed_while_their_send_waits_gets_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activities.target, "_CHECK_HOLDS", timedelta(0))
    assert await status(project, "sent@example.com", "transactional") is SendStatus.SENT  # the campaign is there
    stage, email = project.stage, "waits@example.com"
    await project.fault("/api/email/target", "rate_limited", retry_after=1)
    request = project.request(email)
    handle = await start_send(stage.client, stage.settings.task_queue, request)

    async def is_tried() -> bool:
        async with stage.store.read() as tx:
            return bool(await tx.sends.attempts(project.workspace_id, request.send_id))

    await until(is_tried)
    await tell(project, "emailBounce", email, recipientState="HardBounce")
    await until(lambda: known(project, email))
    (await stage.sandbox_http.delete("/_sandbox/faults")).raise_for_status()
    result: SendResult = await handle.result()
    assert (result.status, result.reason) == (SendStatus.SUPPRESSED, ErrorCode.RECIPIENT_SUPPRESSED)
    assert [message["email"] for message in await project.outbox()] == ["sent@example.com"]
    async with stage.store.read() as tx:
        row = await tx.sends.get(project.workspace_id, request.send_id)
    assert row is not None
    assert row.status is SendStatus.SUPPRESSED


async def test_iterables_own_skip_is_a_result_and_suppresses_nothing(project: Project) -> None:
    email = "skip-SuppressedByMessageService@example.com"
    assert await status(project, email, "transactional") is SendStatus.SKIPPED
    # Tried again. That its skip is the second's, and not the first's, nothing in the older form of the event tells.
    assert await status(project, email, "transactional") in {SendStatus.SKIPPED, SendStatus.UNCONFIRMED}
    assert await known(project, email) == []


async def test_who_asked_to_be_forgotten_is_tried_once(project: Project) -> None:
    await call(project, "/api/users/forget", email="gone@example.com")
    with pytest.raises(WorkflowFailureError) as failed:
        await outcome(project, "gone@example.com")
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == ErrorCode.RECIPIENT_FORGOTTEN
    async with project.stage.store._engine.connect() as connection:  # erased, as `connector forget` does it
        sent_to = set(await connection.scalars(select(send.c.recipient_hash)))
    assert project.stage.store.hasher.of_email("gone@example.com") not in sent_to
    asked = (await project.counts())["requests"]["POST /api/email/target"]
    for stream in ("transactional", "marketing"):
        assert await status(project, "gone@example.com", stream) is SendStatus.SUPPRESSED
    assert (await project.counts())["requests"]["POST /api/email/target"] == asked
    page = await read_page(project)
    assert [(one["cause"], one["email"]) for one in page["entries"]] == [("forgotten", None)]


# ── what GenieOS reads ────────────────────────────────────────────────────────────────────────────────────────────────


async def read_page(project: Project, **query: Any) -> dict[str, Any]:
    answer = await project.stage.endpoint_http.get(
        f"/v1/workspaces/{project.workspace_id}/suppressions",
        params=query,
        headers={"Authorization": "Bearer admin-token"},
    )
    return answer.raise_for_status().json()


async def test_genieos_follows_suppressions_by_cursor(the_stage: Stage) -> None:
    project = await the_stage.new_project(settings=PATIENT)
    assert await read_page(project) == {"entries": [], "next_cursor": 0}
    assert await status(project, "hard-bounce@example.com", "transactional") is SendStatus.BOUNCED
    first = await read_page(project)
    bounce = next(one for one in first["entries"] if one["cause"] == "hard_bounce")
    assert (bounce["email"], bounce["blocks"], bounce["active"], bounce["reason"]) == (
        "hard-bounce@example.com",
        ["transactional", "marketing"],
        True,
        "HardBounce",
    )
    await drained(project, 1)  # Iterable unsubscribes who bounced: one report more of the same
    last = await read_page(project)
    assert [one["cause"] for one in last["entries"]] == ["hard_bounce"]
    assert (await read_page(project, after=last["next_cursor"]))["entries"] == []
    await suppress(project, "ann@example.com")
    (added,) = (await read_page(project, after=last["next_cursor"]))["entries"]
    async with project.stage.store.begin() as tx:
        await tx.suppressions.lift(project.workspace_id, added["recipient_hash"], [Cause.MANUAL])
    (lifted,) = (await read_page(project, after=added["cursor"]))["entries"]
    assert (lifted["active"], lifted["blocks"]) == (False, [])
    one_by_one = await read_page(project, limit=1)
    assert len(one_by_one["entries"]) == 1


@pytest.mark.parametrize("query", [{"after": "x"}, {"after": -1}, {"after": 10**20}, {"limit": 0}])
async def test_a_bad_cursor_is_a_400(project: Project, query: dict[str, Any]) -> None:
    path = f"/v1/workspaces/{project.workspace_id}/suppressions"
    headers = {"Authorization": "Bearer admin-token"}
    assert (await project.stage.endpoint_http.get(path, params=query, headers=headers)).status_code == 400
    assert (await project.stage.endpoint_http.get(path, params=query)).status_code == 401


# ── what Iterable is told ─────────────────────────────────────────────────────────────────────────────────────────────


async def suppress(project: Project, *emails: str, scope: Scope = WORKSPACE) -> None:
    now = datetime.now(UTC)
    people = [Person.by_email(project.stage.store.hasher, email) for email in emails]
    async with project.stage.store.begin() as tx:
        await tx.suppressions.record(
            project.workspace_id, [Report(one, Cause.MANUAL, scope, now, source="operator") for one in people]
        )


async def start_sync(project: Project) -> WorkflowHandle[Any, SyncProgress]:
    sync_id = uuid.uuid4().hex[:8]
    return await project.stage.client.start_workflow(
        SUPPRESSION_WORKFLOW,
        SyncRequest(workspace_id=project.workspace_id, sync_id=sync_id),
        id=suppression_workflow_id(project.workspace_id, sync_id),
        task_queue=project.stage.settings.task_queue,
        result_type=SyncProgress,
    )


async def synced(project: Project) -> SyncProgress:
    return await (await start_sync(project)).result()


async def all_list(project: Project, *emails: str, **settings: Any) -> int:
    """An all-list with these people on it, and the connector set up with it."""
    list_id: int = (await call(project, "/api/lists", name="Everybody"))["listId"]
    for start in range(0, len(emails), 1_000):
        people = [{"email": email} for email in emails[start : start + 1_000]]
        await call(project, "/api/lists/subscribe", listId=list_id, subscribers=people)
    await configure(project, all_list_id=list_id, **settings)
    return list_id


async def profile(project: Project, email: str) -> dict[str, Any]:
    answer = await project.stage.sandbox_http.get(
        "/us/api/users/getByEmail", params={"email": email}, headers={"Api-Key": project.keys["server"]}
    )
    return answer.raise_for_status().json()["user"]["dataFields"]


async def drained(project: Project, events: int) -> None:
    """So many subscription events have come and are read."""

    async def count() -> int:
        async with project.stage.store.read() as tx:
            joined = await tx.events.page(project.workspace_id, 0, 1_000)
            loose = await tx.events.unmatched(project.workspace_id, 1_000)
        kinds = [*(one.event.kind for one in joined), *(one.kind for one in loose)]
        return sum(kind in {"unsubscribed", "resubscribed"} for kind in kinds)

    await until(count, lambda seen: seen >= events)


async def test_ours_are_pushed_once_failures_are_kept_and_echoes_are_known(project: Project) -> None:
    people = ("ann@example.com", "bob@example.com")
    list_id = await all_list(project, *people)
    await drained(project, 2)
    await suppress(project, *people, "nobody@example.com")
    await suppress(project, "receipts@example.com", scope="transactional")
    done = await synced(project)
    assert (done.pushed, done.failed) == (2, {"not_found": 1})
    fields = await until(lambda: profile(project, "ann@example.com"), lambda f: list_id not in f["userListIds"])
    assert fields["unsubscribedChannelIds"] == [(await channels(project))["marketing"]]
    await drained(project, 4)
    assert [one.cause for one in await known(project, "ann@example.com")] == [Cause.MANUAL]
    (kept,) = await known(project, "nobody@example.com")
    assert (kept.push_state, kept.push_problem) == ("not_pushed", "not_found")
    again = await synced(project)
    assert (again.pushed, again.failed) == (0, {"not_found": 1})
    # What the person does then is no echo.
    await tell(
        project,
        "emailUnSubscribe",
        "ann@example.com",
        unsubSource="EmailLink",
        channelIds=[(await channels(project))["marketing"]],
    )
    await until(lambda: known(project, "ann@example.com"), lambda found: len(found) == 2)


@pytest.mark.parametrize("kind", ["error_after", "reset_after", "error_before", "rate_limited"])
async def test_a_push_that_goes_wrong_is_repeated(project: Project, kind: str) -> None:
    await all_list(project, "ann@example.com")
    await suppress(project, "ann@example.com")
    await project.fault("/api/lists/unsubscribe", kind, count=1)
    done = await synced(project)
    assert (done.pushed, done.failed) == (1, {})
    assert (await project.counts())["requests"]["POST /api/lists/unsubscribe"] == 2


async def test_thousands_go_in_batches_of_a_thousand(project: Project) -> None:
    await project.deliver(drop=1.0)  # thousands of webhooks would be ahead of those that the next stories wait for
    people = [f"person{number}@example.com" for number in range(2_300)]
    await all_list(project, *people)
    await suppress(project, *people)
    handle = await start_sync(project)
    done = await handle.result()
    assert done.pushed == 2_300
    assert (await project.counts())["requests"]["POST /api/lists/unsubscribe"] == 3
    assert await handle.query("progress", result_type=SyncProgress) == done


async def test_a_sync_without_an_all_list_says_what_to_do(project: Project) -> None:
    with pytest.raises(WorkflowFailureError) as failed:
        await synced(project)
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == ErrorCode.REQUEST_INVALID
    assert "all_list_id" in failed.value.cause.message


async def remove(project: Project, *emails: str) -> None:
    async with project.stage.store.begin() as tx:
        for email in emails:
            hash_ = project.stage.store.hasher.of_email(email)
            await tx.suppressions.lift(project.workspace_id, hash_, [Cause.MANUAL])


async def test_removals_stay_here_unless_the_admin_lets_them_be_pushed(project: Project) -> None:
    list_id = await all_list(project, "ann@example.com", "own@example.com")
    marketing = (await channels(project))["marketing"]
    await suppress(project, "ann@example.com", "own@example.com")
    await synced(project)
    await tell(project, "emailUnSubscribe", "own@example.com", unsubSource="EmailLink", channelIds=[marketing])
    await until(lambda: known(project, "own@example.com"), lambda found: len(found) == 2)
    await remove(project, "ann@example.com", "own@example.com")
    assert (await synced(project)).withdrawn == 0
    assert (await profile(project, "ann@example.com"))["unsubscribedChannelIds"] == [marketing]

    await configure(project, push_removals=True)
    assert (await synced(project)).withdrawn == 2
    fields = await until(lambda: profile(project, "ann@example.com"), lambda f: not f["unsubscribedChannelIds"])
    assert fields["userListIds"] == [list_id]
    assert (await profile(project, "own@example.com"))["unsubscribedChannelIds"] == [marketing]
    assert (await synced(project)).withdrawn == 0
    assert await status(project, "ann@example.com", "marketing") is SendStatus.SENT
    assert await status(project, "own@example.com", "marketing") is SendStatus.SUPPRESSED


async def test_an_opt_out_after_a_removal_is_no_echo_and_outlives_the_withdrawal(project: Project) -> None:
    await all_list(project, "ann@example.com", push_removals=True)
    marketing = (await channels(project))["marketing"]
    await suppress(project, "ann@example.com")
    await synced(project)
    await drained(project, 2)
    await remove(project, "ann@example.com")
    # By the customer's own preference centre, which is a program as we are.
    left_at = datetime.now(UTC).timestamp() + 1  # Iterable tells whole seconds
    await tell(project, "emailUnSubscribe", "ann@example.com", at=left_at, unsubSource="API", channelIds=[marketing])
    (own,) = await until(lambda: known(project, "ann@example.com"), lambda found: found != [])
    assert own.cause is Cause.UNSUBSCRIBE
    await synced(project)
    assert (await profile(project, "ann@example.com"))["unsubscribedChannelIds"] == [marketing]
    assert await status(project, "ann@example.com", "marketing") is SendStatus.SUPPRESSED
