"""ShadowCareWorkflow: archives the campaigns of contents that nobody sends any more."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.shadow_care import ShadowCareActivities
    from contracts.received import Received
    from contracts.shadow import CareRequest, CareResult
    from workflows.failures import failing, given

BARRIER = timedelta(seconds=90)
"""Longer than the transaction in which a send looks its shadow up may take (30 s): whoever looked one up before it was
marked shows as an open send after it."""
OWN = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
"""Our store: tried until it is back."""
OWN_TIMEOUT = timedelta(seconds=60)
PROVIDER = RetryPolicy(initial_interval=timedelta(seconds=5), maximum_interval=timedelta(minutes=10))
"""Archiving what is archived changes nothing, and nobody waits for it."""
ARCHIVE_TIMEOUT = timedelta(minutes=30)
"""A call for each of many campaigns; what was archived is known, so that another attempt goes on from there."""
ARCHIVE_PATIENCE = timedelta(hours=12)
"""Then the run fails, and tomorrow's goes on where it ended."""
HEARTBEAT = timedelta(minutes=2)
"""How soon a worker that died is noticed; a day's housekeeping is in no hurry."""


@workflow.defn(name="ShadowCareWorkflow")
class ShadowCareWorkflow:
    """mark → wait → retire and archive."""

    @workflow.run
    async def run(self, received: Received[CareRequest] | None = None) -> CareResult:
        """How many were archived, and which Iterable did not archive."""
        request = given(received)
        with failing():
            return await self._care(request)

    async def _care(self, request: CareRequest) -> CareResult:
        marked = await workflow.execute_activity_method(
            ShadowCareActivities.mark_idle_shadows,
            request,
            start_to_close_timeout=OWN_TIMEOUT,
            retry_policy=OWN,
        )
        if marked:
            await workflow.sleep(BARRIER)
        done = await workflow.execute_activity_method(
            ShadowCareActivities.retire_shadows,
            request.model_copy(update={"marked_before": workflow.now() - BARRIER / 2}),
            start_to_close_timeout=ARCHIVE_TIMEOUT,
            heartbeat_timeout=HEARTBEAT,
            schedule_to_close_timeout=ARCHIVE_PATIENCE,
            retry_policy=PROVIDER,
        )
        return done.model_copy(update={"marked": marked})
