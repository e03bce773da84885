"""Whatever a run is started with, it ends, with a code: nothing may block it for ever."""

import asyncio
import uuid
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowFailureError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from contracts.errors import ErrorCode
from tests.stage import Stage

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
        await asyncio.wait_for(handle.result(), 15)
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == ErrorCode.REQUEST_INVALID
