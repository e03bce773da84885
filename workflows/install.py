"""InstallWorkflow: one long-lived run per workspace: what is in force, and why a change was refused."""

import asyncio
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.backfill import BackfillActivities
    from activities.install import InstallActivities
    from activities.shadow_care import ShadowCareActivities
    from contracts.connector import CheckRequest, ConnectorSettings, ConnectorState, ConnectorStatus, InstallRequest
    from workflows.failures import failure_of

CALL_TIMEOUT = timedelta(seconds=60)
CHECK_PATIENCE = timedelta(minutes=2)
"""An admin waits for a check; Iterable being away for longer is an answer too."""
RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=15))


@workflow.defn(name="InstallWorkflow")
class InstallWorkflow:
    """Settings are checked together; a refused change leaves the old ones in force."""

    @workflow.init
    def __init__(self, request: InstallRequest) -> None:
        self._workspace_id = request.workspace_id
        self._state = ConnectorState.VALIDATING
        self._reason: str | None = None
        self._settings: ConnectorSettings | None = None
        self._changed_at: datetime | None = None
        self._one_at_a_time = asyncio.Lock()

    @workflow.run
    async def run(self, request: InstallRequest) -> ConnectorStatus:
        """Stays open until the connector is uninstalled."""
        if request.settings is not None:
            try:
                await self._put_into_force(request.settings)
            except ActivityError as error:
                self._reason = failure_of(error).message  # stays visible; `configure` may put it right
        await workflow.wait_condition(
            lambda: self._state is ConnectorState.UNINSTALLED or workflow.info().is_continue_as_new_suggested()
        )
        await workflow.wait_condition(workflow.all_handlers_finished)
        if self._state is not ConnectorState.UNINSTALLED:
            workflow.continue_as_new(InstallRequest(workspace_id=self._workspace_id, settings=self._settings))
        return self.status()

    @workflow.update
    async def configure(self, settings: ConnectorSettings) -> ConnectorStatus:
        """Checks settings, and the key that lies ready, and puts both into force; or fails and says why."""
        try:
            await self._put_into_force(settings)
        except ActivityError as error:
            refused = failure_of(error)
            self._reason = refused.message
            raise refused from None
        return self.status()

    @workflow.update
    async def uninstall(self) -> ConnectorStatus:
        """Stops new sends. Sends that are under way end as they will."""
        async with self._one_at_a_time:
            await workflow.execute_activity_method(
                InstallActivities.retire_connector,
                self._workspace_id,
                start_to_close_timeout=CALL_TIMEOUT,
                retry_policy=RETRY,
            )
            await workflow.execute_activity_method(
                BackfillActivities.unschedule_backfill,
                self._workspace_id,
                start_to_close_timeout=CALL_TIMEOUT,
                retry_policy=RETRY,
            )
            await workflow.execute_activity_method(
                ShadowCareActivities.unschedule_shadow_care,
                self._workspace_id,
                start_to_close_timeout=CALL_TIMEOUT,
                retry_policy=RETRY,
            )
            self._change(ConnectorState.UNINSTALLED)
        return self.status()

    @workflow.query
    def status(self) -> ConnectorStatus:
        """What is in force."""
        return ConnectorStatus(
            workspace_id=self._workspace_id,
            state=self._state,
            reason=self._reason,
            settings=self._settings,
            changed_at=self._changed_at,
        )

    async def _put_into_force(self, settings: ConnectorSettings) -> None:
        request = CheckRequest(workspace_id=self._workspace_id, settings=settings)
        async with self._one_at_a_time:
            await workflow.execute_activity_method(
                InstallActivities.check_connector,
                request,
                start_to_close_timeout=CALL_TIMEOUT,
                schedule_to_close_timeout=CHECK_PATIENCE,
                retry_policy=RETRY,
            )
            state = await workflow.execute_activity_method(
                InstallActivities.adopt_connector, request, start_to_close_timeout=CALL_TIMEOUT, retry_policy=RETRY
            )
            await workflow.execute_activity_method(
                BackfillActivities.schedule_backfill,
                self._workspace_id,
                start_to_close_timeout=CALL_TIMEOUT,
                retry_policy=RETRY,
            )
            await workflow.execute_activity_method(
                ShadowCareActivities.schedule_shadow_care,
                self._workspace_id,
                start_to_close_timeout=CALL_TIMEOUT,
                retry_policy=RETRY,
            )
            self._settings = settings
            self._change(state)

    def _change(self, state: ConnectorState) -> None:
        self._state = state
        self._reason = None
        self._changed_at = workflow.now()
        workflow.set_current_details(f"**{state}**")
