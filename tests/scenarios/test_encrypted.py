"""With encryption on, nobody who has Temporal's data or our database, but no key, learns of a person or a secret."""

import asyncio
import base64
import random
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from pydantic import SecretStr
from sqlalchemy import text
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowFailureError, WorkflowHistory
from temporalio.worker import Replayer

from activities.schedules import backfill_routine, end_schedule, keep_schedule, renew_schedules, shadow_care_routine
from cli.sending import send_accepted, start_send
from contracts.names import backfill_schedule_id, send_workflow_id, shadow_care_id
from contracts.send import SendRequest
from contracts.suppression import WORKSPACE, Cause
from endpoint.tokens import HEADER
from runtime.codec import EncryptingCodec, codec_of
from runtime.converter import encrypting_converter
from runtime.payload_keys import payload_keys
from runtime.temporal import converter_of
from store.engine import make_engine
from store.keyring import new_key_text, parse_keys
from store.person import Person
from store.suppressions import Report
from tests.stage import TEMPLATE, Project, Stage, stage
from workflows.send import SendWorkflow

pytestmark = pytest.mark.scenario

PERSON = "open-click+qqperson@example.com"
BOUNCED = "hard-bounce+qqbounced@example.com"
NEEDLES = {
    "addresses": [b"qqperson", b"qqbounced", b"qqunknown", b"qqsender", b"qqallowed"],
    "template": [b"QQTEMPLATE", b"QQSUBJECT"],
    "receiver": [b"QQRECEIVER", b"QQPUSHSECRET"],
    "data": [b"QQDATA", b"QQPROFILE", b"QQMETADATA"],
}
CONTENT = TEMPLATE.model_copy(update={"html": "<p>QQTEMPLATE {{first_name}}</p>" * 20, "subject": "QQSUBJECT"})


