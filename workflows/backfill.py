"""BackfillWorkflow: reads from Iterable's export what webhooks may have lost."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.backfill import BackfillActivities
    from contracts.backfill import BackfillPlan, BackfillRequest, BackfillResult, ExportWindow
    from contracts.received import Received
    from iterable.webhook_event import EMAIL_EVENTS
    from workflows.failures import failing, given
    from workflows.window import moment, show_backfill

OWN = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
"""Our store: tried until it is back."""
OWN_TIMEOUT = timedelta(seconds=30)
PROVIDER = RetryPolicy(initial_interval=timedelta(seconds=5), maximum_interval=timedelta(minutes=10))
"""A read changes nothing. Few exports a minute are allowed, and nobody waits for one: seldom is soon enough."""
EXPORT_TIMEOUT = timedelta(minutes=30)
"""A day's events of one kind, as a stream; an event that is read twice is recognised."""
EXPORT_HEARTBEAT = timedelta(minutes=2)
"""Iterable may compute for two minutes before the first piece comes, and nobody waits."""
EXPORT_PATIENCE = timedelta(hours=12)
"""For one window and kind of event; then the run reads the other kinds and fails, and the next one begins where the
last good one ended."""
WINDOW = timedelta(days=1)
"""A longer span is read in parts, so that an export that breaks off does not begin all over."""
MOST_WINDOWS = 30
"""Parts of one run; the rest goes into the next, with a history of its own."""


@workflow.defn(name="BackfillWorkflow")
class BackfillWorkflow:
    """plan → for every window and kind of event: read → note how far."""

    def __init__(self) -> None:
        self._done = BackfillResult()
        self._failed: dict[str, ActivityError] = {}

    @workflow.run
    async def run(self, received: Received[BackfillRequest] | None = None) -> BackfillResult:
        """What was read, and what of it was news."""
        request = given(received)
        with failing():
            return await self._backfill(request)

    async def _backfill(self, request: BackfillRequest) -> BackfillResult:
        """Exports are read one after the other: Iterable allows four a minute.

        A kind that cannot be read holds up none of the others: they are read to the end, then the run fails. Nothing is
        noted from that window on, so that the next run reads it all again.
        """
        plan = await self._plan(request)
        names = request.event_names or EMAIL_EVENTS
        self._done = request.so_far
        since, windows = plan.since, 0
        while since < plan.until and len(self._failed) < len(names):
            until = min(since + WINDOW, plan.until)
            await self._read_window(request, names, since, until)
            if request.since is None and not self._failed:
                await self._note(request, since, until)
            since = until
            windows += 1
            if windows == MOST_WINDOWS and since < plan.until:
                if self._failed:
                    break
                rest = {"so_far": self._done}
                workflow.continue_as_new(
                    request.model_copy(update=rest if request.since is None else rest | {"since": since})
                )
        if self._failed:
            raise next(iter(self._failed.values()))
        show_backfill(request, "done", self._done, "nothing, this run is over")
        return self._done

    async def _read_window(
        self, request: BackfillRequest, names: Sequence[str], since: datetime, until: datetime
    ) -> None:
        step = f"reads {moment(since)} to {moment(until)} UTC"
        for name in names:
            if name in self._failed:
                continue
            show_backfill(request, "reading", self._done, f"{step}: {name}")
            try:
                part = await self._read(
                    ExportWindow(workspace_id=request.workspace_id, event_name=name, since=since, until=until)
                )
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                self._failed[name] = error
                continue
            self._done = BackfillResult(read=self._done.read + part.read, found=self._done.found + part.found)

    async def _plan(self, request: BackfillRequest) -> BackfillPlan:
        if request.since is not None and request.until is not None:
            return BackfillPlan(workspace_id=request.workspace_id, since=request.since, until=request.until)
        return await workflow.execute_activity_method(
            BackfillActivities.plan_backfill,
            request.workspace_id,
            start_to_close_timeout=OWN_TIMEOUT,
            retry_policy=OWN,
        )

    async def _read(self, window: ExportWindow) -> BackfillResult:
        return await workflow.execute_activity_method(
            BackfillActivities.read_export,
            window,
            summary=f"{window.event_name} since {moment(window.since)}",
            start_to_close_timeout=EXPORT_TIMEOUT,
            heartbeat_timeout=EXPORT_HEARTBEAT,
            schedule_to_close_timeout=EXPORT_PATIENCE,
            retry_policy=PROVIDER,
        )

    async def _note(self, request: BackfillRequest, since: datetime, until: datetime) -> None:
        await workflow.execute_activity_method(
            BackfillActivities.finish_backfill,
            BackfillPlan(workspace_id=request.workspace_id, since=since, until=until),
            start_to_close_timeout=OWN_TIMEOUT,
            retry_policy=OWN,
        )
