"""What an open run waits for, as Temporal tells it: no worker is asked, for there may be none."""

from temporalio.api.failure.v1 import Failure
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from runtime.settings import Settings
from runtime.temporal import connect


async def pending_steps(workflow_id: str) -> list[str]:
    """A line for each step that is under way or will be tried again, and why the last try failed; or a line that says
    why there is none."""
    try:
        temporal = await connect(Settings())
        run = await temporal.get_workflow_handle(workflow_id).describe()
    except RuntimeError:
        return ["what its run waits for is not known: Temporal does not answer"]
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return ["Temporal knows no run of it any more"]
        return [f"what its run waits for is not known: Temporal refuses ({error.status.name})"]
    if run.status is not WorkflowExecutionStatus.RUNNING:
        return [f"its run is over: {run.status.name.lower() if run.status else 'unknown'}"]
    steps = [await _told(temporal, one) for one in run.raw_description.pending_activities]
    return steps or ["its run is open, and no step of it is under way: it waits for a time, or for a worker"]


async def _told(temporal: Client, step: PendingActivityInfo) -> str:
    told = f"under way: {step.activity_type.name}, attempt {step.attempt}"
    if not step.HasField("last_failure"):
        return told
    told += f"; the last one failed with {await _why(temporal, step.last_failure)}"
    if step.HasField("next_attempt_schedule_time"):
        told += f" (again at {step.next_attempt_schedule_time.ToDatetime():%H:%M:%S} UTC)"
    return told


async def _why(temporal: Client, failure: Failure) -> str:
    error = await temporal.data_converter.decode_failure(failure)
    code = error.type if isinstance(error, ApplicationError) else None
    message = error.message if isinstance(error, ApplicationError) else str(error)
    return f"{code}: {message}" if code else message
