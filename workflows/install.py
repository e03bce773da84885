"""InstallWorkflow: one long-lived run per workspace: what is in force, how it does, and why a change was refused."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, RetryState

with workflow.unsafe.imports_passed_through():
    from activities.backfill import BackfillActivities
    from activities.install import InstallActivities
    from activities.retiring import RetiringActivities
    from activities.shadow_care import ShadowCareActivities
    from contracts.connector import ConnectorSettings, ConnectorState, ConnectorStatus
    from contracts.errors import ConnectorError, ErrorCode
    from contracts.finding import Finding, problems
    from contracts.install import (
        CheckReport,
        CheckRequest,
        InstallRequest,
        Retirement,
        RotatedToken,
        TestReport,
        TestRequest,
        TokenRequest,
        TokenRotation,
        UninstallRequest,
    )
    from contracts.names import connector_workflow_id
    from contracts.received import M, Received
    from contracts.shadow import CareRequest
    from workflows.failures import failure, failure_of, given, is_certain
    from workflows.trial import Walk
    from workflows.window import show_connector

T = TypeVar("T")

CALL_TIMEOUT = timedelta(seconds=60)
"""One call to Iterable at its slowest, or several that are answered; and whatever our own store needs."""
CHECK_PATIENCE = timedelta(minutes=2)
"""An admin waits for a check; Iterable being away for longer is an answer too."""
WEBHOOK_PATIENCE = timedelta(seconds=75)
"""One attempt in full, and the beginning of a second. Reading and writing the same settings again changes nothing, so
whatever was not answered is tried again; but the connector is in force already, an admin waits, and the next look does
it as well."""
HEARTBEAT = timedelta(seconds=15)
"""How soon a worker that died is noticed, where an admin waits or work is long."""
RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=15))
"""Our store and Temporal: tried until they are back. Iterable: for as long as each call's patience."""
ARCHIVE_PATIENCE = timedelta(hours=12)
RETRY_ARCHIVING = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1), maximum_attempts=60
)
"""About an hour of Iterable being away. What was archived is known, so each attempt goes on where the last stopped."""
LOOKS_A_RUN = 50
"""Then the run continues as new, after half a day: what is looked after for years has a short history."""


