"""The story of a connector test, leg by leg. Iterable has no sandbox: with an address, a real message goes out."""

from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError
from temporalio.exceptions import TimeoutError as ActivityTimeout

with workflow.unsafe.imports_passed_through():
    from activities.shadow import ShadowActivities
    from activities.trial import TrialActivities
    from contracts.errors import ErrorCode
    from contracts.finding import Finding, Level
    from contracts.install import TestReport, TestRequest
    from contracts.shadow import Shadow, ShadowRequest, ShadowWanted
    from contracts.trial import PreviewRequest, ReportAwaited, Trial, TrialRequest
    from workflows.failures import failure_of

T = TypeVar("T")

CALL_TIMEOUT = timedelta(seconds=60)
"""One call to Iterable at its slowest."""
LEG_PATIENCE = timedelta(minutes=2)
"""An admin waits for each leg; that it did not get through in this time is an answer."""
HEARTBEAT = timedelta(seconds=15)
RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=10))
"""Each leg may be walked twice: the message itself goes out as every send does, under an id of its own."""


class Walk:
    """One test. `legs` grow as they are walked; the first that fails is the last."""

    def __init__(self, workspace_id: str, request: TestRequest, checks: list[Finding]) -> None:
        self._workspace_id = workspace_id
        self._request = request
        self._legs = list(checks)

    async def walk(self) -> TestReport:
        """template → preview → campaign → target → webhook."""
        trial = None if _refused(self._legs) else await self._leg("template", self._prepare())
        if trial is None or not await self._leg("preview", self._preview(trial)):
            return self._report()
        if trial.send is None:
            self._tell("send", Level.UNKNOWN, "not tried: no address was given", "Give one; a real message goes to it.")
            return self._report()
        if not await self._leg("campaign", self._campaign(trial.shadow)):
            return self._report()
        since = workflow.now()
        if await self._leg("target", self._send(trial)):
            await self._webhook(trial, since=since)
        return self._report()

    async def _prepare(self) -> Trial:
        return await workflow.execute_activity_method(
            TrialActivities.prepare_trial,
            TrialRequest(
                workspace_id=self._workspace_id, send_id=f"connector-test-{workflow.uuid4()}", test=self._request
            ),
            start_to_close_timeout=CALL_TIMEOUT,
            schedule_to_close_timeout=LEG_PATIENCE,
            retry_policy=RETRY,
        )

    async def _preview(self, trial: Trial) -> bool:
        template_id = await workflow.execute_activity_method(
            ShadowActivities.upsert_template,
            trial.shadow,
            start_to_close_timeout=CALL_TIMEOUT,
            schedule_to_close_timeout=LEG_PATIENCE,
            retry_policy=RETRY,
        )
        await workflow.execute_activity_method(
            TrialActivities.preview_trial,
            PreviewRequest(workspace_id=self._workspace_id, template_id=template_id, mark=trial.mark),
            start_to_close_timeout=CALL_TIMEOUT,
            schedule_to_close_timeout=LEG_PATIENCE,
            retry_policy=RETRY,
        )
        return True

    async def _campaign(self, shadow: ShadowRequest) -> Shadow:
        return await workflow.execute_activity_method(
            ShadowActivities.ensure_shadow,
            ShadowWanted(shadow=shadow),
            task_queue=f"{workflow.info().task_queue}-shadow",  # who waits must take no slot from who works
            start_to_close_timeout=LEG_PATIENCE,
            schedule_to_close_timeout=LEG_PATIENCE,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RETRY,
        )

    async def _send(self, trial: Trial) -> bool:
        if trial.send is None:
            return False
        await workflow.execute_activity_method(
            TrialActivities.send_trial,
            trial.send,
            start_to_close_timeout=LEG_PATIENCE,
            schedule_to_close_timeout=LEG_PATIENCE,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RETRY,
        )
        return True

    async def _webhook(self, trial: Trial, *, since: datetime) -> None:
        if trial.send is None:
            return
        within = self._request.webhook_within_seconds
        began = workflow.now()
        finding = await workflow.execute_activity_method(
            TrialActivities.await_report,
            ReportAwaited(
                workspace_id=self._workspace_id, send_id=trial.send.send_id, since=since, within_seconds=within
            ),
            start_to_close_timeout=timedelta(seconds=within) + CALL_TIMEOUT,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RETRY,
        )
        self._legs.append(finding.model_copy(update={"seconds": _seconds(began)}))

    async def _leg(self, point: str, step: Awaitable[T]) -> T | None:
        """Walks one leg and notes how it went, and how long it took; None where it failed."""
        began = workflow.now()
        try:
            result = await step
        except ActivityError as error:
            self._failed(point, error, _seconds(began))
            return None
        self._legs.append(Finding(point=point, level=Level.OK, found="done", seconds=_seconds(began)))
        return result

    def _failed(self, point: str, error: ActivityError, seconds: float) -> None:
        waited = next((leg for leg in self._legs if leg.code is ErrorCode.ACTIVATION_REQUIRED), None)
        if point == "campaign" and waited is not None and isinstance(error.cause, ActivityTimeout):
            found = waited.model_copy(update={"point": point, "level": Level.REFUSED, "seconds": seconds})
        else:
            refused = failure_of(error)
            code = ErrorCode(refused.type) if refused.type in set(ErrorCode) else None
            found = Finding(point=point, level=Level.REFUSED, found=refused.message, code=code, seconds=seconds)
        self._legs.append(found)

    def _tell(self, point: str, level: Level, found: str, advice: str) -> None:
        self._legs.append(Finding(point=point, level=level, found=found, advice=advice))

    def _report(self) -> TestReport:
        return TestReport.of(self._workspace_id, self._legs)


def _refused(legs: list[Finding]) -> bool:
    return any(leg.level is Level.REFUSED for leg in legs)


def _seconds(began: datetime) -> float:
    return round((workflow.now() - began).total_seconds(), 1)
