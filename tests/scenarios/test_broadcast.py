"""Broadcasts over a real Temporal server, judged by the sandbox's outbox."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError

from activities.sources import LocalFile, Unreadable
from contracts.broadcast import BadRow, BroadcastProgress, BroadcastRequest, BroadcastStatus, Tally
from contracts.broadcasting import Wanted
from contracts.names import BROADCAST_WORKFLOW, broadcast_workflow_id
from contracts.send import RESERVED_DATA_KEY
from tests.stage import TEMPLATE, Project, Stage

pytestmark = pytest.mark.scenario


def people(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"recipient": {"email": f"sent+{n}@example.com"}, "data": {"first_name": f"P{n}", "order": {"number": n}}}
        for n in range(start, start + count)
    ]


async def start(
    project: Project, reuse: WorkflowIDReusePolicy = WorkflowIDReusePolicy.REJECT_DUPLICATE, **given: Any
) -> WorkflowHandle[Any, BroadcastProgress]:
    request = BroadcastRequest.model_validate(
        {
            "workspace_id": project.workspace_id,
            "broadcast_id": f"brc-{uuid.uuid4().hex[:8]}",
            "template": TEMPLATE,
            **given,
        }
    )
    return await project.stage.client.start_workflow(
        BROADCAST_WORKFLOW,
        request,
        id=broadcast_workflow_id(project.workspace_id, request.broadcast_id),
        task_queue=project.stage.settings.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE if request.again else reuse,
        result_type=BroadcastProgress,
    )


async def ended(handle: WorkflowHandle[Any, BroadcastProgress]) -> BroadcastProgress:
    """The result; what a failed run says of itself where there is none."""
    try:
        return await handle.result()
    except WorkflowFailureError as error:
        pytest.fail(f"{error.cause}")


async def caused(project: Project) -> Counter[str]:
    """How many messages each address got."""
    return Counter(message["email"] for message in await project.outbox())


def write(project: Project, rows: list[Any]) -> str:
    path = project.stage.folder / f"{uuid.uuid4().hex}.jsonl"
    path.write_bytes(b"".join((row if isinstance(row, bytes) else orjson.dumps(row)) + b"\n" for row in rows))
    return str(path)


async def test_everybody_gets_it_once_and_bad_rows_duplicates_and_the_suppressed_do_not(project: Project) -> None:
    rows: list[Any] = [*people(300), b"no json", people(1)[0], {"recipient": {"email": "hard-bounce@example.com"}}]
    handle = await start(project, audience={"uri": write(project, rows)})
    done = await ended(handle)
    assert done.status is BroadcastStatus.COMPLETED
    assert (done.tally.taken, done.tally.bad, done.tally.duplicates) == (301, 1, 1)
    messages = await project.outbox()
    assert len(messages) == len({message["email"] for message in messages}) == 301
    assert messages[0]["dataFields"][RESERVED_DATA_KEY]["broadcast"] in handle.id


async def test_it_pauses_goes_on_and_is_cancelled_by_update(project: Project) -> None:
    handle = await start(project, audience={"uri": write(project, people(400))}, rate=60)
    await _until(lambda: _messages(project), 20)
    paused: BroadcastProgress = await handle.execute_update("pause", result_type=BroadcastProgress)
    assert paused.status is BroadcastStatus.PAUSED
    before = len(await project.outbox())
    await asyncio.sleep(0.5)
    assert len(await project.outbox()) == before
    await handle.execute_update("set_rate", {"rate": None})
    resumed: BroadcastProgress = await handle.execute_update("resume", result_type=BroadcastProgress)
    assert resumed.status is BroadcastStatus.SENDING
    await _until(lambda: _messages(project), before + 10)
    await handle.execute_update("cancel")
    after = len(await project.outbox())
    await asyncio.sleep(0.5)
    assert len(await project.outbox()) == after < 400
    done = await ended(handle)
    assert done.status is BroadcastStatus.CANCELLED
    assert done.tally.taken == after
    assert max((await caused(project)).values()) == 1


async def test_it_waits_until_its_time_and_ends_at_its_expiry(project: Project) -> None:
    await ended(await start(project, audience={"recipients": people(1)}))  # the campaign is there
    now = datetime.now(UTC).replace(microsecond=0)  # as Iterable tells moments
    begins, expires = now + timedelta(seconds=6), now + timedelta(seconds=9)
    handle = await start(
        project, audience={"uri": write(project, people(400))}, rate=20, send_at=begins, expires_at=expires
    )
    paused: BroadcastProgress = await handle.execute_update("pause", result_type=BroadcastProgress)
    assert paused.status is BroadcastStatus.PAUSED
    resumed: BroadcastProgress = await handle.execute_update("resume", result_type=BroadcastProgress)
    assert resumed.status is BroadcastStatus.SCHEDULED
    done = await ended(handle)
    assert done.status is BroadcastStatus.EXPIRED
    sent = [datetime.fromisoformat(message["createdAt"]) for message in await project.outbox()]
    sent.remove(min(sent))  # the first broadcast's
    assert begins <= min(sent)
    assert max(sent) <= expires + timedelta(seconds=1)
    assert done.tally.taken == len(sent) < 100


async def test_rows_that_wait_for_their_profile_when_it_expires_are_not_targeted_then_or_when_it_is_retried(
    the_stage: Stage,
) -> None:
    project = await the_stage.new_project(settings={"profile_policy": "on_unknown", "profile_wait_seconds": 8})
    await ended(await start(project, audience={"recipients": people(1)}))  # the campaign is there
    expires = datetime.now(UTC) + timedelta(seconds=5)
    unknown = [{"recipient": {"user_id": "nobody-knows"}, "data": {}}]
    handle = await start(project, audience={"recipients": unknown}, expires_at=expires)
    done = await ended(handle)
    assert done.status is BroadcastStatus.EXPIRED
    assert done.tally.model_dump(exclude_defaults=True) == {"cancelled": 1}
    broadcast_id = handle.id.rsplit("/", 1)[1]
    again = await ended(await start(project, broadcast_id=broadcast_id, template=None, again=True))
    assert (again.status, again.tally) == (done.status, done.tally)
    assert await _messages(project) == 1


async def test_one_whose_audience_cannot_be_read_can_be_paused_and_cancelled(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def chunks(self: LocalFile, offset: int, version: str) -> AsyncGenerator[bytes]:
        del self, offset, version
        raise OSError
        yield b""

    monkeypatch.setattr(LocalFile, "chunks", chunks)
    handle = await start(project, audience={"uri": write(project, people(3))})
    paused: BroadcastProgress = await handle.execute_update("pause", result_type=BroadcastProgress)
    assert paused.status is BroadcastStatus.PAUSED
    await handle.execute_update("resume")
    await handle.execute_update("cancel")
    assert (await ended(handle)).status is BroadcastStatus.CANCELLED


@pytest.mark.parametrize("wanted", ["pause", "cancel"])
async def test_a_run_that_was_lost_is_taken_over_as_it_was_wanted(project: Project, wanted: Wanted) -> None:
    broadcast_id = f"brc-{uuid.uuid4().hex[:8]}"
    request = {"broadcast_id": broadcast_id, "audience": {"uri": write(project, people(400))}, "rate": 20}
    lost = await start(project, **request)
    await _until(lambda: _messages(project), 5)
    await lost.execute_update("pause")
    async with project.stage.store.begin() as tx:
        await tx.broadcasts.want(project.workspace_id, broadcast_id, wanted)
    await lost.terminate()
    before = await _messages(project)
    again = await start(project, WorkflowIDReusePolicy.ALLOW_DUPLICATE, **request)
    if wanted == "pause":
        await asyncio.sleep(2)
        stands = await again.query("progress", result_type=BroadcastProgress)
        assert (stands.status, await _messages(project)) == (BroadcastStatus.PAUSED, before)
        await again.execute_update("cancel")
    assert (await ended(again)).status is BroadcastStatus.CANCELLED
    assert await _messages(project) == before


async def test_a_cancelled_one_that_is_taken_over_is_followed_to_its_end(project: Project) -> None:
    await project.deliver(drop=1.0)  # Iterable has to be asked
    await project.fault("/api/email/target", "error_after", count=1)
    request = {"broadcast_id": f"brc-{uuid.uuid4().hex[:8]}", "audience": {"recipients": people(1)}}
    lost = await start(project, **request)
    await _until(lambda: _messages(project), 1)
    async with project.stage.store.begin() as tx:
        await tx.broadcasts.want(project.workspace_id, str(request["broadcast_id"]), "cancel")
    await lost.terminate()
    done = await ended(await start(project, WorkflowIDReusePolicy.ALLOW_DUPLICATE, **request))
    assert (done.status, done.tally) == (BroadcastStatus.CANCELLED, Tally(taken=1))


async def test_one_that_reached_everybody_has_not_expired_because_an_answer_was_lost(project: Project) -> None:
    await ended(await start(project, audience={"recipients": people(1)}))  # the campaign is there
    await project.deliver(drop=1.0)
    await project.fault("/api/email/target", "error_after", count=1)
    await project.fault("/api/events/{email}", "slow", seconds=9, count=1)  # evidence comes after the expiry
    expires = datetime.now(UTC) + timedelta(seconds=8)
    done = await ended(await start(project, audience={"recipients": people(1, start=1)}, expires_at=expires))
    assert datetime.now(UTC) > expires
    assert (done.status, done.tally) == (BroadcastStatus.COMPLETED, Tally(taken=1))


async def test_a_retry_while_it_is_being_cancelled_is_refused(project: Project) -> None:
    await ended(await start(project, audience={"recipients": people(1)}))  # the campaign is there
    await project.fault("/api/email/target", "slow", seconds=5)
    handle = await start(project, audience={"recipients": people(1, start=1)})
    await asyncio.sleep(2)
    cancelling = asyncio.create_task(handle.execute_update("cancel"))
    await asyncio.sleep(1)
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("retry")
    await cancelling
    assert (await ended(handle)).status is BroadcastStatus.CANCELLED


async def test_in_a_project_of_user_ids_people_who_share_an_address_are_not_one(the_stage: Stage) -> None:
    project = await the_stage.new_project(
        type_="userid", settings={"profile_policy": "on_unknown", "profile_wait_seconds": 3}
    )
    people = [("family@example.com", "u-1"), ("family@example.com", "u-2"), ("other@example.com", "u-1")]
    rows = [{"recipient": {"email": email, "user_id": user_id}, "data": {}} for email, user_id in people]
    dry = await ended(await start(project, audience={"recipients": rows}, dry_run=True))
    assert (dry.tally.taken, dry.tally.duplicates) == (2, 1)
    done = await ended(await start(project, audience={"recipients": rows}))
    assert done.tally.model_dump(exclude_defaults=True) == {"taken": 2, "duplicates": 1}
    assert await caused(project) == {"family@example.com": 2}


async def _messages(project: Project) -> int:
    return (await project.counts())["messages"]


async def _until(count: Callable[[], Awaitable[int]], at_least: int) -> None:
    async with asyncio.timeout(90):
        while await count() < at_least:  # noqa: ASYNC110 - another process counts
            await asyncio.sleep(0.05)


async def test_who_failed_is_tried_again_on_request_and_events_land_on_timelines(project: Project) -> None:
    rows = [
        {"recipient": {"email": "open+1@example.com"}, "data": {"first_name": "A"}, "send_id": "snd_opened"},
        {"recipient": {"user_id": "nobody-knows"}, "data": {}},
    ]
    handle = await start(project, audience={"recipients": rows})
    done = await ended(handle)
    assert (done.tally.taken, done.tally.failed) == (1, {"recipient_unknown": 1})
    broadcast_id = handle.id.rsplit("/", 1)[1]
    url = f"/v1/workspaces/{project.workspace_id}/broadcasts/{broadcast_id}"
    bearer = {"Authorization": "Bearer admin-token"}
    page = (await project.stage.endpoint_http.get(f"{url}/recipients?status=failed", headers=bearer)).json()
    assert [(one["row"], one["reason"]) for one in page["entries"]] == [(2, "recipient_unknown")]

    async def opened() -> int:
        async with project.stage.store.read() as tx:
            return len((await tx.events.of_sends(project.workspace_id, ["snd_opened"])).get("snd_opened", []))

    await _until(opened, 2)
    async with project.stage.store.read() as tx:
        assert await tx.events.to_signal(project.workspace_id, 10) == {}  # there is no run to tell
    answer = await project.stage.sandbox_http.post(
        "/us/api/users/update",
        json={"userId": "nobody-knows", "email": "n@example.com"},
        headers={"Api-Key": project.keys["server"]},
    )
    answer.raise_for_status()

    async def known() -> int:  # profiles are written some time after the call
        found = await project.stage.sandbox_http.get(
            "/us/api/users/byUserId/nobody-knows", headers={"Api-Key": project.keys["server"]}
        )
        return int(found.is_success and "user" in found.json())

    await _until(known, 1)
    again = await start(project, broadcast_id=broadcast_id, template=None, again=True)
    assert (await ended(again)).tally.model_dump(exclude_defaults=True) == {"taken": 2}
    told = (await project.stage.endpoint_http.get(url, headers=bearer)).json()
    assert (told["status"], told["tally"]["taken"]) == ("completed", 2)


async def test_a_lost_answer_is_looked_into_although_the_audience_breaks_before_the_first_report(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What failed for good is the audience; who was targeted until then still gets a true end."""
    read = LocalFile.chunks

    async def breaking(file: LocalFile, offset: int, version: str) -> AsyncGenerator[bytes]:
        async for chunk in read(file, offset, version):
            yield chunk
            await _until(lambda: _messages(project), 30)
            raise Unreadable("The audience's file has changed while it was read")

    monkeypatch.setattr(LocalFile, "chunks", breaking)
    await project.deliver(drop=1.0)  # Iterable has to be asked
    await project.fault("/api/email/target", "error_after", count=1)
    handle = await start(project, audience={"uri": write(project, people(200))})
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    progress: BroadcastProgress = await handle.query("progress", result_type=BroadcastProgress)
    assert (progress.status, progress.tally.failed, progress.tally.unknown) == (BroadcastStatus.FAILED, {}, 0)
    assert progress.tally.taken == await _messages(project) >= 30


