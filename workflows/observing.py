"""What is measured of sends, from the outside: how they end, and how long each step took.

Through `workflow.metric_meter()`, which keeps silent while a run is replayed; it makes no commands.
"""

from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ExecuteWorkflowInput,
    HandleSignalInput,
    StartActivityInput,
    WorkflowInboundInterceptor,
    WorkflowOutboundInterceptor,
)

with workflow.unsafe.imports_passed_through():
    from contracts.errors import ConnectorError, ErrorCode
    from contracts.event import Event, EventKind
    from contracts.names import EVENTS_SIGNAL, SEND_WORKFLOW
    from contracts.received import Received
    from contracts.send import SendRequest, SendResult, SendStatus
    from contracts.target import FoundOutcome, TargetOutcome

_CODES = frozenset(ErrorCode)


class SendObserver(WorkflowInboundInterceptor):
    """Follows one run of `SendWorkflow`; lets all others pass."""

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        """Temporal's hook."""
        self._stream = "unknown"
        self._since: datetime | None = None  # set while a send runs
        self._accepted = self._sent = False
        super().init(_Outbound(outbound, self))  # whose run it is can be asked only later

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002
        """Counts the send once it has ended. One that was cancelled from outside, or continues, has not."""
        if workflow.info().workflow_type != SEND_WORKFLOW:
            return await super().execute_workflow(input)
        self._begin(input.args[0] if input.args else None)
        try:
            result = await super().execute_workflow(input)
        except ApplicationError as error:
            self._ended(SendStatus.FAILED, error.type if error.type in _CODES else "unexpected")
            raise
        if isinstance(result, SendResult):
            self._ended(result.status, result.reason if result.reason in _CODES else None)
        return result

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002
        """Sees the first event that says that the message went out."""
        if self._since is not None and input.signal == EVENTS_SIGNAL and not self._sent and input.args:
            events: list[Event] = input.args[0]
            moments = [event.occurred_at for event in events if event.kind is EventKind.SENT]
            if moments:
                self._sent = True
                self._measure("connector_time_to_sent_seconds", min(moments))
        await super().handle_signal(input)

    def accepted(self, at: datetime) -> None:
        """Iterable has taken the message."""
        if self._since is not None and not self._accepted:
            self._accepted = True
            self._measure("connector_time_to_accepted_seconds", at)

    def _begin(self, argument: object) -> None:
        self._since = workflow.info().start_time
        try:
            request = Received[SendRequest].of(argument).take()
        except ConnectorError:
            return
        self._stream = request.stream
        if request.send_at is not None:  # it was asked to wait until then
            self._since = max(self._since, request.send_at)

    def _measure(self, name: str, at: datetime) -> None:
        since = self._since or at
        seconds = max(at - since, timedelta(0)).total_seconds()
        workflow.metric_meter().create_histogram_float(name).record(seconds, {"stream": self._stream})

    def _ended(self, status: SendStatus, code: str | None) -> None:
        counter = workflow.metric_meter().create_counter(
            "connector_sends", "Sends that ended, by status and error code"
        )
        counter.add(1, {"stream": self._stream, "status": status.value, "code": code or ""})


class _Outbound(WorkflowOutboundInterceptor):
    """Sees what the activities of a send found out."""

    def __init__(self, following: WorkflowOutboundInterceptor, observer: SendObserver) -> None:
        super().__init__(following)
        self._observer = observer

    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002
        handle = super().start_activity(input)
        handle.add_done_callback(self._heard)
        return handle

    def _heard(self, handle: Any) -> None:
        if handle.cancelled() or handle.exception() is not None:
            return
        result = handle.result()
        if isinstance(result, TargetOutcome | FoundOutcome) and result.accepted_at is not None:
            self._observer.accepted(result.accepted_at)
