"""The least that a send could be: a run with as many activities as SendWorkflow has until Iterable took the message,
which do nothing, and an update that tells when they are done. A process of its own, tuned as the real worker is."""

from datetime import timedelta

from temporalio import activity, workflow
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

with workflow.unsafe.imports_passed_through():
    from runtime.logging import configure_logging
    from runtime.process import run_service, spare_the_collector, stop_signal
    from runtime.temporal import connect
    from worker import MOST_ACTIVITIES

QUEUE = "bench-bare"
WORKFLOW = "BareWorkflow"
_STAYS_OPEN = timedelta(hours=1)
_TIMEOUT = timedelta(seconds=30)


@activity.defn
async def prepare(request: dict[str, str]) -> dict[str, str]:
    """Does nothing."""
    return request


@activity.defn
async def target(request: dict[str, str]) -> dict[str, str]:
    """Does nothing."""
    return request


@workflow.defn(name=WORKFLOW)
class BareWorkflow:
    """Two activities, and then the wait for events that no run of a send is without."""

    def __init__(self) -> None:
        self._done = False

    @workflow.run
    async def run(self, request: dict[str, str]) -> None:
        """As long as a send waits for its first event."""
        for step in (prepare, target):
            await workflow.execute_activity(step, request, start_to_close_timeout=_TIMEOUT)
        self._done = True
        await workflow.sleep(_STAYS_OPEN)

    @workflow.update
    async def accepted(self) -> bool:
        """Once both activities are done."""
        await workflow.wait_condition(lambda: self._done)
        return True


async def main() -> None:
    """Serves until told to stop."""
    configure_logging(level="ERROR")
    spare_the_collector()
    stop = stop_signal()
    async with Worker(
        await connect(),
        task_queue=QUEUE,
        workflows=[BareWorkflow],
        activities=[prepare, target],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_activities=MOST_ACTIVITIES,
    ):
        await stop.wait()


if __name__ == "__main__":
    run_service(main(), fast=True)