async def test_a_dry_run_counts_and_sends_nothing(project: Project) -> None:
    rows = [{"recipient": {"email": "a@example.com"}}, {"recipient": {"email": "A@example.com"}}, {"x": 1}]
    handle = await start(project, audience={"recipients": rows}, dry_run=True)
    found = await ended(handle)
    assert found.survey is not None
    assert (found.survey.sendable, found.tally.duplicates) == (1, 1)
    bad = BadRow(row=3, reason="recipient: Field required; x: Extra inputs are not permitted")
    assert found.survey.bad_rows == [bad]
    assert found.survey.missing == {"first_name": 1, "order.number": 1}
    assert (await project.counts())["campaigns"] == 0


@pytest.mark.parametrize("dry_run", [False, True])
async def test_an_audience_without_a_row_is_refused(project: Project, dry_run: bool) -> None:
    file = project.stage.folder / f"{uuid.uuid4().hex}.csv"
    file.write_text("email,first_name\n\n")
    handle = await start(project, audience={"uri": str(file)}, dry_run=dry_run)
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == "request_invalid"
    assert "has no row. Correct the audience" in caught.value.cause.message


async def test_a_bad_row_ends_the_broadcast_where_that_is_wanted(project: Project) -> None:
    rows = [*people(3), {"recipient": {"email": "not an address"}}]
    handle = await start(project, audience={"recipients": rows}, on_bad_row="fail")
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == "request_invalid"
    assert "row 4" in caught.value.cause.message
    assert "not an address" not in caught.value.cause.message
