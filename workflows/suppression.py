"""SuppressionSyncWorkflow: brings Iterable up to date with what was suppressed, and removed, on our side."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.suppression_sync import SuppressionSyncActivities
    from contracts.received import Received
    from contracts.suppression import PushBatch, PushedBatch, SyncProgress, SyncRequest
    from workflows.failures import failing, given
    from workflows.window import failed_with, next_step, show_sync

CALL_TIMEOUT = timedelta(minutes=2)
"""One bulk call, or the look-ups of a smaller batch."""
HEARTBEAT = timedelta(seconds=15)
"""How soon a worker that died is noticed."""
PATIENCE = timedelta(hours=24)
"""How long Iterable may be away before a sync fails. The next one goes on where it stopped: the rows know."""
RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=2))
"""Writing the same suppression again changes nothing, so whatever was not answered is written again."""
BATCHES_A_RUN = 200
"""Then the sync continues as new, at some 1,400 events: its history stays short however many people there are."""


@workflow.defn(name="SuppressionSyncWorkflow")
class SuppressionSyncWorkflow:
    """push, batch by batch → withdraw, batch by batch. No address is in here: the people are in the store."""

    def __init__(self) -> None:
        self._progress = SyncProgress()

    @workflow.run
    async def run(self, received: Received[SyncRequest] | None = None) -> SyncProgress:
        """What was done, once nobody is left. Fails where Iterable refuses a whole call."""
        request = given(received)
        try:
            with failing():
                return await self._sync(request)
        except ApplicationError as failed:
            step = f"{failed_with(failed)} The next sync goes on where this one stopped."
            show_sync(request.workspace_id, self._progress, "failed", step)
            raise

    async def _sync(self, request: SyncRequest) -> SyncProgress:
        self._progress = request.progress
        if request.phase == "push":
            await self._batches(request)
            request = request.model_copy(update={"phase": "withdraw", "after": 0})
        await self._batches(request)
        show_sync(request.workspace_id, self._progress, "done", next_step("nothing, this sync is over"))
        return self._progress

    async def _batches(self, request: SyncRequest) -> None:
        """All of one phase, or as many as a run takes."""
        after, more, batches = request.after, True, 0
        while more:
            show_sync(
                request.workspace_id, self._progress, "running", next_step(f"{request.phase} after cursor {after}")
            )
            done = await self._batch(request, after)
            self._progress = self._progress.plus(done, withdrawn=request.phase == "withdraw")
            after, more, batches = done.next_after, done.more, batches + 1
            if more and (batches >= BATCHES_A_RUN or workflow.info().is_continue_as_new_suggested()):
                workflow.continue_as_new(request.model_copy(update={"after": after, "progress": self._progress}))

    async def _batch(self, request: SyncRequest, after: int) -> PushedBatch:
        pushes = request.phase == "push"
        return await workflow.execute_activity_method(
            SuppressionSyncActivities.push_suppressions if pushes else SuppressionSyncActivities.withdraw_suppressions,
            PushBatch(workspace_id=request.workspace_id, after=after),
            summary=f"{request.phase} after {after}",
            start_to_close_timeout=CALL_TIMEOUT,
            schedule_to_close_timeout=PATIENCE,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RETRY,
        )

    @workflow.query
    def progress(self) -> SyncProgress:
        """How far it has come."""
        return self._progress