@pytest.fixture(scope="module")
async def encrypted(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[tuple[Stage, Path]]:
    """A stage with encryption on, Temporal's own database in a file beside ours."""
    folder = tmp_path_factory.mktemp("encrypted")
    async with stage(folder, encrypt=True, temporal_database=folder / "temporal.db") as built:
        yield built, folder


def _request(project: Project, email: str, **changes: Any) -> SendRequest:
    request = project.request(email, template=CONTENT, data={"first_name": "QQDATA"}, metadata={"order": "QQMETADATA"})
    recipient = request.recipient.model_copy(update={"profile": {"nickname": "QQPROFILE"}})
    return request.model_copy(update={"recipient": recipient, **changes})


async def _story(project: Project) -> list[SendRequest]:
    """A send that is opened, one that bounces, one that fails, an event that nobody can read."""
    stage = project.stage
    good, bounced = _request(project, PERSON), _request(project, BOUNCED)
    failing = _request(project, "qqunknown@example.com", template=None, template_ref="0" * 64)
    for request in (good, bounced):
        await send_accepted(stage.client, stage.settings.task_queue, request)
    for request in (good, bounced):
        id_ = send_workflow_id(request.workspace_id, request.send_id)
        await stage.client.get_workflow_handle(id_).result()
    with pytest.raises(WorkflowFailureError):
        await (await start_send(stage.client, stage.settings.task_queue, failing)).result()
    await _words_of_others(project, good)
    return [good, bounced, failing]


async def _words_of_others(project: Project, good: SendRequest) -> None:
    """Free text with addresses in it: a bounce's reason, an event nobody can read, an admin's remark, a receiver."""
    stage = project.stage
    fields = {"createdAt": "2026-01-02 18:51:40 +00:00", "messageId": "m-1", "reason": "550 <qqperson@example.com>?"}
    fields |= {"transactionalData": {"genieos": {"workspace": project.workspace_id, "send": good.send_id}}}
    for event in (
        {"eventName": "emailBounce", "email": PERSON, "dataFields": fields},
        {"eventName": "emailSend", "email": PERSON, "dataFields": {"createdAt": "qqperson@example.com"}},
    ):
        answer = await stage.endpoint_http.post(
            f"/webhooks/iterable/{project.workspace_id}", json=event, headers={HEADER: project.webhook_token}
        )
        answer.raise_for_status()
    async with stage.store.begin() as tx:
        await tx.pushes.set_receiver(
            project.workspace_id, "https://genieos.example.com/?token=QQRECEIVER", SecretStr("QQPUSHSECRET"), 0
        )
        [person] = Person.all_of(stage.store.hasher, "qqunknown@example.com", None)
        remark = "qqunknown@example.com asked by telephone"
        now = datetime.now(UTC)
        await tx.suppressions.record(
            project.workspace_id, [Report(person, Cause.MANUAL, WORKSPACE, now, source="operator", reason=remark)]
        )
    async with asyncio.timeout(60):
        while await _counts(project) != (0, 1):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def _counts(project: Project) -> tuple[int, int]:
    async with project.stage.store.read() as tx:
        return await tx.inbox.counts(project.workspace_id)


async def _histories(stage: Stage) -> list[WorkflowHistory]:
    """Of every run in the namespace, as the server has them."""
    found: dict[str, WorkflowHistory] = {}
    async for one in stage.client.list_workflows():
        handle = stage.client.get_workflow_handle(one.id, run_id=one.run_id)
        found[one.run_id] = await handle.fetch_history()
    return list(found.values())


def _payloads(message: Message) -> Iterator[Payload]:
    """Every payload in a message, however deep."""
    if isinstance(message, Payload):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        many = value if field.is_repeated else [value]
        for one in many.values() if hasattr(many, "values") else many:
            if isinstance(one, Message):
                yield from _payloads(one)


async def test_raw_bytes_of_histories_and_databases_tell_nothing(encrypted: tuple[Stage, Path]) -> None:
    stage, folder = encrypted
    project = await stage.new_project(
        settings={
            "profile_policy": "always",
            "profile_fields": ["nickname"],
            "default_from_email": "qqsender@acme.test",
            "allowed_senders": ["acme.test", "qqallowed@other.test"],
        }
    )
    await _story(project)
    keys = stage.settings.master_keys().values()
    secrets = [project.webhook_token.encode(), project.keys["server"].encode(), *keys, *map(base64.b64encode, keys)]
    needles = [needle for kind in NEEDLES.values() for needle in kind] + secrets

    async def seen_in_visibility() -> bool:
        query = f'ConnectorWorkspace="{project.workspace_id}" AND WorkflowType="SendWorkflow"'
        return (await stage.client.count_workflows(query)).count == 3

    async with asyncio.timeout(60):
        while not await seen_in_visibility():  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    histories = await _histories(stage)
    raw = b"".join(event.SerializeToString() for history in histories for event in history.events)
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    dumped = await _dump(stage)

    assert len(histories) >= 6
    assert {"connector.db", "temporal.db"} <= set(files)
    for needle in needles:
        assert needle not in raw, needle
        assert needle not in dumped, needle
        for name, content in files.items():
            at = content.find(needle)
            assert at < 0, (name, content[max(0, at - 70) : at + 60])
    # The same search finds all of it once the histories are opened: it looked in the right place.
    codec = codec_of(stage.settings)
    assert codec is not None
    opened = b"".join(
        codec.open(payload).data for history in histories for event in history.events for payload in _payloads(event)
    )
    passed_through = [needle for kind in ("addresses", "template", "data") for needle in NEEDLES[kind]]
    missed = [needle for needle in passed_through if needle not in opened]
    assert missed == []


async def _dump(stage: Stage) -> bytes:
    """Every row of our database, as text."""
    engine = make_engine(stage.settings.database_url)
    async with engine.connect() as connection:
        names = await connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'"))
        rows = [
            repr(tuple(row))
            for (name,) in names.all()
            for row in await connection.execute(text(f'SELECT * FROM "{name}"'))  # noqa: S608
        ]
    await engine.dispose()
    return "\n".join(rows).encode()


@pytest.mark.parametrize("encrypts", [True, False], ids=["switched_on", "switched_off"])
async def test_runs_replay_after_the_setting_was_changed(
    encrypted: tuple[Stage, Path], the_stage: Stage, encrypts: bool
) -> None:
    stage = the_stage if encrypts else encrypted[0]  # what was written the other way
    project = await stage.new_project()
    request = project.request("open-click@example.com")
    handle = await start_send(stage.client, stage.settings.task_queue, request)
    await handle.result()
    turned = EncryptingCodec(payload_keys(stage.settings.master_keys()), encrypts=encrypts)
    replayer = Replayer(workflows=[SendWorkflow], data_converter=encrypting_converter(turned))
    await replayer.replay_workflow(await handle.fetch_history())


async def test_schedules_need_the_old_key_no_longer_once_they_are_written_anew(
    encrypted: tuple[Stage, Path],
) -> None:
    stage, _ = encrypted
    project = await stage.new_project()
    queue, workspace_id = stage.settings.task_queue, project.workspace_id
    backfill = stage.client.get_schedule_handle(backfill_schedule_id(workspace_id))
    await backfill.pause(note="by hand")
    [old] = stage.settings.master_keys()
    assert await _keys_of_schedules(stage, workspace_id) == {old}

    new = parse_keys(new_key_text())
    rotated = stage.settings.model_copy(
        update={"master_key": SecretStr(",".join(map(_as_text, (new | stage.settings.master_keys()).items())))}
    )
    config = stage.client.config()
    config["data_converter"] = converter_of(rotated, stage.store)
    assert await renew_schedules(Client(**config), workspace_id, queue) == 2
    assert await _keys_of_schedules(stage, workspace_id) == set(new)
    state = (await backfill.describe()).schedule.state
    assert (state.paused, state.note) == (True, "by hand")

    await keep_schedule(stage.client, backfill_routine(workspace_id, queue))  # as every change of settings does
    await keep_schedule(stage.client, shadow_care_routine(workspace_id, queue))
    assert await _keys_of_schedules(stage, workspace_id) == {old}
    await end_schedule(stage.client, backfill_schedule_id(workspace_id))
    assert await renew_schedules(stage.client, workspace_id, queue) == 1, "one that was ended does not come back"


def _as_text(pair: tuple[str, bytes]) -> str:
    return f"{pair[0]}:{base64.b64encode(pair[1]).decode()}"


async def _keys_of_schedules(stage: Stage, workspace_id: str) -> set[str]:
    """The ids of the keys that open what the schedules of a workspace start."""
    found: set[str] = set()
    for id_ in (backfill_schedule_id(workspace_id), shadow_care_id(workspace_id)):
        raw = (await stage.client.get_schedule_handle(id_).describe()).raw_description
        keys = {one.metadata.get("encryption-key-id", b"").decode() for one in _payloads(raw.schedule)}
        found |= keys - {""}  # search attributes are plain
    return found


@pytest.mark.parametrize("encrypts", [False, True], ids=["plain", "encrypted"])
async def test_a_large_body_is_kept_once_and_is_in_a_history_once(
    encrypted: tuple[Stage, Path], the_stage: Stage, encrypts: bool
) -> None:
    stage = encrypted[0] if encrypts else the_stage
    project = await stage.new_project()
    noise = random.Random(7).randbytes(60_000).hex()  # noqa: S311 - nothing that compresses well
    content = TEMPLATE.model_copy(update={"html": f"<p>{noise}</p>"})
    sizes: list[int] = []
    for _ in range(2):
        request = project.request("open-click@example.com", template=content)
        handle = await start_send(stage.client, stage.settings.task_queue, request)
        await handle.result()
        history = await handle.fetch_history()
        sizes.append(sum(event.ByteSize() for event in history.events[1:]))
        if not encrypts:
            assert noise.encode() in history.events[0].SerializeToString()
            assert all(noise[:1000].encode() not in event.SerializeToString() for event in history.events[1:])
    assert all(size < 30_000 for size in sizes)
    engine = make_engine(stage.settings.database_url)
    async with engine.connect() as connection:
        kept = await connection.execute(
            text("SELECT count(*) FROM template WHERE workspace_id = :one"), {"one": project.workspace_id}
        )
        assert kept.scalar() == 1
    await engine.dispose()
    assert [noise in message["html"] for message in await project.outbox()] == [True, True]
