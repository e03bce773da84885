"""Starting a send as GenieOS does."""

from temporalio.client import Client, WorkflowHandle
from temporalio.common import TypedSearchAttributes, WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from contracts.attributes import STATUS, STREAM, WORKSPACE, at_start
from contracts.names import SEND_WORKFLOW, send_workflow_id
from contracts.send import SendRequest, SendResult, SendStatus
from runtime.temporal import update_with_start


async def start_send(temporal: Client, task_queue: str, request: SendRequest) -> WorkflowHandle[None, SendResult]:
    """The run of a send, started or found. Raises `WorkflowAlreadyStartedError` where it has ended."""
    return await temporal.start_workflow(
        SEND_WORKFLOW,
        request,
        id=send_workflow_id(request.workspace_id, request.send_id),
        task_queue=task_queue,
        static_summary=request.summary,
        search_attributes=_attributes(request),
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        result_type=SendResult,
    )


async def send_accepted(temporal: Client, task_queue: str, request: SendRequest) -> SendResult:
    """Starts (or finds) a send and returns as soon as Iterable has the message: one round trip, update-with-start.

    Raises `WorkflowUpdateFailedError`, whose cause has an error code as its type.
    """
    return await update_with_start(
        temporal,
        SEND_WORKFLOW,
        request,
        id_=send_workflow_id(request.workspace_id, request.send_id),
        task_queue=task_queue,
        update="accepted",
        result_type=SendResult,
        summary=request.summary,
        attributes=_attributes(request),
        reuse=WorkflowIDReusePolicy.REJECT_DUPLICATE,
    )


def _attributes(request: SendRequest) -> TypedSearchAttributes:
    """What is known at the start; set there, it costs nothing."""
    return at_start({WORKSPACE: request.workspace_id, STREAM: request.stream, STATUS: SendStatus.SENDING})
