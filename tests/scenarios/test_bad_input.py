"""Whatever a run is started with, it ends, with a code: nothing may block it for ever."""

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowFailureError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from cli.sending import start_send
from contracts.errors import ErrorCode
from tests.stage import Project, Stage

pytestmark = pytest.mark.scenario


def json_of(text: bytes) -> RawValue:
    return RawValue(Payload(metadata={"encoding": b"json/plain"}, data=text))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [None],
        [b"bytes"],
        [1],
        ["text"],
        [[]],
        [{}],
        [json_of(b"{")],
        [json_of(b"")],
        [json_of(b'{"send_id": "\\ud800"}')],
        [json_of(b"[" * 100_000)],
        [json_of(b'{"data": ' + b"9" * 5_000 + b"}")],
    ],
    ids=range(12),
)
async def test_a_run_started_with_nonsense_fails_with_a_code(the_stage: Stage, arguments: list[Any]) -> None:
    handle = await the_stage.client.start_workflow(
        "SendWorkflow", args=arguments, id=f"nonsense-{uuid.uuid4()}", task_queue=the_stage.settings.task_queue
    )
    with pytest.raises(WorkflowFailureError) as failed:
        await asyncio.wait_for(handle.result(), 60)
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == ErrorCode.REQUEST_INVALID


@pytest.mark.parametrize(
    "workflow",
    [
        "BackfillWorkflow",
        "BroadcastWorkflow",
        "EventInboxWorkflow",
        "EventPushWorkflow",
        "SendWorkflow",
        "ShadowCampaignWorkflow",
        "ShadowCareWorkflow",
        "SuppressionSyncWorkflow",
    ],
)
async def test_no_run_is_stuck_whatever_it_is_started_with(the_stage: Stage, workflow: str) -> None:
    """Of `InstallWorkflow` tells test_connector.py: its id must fit, too."""

    async def code_of(arguments: list[Any]) -> str | None:
        handle = await the_stage.client.start_workflow(
            workflow, args=arguments, id=f"nonsense-{uuid.uuid4()}", task_queue=the_stage.settings.task_queue
        )
        with pytest.raises(WorkflowFailureError) as failed:
            await asyncio.wait_for(handle.result(), 60)
        return failed.value.cause.type if isinstance(failed.value.cause, ApplicationError) else None

    starts: list[list[Any]] = [[], [None], [1], [{"workspace": "acme"}], [json_of(b"{")], [{}, {}], [1, 2, 3]]
    assert await asyncio.gather(*map(code_of, starts)) == [ErrorCode.REQUEST_INVALID] * len(starts)


async def test_a_request_that_just_fits_the_start_is_refused_before_it_gets_stuck(project: Project) -> None:
    stage = project.stage
    request = project.request(data={"text": "x" * 2_090_000})
    handle = await start_send(stage.client, stage.settings.task_queue, request)
    with pytest.raises(WorkflowFailureError) as failed:
        await asyncio.wait_for(handle.result(), 60)
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == ErrorCode.REQUEST_INVALID


async def test_send_at_in_a_hundred_years_is_refused(project: Project) -> None:
    stage = project.stage
    request = project.request(send_at=datetime(2126, 1, 1, tzinfo=UTC))
    handle = await start_send(stage.client, stage.settings.task_queue, request)
    with pytest.raises(WorkflowFailureError) as failed:
        await asyncio.wait_for(handle.result(), 60)
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == ErrorCode.REQUEST_INVALID
    assert failed.value.cause.message.endswith("Nothing was sent; to try again takes a new send id.")