@workflow.defn(name="InstallWorkflow")
class InstallWorkflow:
    """Settings are checked together; a refused change leaves the old ones in force.

    The store is the truth that sends go by; what is here is what its activities answered last.
    """

    def __init__(self) -> None:
        self._workspace_id = workflow.info().workflow_id.partition("/")[2]
        self._status = ConnectorStatus.model_construct(workspace_id=self._workspace_id, state=ConnectorState.VALIDATING)
        self._one_at_a_time = asyncio.Lock()
        self._ready = False
        self._refusal: ApplicationError | None = None
        self._changed = False
        self._look_asked = False
        self._leaving: UninstallRequest | None = None

    @workflow.run
    async def run(self, received: Received[InstallRequest] | None = None) -> ConnectorStatus:
        """Stays open until the connector is uninstalled, and all that this asks for is done."""
        try:
            await self._begin(Received[InstallRequest].of(received).take())
        except ConnectorError as refusal:
            self._refusal = failure(refusal.code, refusal.what)
            await workflow.wait_condition(workflow.all_handlers_finished)
            raise self._refusal from None
        await self._look_after()
        if self._leaving is None:
            workflow.continue_as_new(InstallRequest(workspace_id=self._workspace_id, carried=self._status))
        await self._leave(self._leaving)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._status

    # ── what an admin asks for ────────────────────────────────────────────────────────────────────────────────────

    @workflow.update
    async def configure(self, received: Received[ConnectorSettings] | None = None) -> ConnectorStatus:
        """Checks settings, and the key that lies ready, and puts both into force; or fails and says why."""
        settings = await self._take(Received[ConnectorSettings].of(received))
        await _answered(self._put_into_force(settings))
        return self._status

    @workflow.update
    async def rotate_api_key(self) -> ConnectorStatus:
        """Checks the key that lies ready and puts it into force; or fails, and the old one stays."""
        await self._must_be_in_force()
        await _answered(self._put_into_force(None))
        return self._status

    @workflow.update
    async def rotate_webhook_token(self, received: Received[TokenRequest] | None = None) -> RotatedToken:
        """Makes one of the tokens in the store the only one, after a time in which the others stay valid."""
        request = await self._take(Received[TokenRequest].of(received))
        await self._must_be_in_force()
        return await _answered(self._rotate(request.token_hash))

    @workflow.update
    async def test(self, received: Received[TestRequest] | None = None) -> TestReport:
        """Walks every leg that a message takes. Without a recipient nothing is sent."""
        request = TestRequest() if received is None else await self._take(Received[TestRequest].of(received))
        await self._must_be_in_force()
        await self._set_up_webhook()
        await self._look()
        return await Walk(self._workspace_id, request, self._status.findings).walk()

    @workflow.update
    async def pause(self) -> ConnectorStatus:
        """Refuses new sends with `connector_disabled` once it returns. Sends that are under way end as they will."""
        await self._must_be_in_force()
        await _answered(self._hear(InstallActivities.pause_connector, is_asked=True))
        return self._status

    @workflow.update
    async def resume(self) -> ConnectorStatus:
        """Takes new sends again."""
        await self._must_be_in_force()
        await _answered(self._hear(InstallActivities.resume_connector, is_asked=True))
        self._look_asked = True
        return self._status

    @workflow.update
    async def uninstall(self, received: Received[UninstallRequest] | None = None) -> ConnectorStatus:
        """Refuses new sends with `connector_disabled` once it returns; the run goes on until all is done."""
        request = UninstallRequest() if received is None else await self._take(Received[UninstallRequest].of(received))
        await self._must_be_ready()
        await _answered(self._retire(request))
        return self._status

    @workflow.query
    def status(self) -> ConnectorStatus:
        """What is in force, and how it does."""
        return self._status

    @workflow.signal
    def look(self) -> None:
        """Something changed: looks at the connector now and not at its next time."""
        self._look_asked = True

    # ── the story ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _begin(self, request: InstallRequest) -> None:
        if workflow.info().workflow_id != connector_workflow_id(request.workspace_id):
            raise ConnectorError(ErrorCode.REQUEST_INVALID, "The id of this run is not iterable/{workspace_id}")
        known = request.carried or await self._do(InstallActivities.recall_connector)
        if known is not None:
            self._show(known)
        self._look_asked = request.carried is not None  # the run before may have been asked while it ended
        self._ready = True
        if request.settings is not None:
            try:
                await self._put_into_force(request.settings)
            except ApplicationError:  # it is being uninstalled already
                return
            except ActivityError as error:  # stays visible; `configure` may put it right
                if not self._status.refused:
                    self._show(self._status.model_copy(update={"reason": failure_of(error).message}))

    async def _look_after(self) -> None:
        """Until the connector is uninstalled; or the history is long, and no update is under way."""
        looks = 0
        while self._leaving is None and looks < LOOKS_A_RUN and not workflow.info().is_continue_as_new_suggested():
            if await self._until_something_is_due():
                looks += 1
                await self._look()
        if self._leaving is None:
            await workflow.wait_condition(workflow.all_handlers_finished)

    async def _until_something_is_due(self) -> bool:
        """Whether a look is due: because its time has come, or because somebody asked."""
        settings = self._status.settings if self._is_in_force() else None
        try:
            await workflow.wait_condition(
                lambda: self._look_asked or self._changed or self._leaving is not None,
                timeout=None if settings is None else timedelta(seconds=settings.health_every_seconds),
                timeout_summary="until the next look at the connector's health",
            )
        except TimeoutError:
            return True
        self._changed = False
        return self._look_asked

    async def _look(self) -> None:
        self._look_asked = False
        if self._is_in_force():
            await self._hear(InstallActivities.look_after_connector)

    async def _put_into_force(self, settings: ConnectorSettings | None) -> None:
        async with self._one_at_a_time:
            self._unless_leaving()
            report = await self._check(settings)
            status = await workflow.execute_activity_method(
                InstallActivities.adopt_connector, report, start_to_close_timeout=CALL_TIMEOUT, retry_policy=RETRY
            )
            await self._do(BackfillActivities.schedule_backfill)
            await self._do(ShadowCareActivities.schedule_shadow_care)
            self._show(status)
        self._changed = True
        webhook = await self._set_up_webhook()
        if webhook is not None and not webhook.is_problem and problems(status.findings):
            self._look_asked = True

    async def _check(self, settings: ConnectorSettings | None) -> CheckReport:
        """Of one that never was in force, the status tells of the refusal until the next check begins."""
        if self._status.refused:
            self._show(self._status.model_copy(update={"refused": False, "reason": None}))
        try:
            return await workflow.execute_activity_method(
                InstallActivities.check_connector,
                CheckRequest(workspace_id=self._workspace_id, settings=settings),
                start_to_close_timeout=CALL_TIMEOUT,
                schedule_to_close_timeout=CHECK_PATIENCE,
                heartbeat_timeout=HEARTBEAT,
                retry_policy=RETRY,
            )
        except ActivityError as error:
            if error.retry_state is RetryState.TIMEOUT or not is_certain(error):
                await self._do(InstallActivities.withdraw_offer)
            if self._status.state is ConnectorState.VALIDATING:
                why = failure_of(error)
                refused = {"refused": True, "reason": f"{why.type}: {why.message}"}
                self._show(self._status.model_copy(update=refused))
            raise

    async def _set_up_webhook(self) -> Finding | None:
        """What Iterable's API allows. None where Iterable was away: the next look shows what is missing."""
        try:
            return await workflow.execute_activity_method(
                InstallActivities.set_up_webhook,
                self._workspace_id,
                start_to_close_timeout=CALL_TIMEOUT,
                schedule_to_close_timeout=WEBHOOK_PATIENCE,
                heartbeat_timeout=HEARTBEAT,
                retry_policy=RETRY,
            )
        except ActivityError as error:
            workflow.logger.warning("the webhook could not be set up: %s", failure_of(error).type)
            return None

    async def _rotate(self, token_hash: str) -> RotatedToken:
        return await workflow.execute_activity_method(
            InstallActivities.rotate_webhook_token,
            TokenRotation(workspace_id=self._workspace_id, token_hash=token_hash),
            start_to_close_timeout=CALL_TIMEOUT,
            schedule_to_close_timeout=CHECK_PATIENCE,
            retry_policy=RETRY,
        )

    async def _retire(self, request: UninstallRequest) -> None:
        async with self._one_at_a_time:
            self._unless_leaving()
            self._show(await self._do(RetiringActivities.retire_connector))
            await self._do(BackfillActivities.unschedule_backfill)
            await self._do(ShadowCareActivities.unschedule_shadow_care)
            self._leaving = request

    async def _leave(self, request: UninstallRequest) -> None:
        """What is under way ends; then campaigns are archived and secrets forgotten."""
        retirement = Retirement(workspace_id=self._workspace_id, **request.model_dump())
        left = await workflow.execute_activity_method(
            RetiringActivities.await_sends,
            retirement,
            start_to_close_timeout=timedelta(seconds=request.wait_seconds) + CALL_TIMEOUT,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RETRY,
        )
        told = [f"{left} sends were still under way."] if left else []
        if request.archive_campaigns:
            told.append(await self._archive())
        status = await workflow.execute_activity_method(
            RetiringActivities.forget_connector,
            retirement.model_copy(update={"told": " ".join(told)}),
            start_to_close_timeout=CALL_TIMEOUT,
            retry_policy=RETRY,
        )
        self._show(status or self._status)

    async def _archive(self) -> str:
        """How many were archived. Iterable being away, or refusing the key, keeps nothing from being forgotten."""
        self._show(self._status.model_copy(update={"reason": "The connector's campaigns are being archived."}))
        try:
            await self._do(RetiringActivities.mark_shadows)
            done = await workflow.execute_activity_method(
                ShadowCareActivities.retire_shadows,
                CareRequest(workspace_id=self._workspace_id, marked_before=workflow.now() + timedelta(hours=1)),
                start_to_close_timeout=ARCHIVE_PATIENCE,
                heartbeat_timeout=HEARTBEAT,
                retry_policy=RETRY_ARCHIVING,
            )
        except ActivityError as error:
            return f"Campaigns could not be archived: {failure_of(error).message}"
        kept = f" {done.in_use} are in use by a send or another workspace." if done.in_use else ""
        return f"{done.archived} campaigns were archived, {len(done.failed)} could not be.{kept}"

    # ── small things ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _take(self, received: Received[M]) -> M:
        """What an admin sent, or the refusal of it."""
        await self._must_be_ready()
        return given(received)

    async def _must_be_ready(self) -> None:
        await workflow.wait_condition(lambda: self._ready or self._refusal is not None)
        if self._refusal is not None:
            raise self._refusal
        self._unless_leaving()

    def _unless_leaving(self) -> None:
        if self._leaving is not None:
            raise failure(ErrorCode.CONNECTOR_DISABLED, "The connector is being uninstalled; this run ends with that")

    async def _must_be_in_force(self) -> None:
        await self._must_be_ready()
        if not self._is_in_force():
            raise failure(ErrorCode.CONNECTOR_NOT_INSTALLED, "This workspace has no connector in force")

    def _is_in_force(self) -> bool:
        return self._status.state not in {ConnectorState.VALIDATING, ConnectorState.UNINSTALLED}

    async def _hear(
        self, activity: Callable[[Any, str], Awaitable[ConnectorStatus]], *, is_asked: bool = False
    ) -> None:
        """Has something done to the connector, and hears how it stands then. What was asked for before an uninstall
        and waited for it is refused."""
        async with self._one_at_a_time:
            if is_asked:
                self._unless_leaving()
            self._show(await self._do(activity))

    async def _do(self, activity: Callable[[Any, str], Awaitable[T]]) -> T:
        """Something that our own store and Temporal are enough for: tried until it is done."""
        return await workflow.execute_activity_method(
            activity, self._workspace_id, start_to_close_timeout=CALL_TIMEOUT, retry_policy=RETRY
        )

    def _show(self, status: ConnectorStatus) -> None:
        if status != self._status:
            show_connector(status)
        self._status = status


async def _answered(step: Awaitable[T]) -> T:
    """A step on behalf of an admin, who is told why it failed."""
    try:
        return await step
    except ActivityError as error:
        raise failure_of(error) from None
