"""What a worker notes of its activities and runs, without their taking part: log context and metrics."""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from contracts.broadcasting import LaneReport
from contracts.errors import ErrorCode
from contracts.inbox import DrainResult
from contracts.names import parts_of
from contracts.target import FoundOutcome, TargetOutcome
from runtime.metrics import WorkerMetrics
from workflows.observing import SendObserver

_CODES = frozenset(ErrorCode)
_TARGET = "target_recipient"
_PAGES = frozenset({"target_audience", "look_after_held"})


class Observing(Interceptor):
    """Put it outermost: what others do then happens within its log context."""

    def __init__(self, metrics: WorkerMetrics) -> None:
        self._metrics = metrics

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Temporal's hook."""
        return _Observed(next, self._metrics)

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002
        """Temporal's hook."""
        del input
        return SendObserver


class _Observed(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, metrics: WorkerMetrics) -> None:
        super().__init__(following)
        self._metrics = metrics

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        about = activity.info()
        context: dict[str, Any] = {"activity": about.activity_type, "attempt": about.attempt}
        if about.workflow_id is not None:
            context |= {"workflow": about.workflow_id, "run": about.workflow_run_id, **parts_of(about.workflow_id)}
        with structlog.contextvars.bound_contextvars(**context):
            try:
                result = await self.next.execute_activity(input)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self._failed(about.activity_type, error)
                raise
        self._done(result)
        return result

    def _done(self, result: Any) -> None:
        match result:
            case TargetOutcome():
                self._metrics.attempt(result.end)
            case LaneReport():
                self._attempts(result.ended)
            case FoundOutcome():
                self._metrics.outcome(result.verdict)
            case DrainResult():
                self._metrics.drained(result)
            case _:
                pass

    def _failed(self, name: str, error: Exception) -> None:
        code = error.type if isinstance(error, ApplicationError) and error.type in _CODES else "unexpected"
        self._metrics.failed(name, code or "unexpected")
        if name in _PAGES and isinstance(error, ApplicationError) and error.details:
            self._attempts(error.details[0])
        if name == _TARGET:
            self._metrics.attempt(code or "unexpected")

    def _attempts(self, ended: Mapping[str, int]) -> None:
        for end, count in ended.items():
            self._metrics.attempt(end, count)
