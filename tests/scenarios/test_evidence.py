"""Whose message is it? One in Iterable's records that others may have caused is claimed by no send."""

import asyncio
import uuid
from typing import Any

import pytest
from pydantic import SecretStr
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from activities.target import TargetActivities
from cli.sending import start_send
from contracts.errors import ErrorCode
from contracts.send import SendRequest, SendResult
from contracts.target import TargetRequest
from tests.stage import Project, Stage

pytestmark = pytest.mark.scenario


@pytest.fixture
async def silent(the_stage: Stage) -> Project:
    """One whose webhooks are all lost, with a campaign that exists."""
    project = await the_stage.new_project(settings={"confirm_within_seconds": 2, "reconcile_within_seconds": 4})
    await project.deliver(drop=1.0)
    await settled(project, project.request("first@example.com", stream="marketing"))
    return project


async def settled(project: Project, request: SendRequest) -> SendResult:
    return await (await start_send(project.stage.client, project.stage.settings.task_queue, request)).result()


async def messages_of(project: Project, request: SendRequest) -> int:
    causes = [message["dataFields"]["genieos"] for message in await project.outbox()]
    return sum((cause["workspace"], cause["send"]) == (request.workspace_id, request.send_id) for cause in causes)


async def lost_beside_a_rival(project: Project, rival: SendRequest, own: SendRequest) -> ErrorCode:
    """Iterable has the message of the rival, and fails before it takes this send's own: how that one ends."""
    await start_send(project.stage.client, project.stage.settings.task_queue, rival)
    while await messages_of(project, rival) == 0:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await project.fault("/api/email/target", "error_before", count=1)
    with pytest.raises(WorkflowFailureError) as failed:
        await settled(project, own)
    assert await messages_of(project, own) == 0
    assert isinstance(failed.value.cause, ApplicationError)
    return ErrorCode(failed.value.cause.type or "")


async def test_a_message_may_be_another_workspace_s_of_the_same_project(silent: Project) -> None:
    stage = silent.stage
    async with stage.store.read() as tx:
        installed = await tx.connectors.get(silent.workspace_id)
    assert installed is not None
    other = f"ws-{uuid.uuid4().hex[:8]}"
    await stage.admin.install(other, installed.settings, SecretStr(silent.keys["server"]))
    own = silent.request(stream="marketing")
    rival = silent.request(stream="marketing").model_copy(update={"workspace_id": other})
    assert await lost_beside_a_rival(silent, rival, own) == ErrorCode.OUTCOME_UNKNOWN


async def test_a_message_may_be_one_to_the_same_person_under_another_name(silent: Project) -> None:
    person = {"email": "ann@example.com", "userId": "ann-1"}
    iterable, key = silent.stage.sandbox_http, {"Api-Key": silent.keys["server"]}
    (await iterable.post("/us/api/users/update", json=person, headers=key)).raise_for_status()
    while (await iterable.get("/us/api/users/byUserId/ann-1", headers=key)).is_error:  # noqa: ASYNC110
        await asyncio.sleep(0.1)  # Iterable writes profiles later
    own = silent.request("ann@example.com", stream="marketing")
    rival = silent.request(stream="marketing", recipient={"user_id": "ann-1"})
    assert await lost_beside_a_rival(silent, rival, own) == ErrorCode.OUTCOME_UNKNOWN


async def test_an_answer_that_nobody_wrote_down_is_not_taken_for_a_refusal(
    silent: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Iterable took the second attempt, and its worker died before the ledger had the answer."""
    request = silent.request(stream="marketing")
    record, died = TargetActivities._record, asyncio.Event()

    async def dying(self: TargetActivities, wanted: TargetRequest, number: int, end: str) -> Any:
        if number == 2 and wanted.send_id == request.send_id and not died.is_set():
            died.set()
            raise RuntimeError("the worker died")
        return await record(self, wanted, number, end)

    monkeypatch.setattr(TargetActivities, "_record", dying)
    await silent.fault("/api/email/target", "error_before", count=1)
    await settled(silent, request)
    assert died.is_set()
    assert await messages_of(silent, request) == 1
