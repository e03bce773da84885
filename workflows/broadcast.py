"""BroadcastWorkflow: one template to many recipients."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from pydantic import JsonValue, ValidationError

    from activities.broadcast import BroadcastActivities
    from contracts.broadcast import (
        AudienceMove,
        BroadcastProgress,
        BroadcastRequest,
        BroadcastStatus,
        RateChange,
    )
    from contracts.broadcasting import BroadcastName, Carried, LaneReport, LaneRequest, OpenedBroadcast, Standing
    from contracts.errors import ErrorCode
    from contracts.received import Received
    from contracts.shadow import Shadow
    from contracts.target import TargetEnd
    from workflows.broadcast_steps import (
        close_broadcast,
        fingerprint,
        open_broadcast,
        retry_failed,
        run_page,
        steer,
        survey,
        with_shadow,
        write_down,
    )
    from workflows.failures import failing, failure, failure_of, given, too_large
    from workflows.window import show_broadcast

STEERING_PATIENCE = timedelta(seconds=30)
"""How long an update waits for a broadcast that is still being prepared."""
LONGEST_WAIT = timedelta(days=365)
SHORTEST_LOOK = timedelta(seconds=1)
LONGEST_LOOK = timedelta(seconds=30)
MOST_EVENTS = 5_000
"""Then the run continues as new, before its history slows it down: after some six hours of pages."""

T = TypeVar("T")


@workflow.defn(name="BroadcastWorkflow")
class BroadcastWorkflow:
    """open → fingerprint → (shadow) → wait → pages of the audience, and beside them rows that are held → close."""

    def __init__(self) -> None:
        self._request: BroadcastRequest | None = None
        self._opened: OpenedBroadcast | None = None
        self._lane: LaneRequest | None = None
        self._report = LaneReport(stop="page")
        self._audience_done = False
        self._is_early = False
        self._is_paused = False
        self._reason: str | None = None
        self._ending: BroadcastStatus | None = None
        self._status = BroadcastStatus.PREPARING
        self._shown: BroadcastStatus | None = None
        self._problem: ApplicationError | None = None
        self._answer: BroadcastProgress | None = None
        self._retries = False
        self._renews = False
        self._is_over = False
        self._closes = False
        self._step: asyncio.Task[Any] | None = None
        self._page = 0
        self._pages: set[int] = set()
        self._renewing = asyncio.Lock()
        self._steering = asyncio.Lock()

    @workflow.run
    async def run(self, received: Received[BroadcastRequest] | None = None) -> BroadcastProgress:
        """Until every recipient's end is known. Fails only where somebody must do something."""
        try:
            self._request = given(received)
            await self._broadcast(self._request)
        except ActivityError as error:
            self._problem = failure_of(error)
        except ApplicationError as error:
            self._problem = error
        self._is_over = not self._renews
        await workflow.wait_condition(workflow.all_handlers_finished)
        if self._problem is not None:
            raise self._problem
        if self._renews:
            self._continue_as_new()
        return self._answer or self.progress()

    # ── the story ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _broadcast(self, request: BroadcastRequest) -> None:
        problem = too_large(request.template)
        if problem is not None:
            raise problem
        if request.carried is not None:
            self._go_on(request.carried)
        elif request.dry_run:
            called_off = BroadcastProgress(status=BroadcastStatus.CANCELLED)
            self._answer = await self._unless_called_off(survey(request)) or called_off
            return
        else:
            try:
                self._opened = await self._open(request)
            except ActivityError as error:
                if not is_cancelled_exception(error):
                    raise
                await self._close(BroadcastStatus.CANCELLED)
                return
            if self._opened.ending is not None:
                self._answer = self._opened.ending
                return
            self._lane = await self._unless_called_off(self._prepare(request, self._opened))
            if self._opened.wanted == "pause" and self._lane is not None:
                self._is_paused = True
                await self._show(BroadcastStatus.PAUSED)
            if self._opened.wanted != "cancel":  # else a page sees it, and what is under way is followed to its end
                await self._wait_until(self._opened.send_at)
            self._audience_done, self._retries = request.again, request.again
        await self._work()
        self._renews = self._renews and self._problem is None  # a problem is not carried into another run
        if not self._renews:
            await self._close(*self._end())

    def _end(self) -> tuple[BroadcastStatus, str | None]:
        """And why. One that was gone over again ends as it did: its audience was not read on."""
        opened = self._opened
        if opened is not None and opened.ended_as is not None and (self._ending is None or self._lane is None):
            return opened.ended_as, opened.ended_because
        return self._ending or BroadcastStatus.COMPLETED, None

    async def _open(self, request: BroadcastRequest) -> OpenedBroadcast:
        """Waited for although the run is cancelled meanwhile: what it wrote down needs an end."""
        if request.send_at is not None and request.send_at > workflow.now() + LONGEST_WAIT:
            raise failure(ErrorCode.REQUEST_INVALID, "send_at is more than 365 days ahead")
        opening = open_broadcast(request)
        while not opening.done():
            try:
                await workflow.wait_condition(opening.done)
            except asyncio.CancelledError:
                self._ending = BroadcastStatus.CANCELLED
        return opening.result()

    async def _unless_called_off(self, step: Coroutine[Any, Any, T]) -> T | None:
        """A step before anybody is targeted, which a cancellation breaks off."""
        if self._ending is not None:
            step.close()
            return None
        self._step = asyncio.create_task(step)
        try:
            return await self._step
        except (asyncio.CancelledError, ActivityError) as error:
            if not is_cancelled_exception(error):
                raise
        self._ending = BroadcastStatus.CANCELLED
        return None

    async def _prepare(self, request: BroadcastRequest, opened: OpenedBroadcast) -> LaneRequest:
        """The content, prepared once for all as a single send's is, and its campaign."""
        try:
            prepared = await fingerprint(request, opened.stream, opened.template_ref)
            lane = LaneRequest(
                workspace_id=request.workspace_id,
                broadcast_id=request.broadcast_id,
                run_id=workflow.info().first_execution_run_id,
                stream=opened.stream,
                fingerprint=prepared.fingerprint,
                template_ref=prepared.template_ref,
                message_type_id=prepared.message_type_id,
                shadow=prepared.shadow or Shadow(template_id=0, campaign_id=0),
                pace=prepared.pace,
            )
            if prepared.shadow is None:
                lane = await with_shadow(lane, gone=None)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            self._problem = failure_of(error)
            if request.resume:  # it stands as it stood: who took it up may do so again
                raise self._problem from None
            ended_before = opened.ended_as is not None
            await self._close(*(self._end() if ended_before else (BroadcastStatus.FAILED, self._problem.type)))
            raise self._problem from None
        return lane

    async def _wait_until(self, send_at: datetime | None) -> None:
        if send_at is None or send_at <= workflow.now():
            return
        self._is_early = True
        try:
            await self._show(self._at_work)
            await self._until(lambda: self._ending is not None, send_at - workflow.now())
        except (asyncio.CancelledError, ActivityError) as error:
            if not is_cancelled_exception(error):
                raise
            self._ending = BroadcastStatus.CANCELLED
        self._is_early = False

    async def _work(self) -> None:
        """Both lanes, side by side: rows that are held need not wait for the end of a long audience."""
        if self._lane is None:
            return
        reading = asyncio.create_task(self._read_audience())
        looking = asyncio.create_task(self._look_after_held(reading))
        while not (reading.done() and looking.done()):
            try:
                await workflow.wait_condition(lambda: reading.done() and looking.done())
            except asyncio.CancelledError:  # the run itself was cancelled: as the update does it
                await self._stop(BroadcastStatus.CANCELLED)
        reading.result()
        looking.result()

    # ── the lanes ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _read_audience(self) -> None:
        while not self._audience_done:
            await workflow.wait_condition(lambda: not self._is_paused or self._stops)
            if self._stops:
                return
            await self._show(self._at_work)
            report = await self._run_page(BroadcastActivities.target_audience)
            if report is None:  # it may have left rows that are held, of which no report told
                self._report = self._report.model_copy(update={"held": max(1, self._report.held)})
                return
            if report.stop == "end":
                self._audience_done = True
            elif report.stop == "expired":
                await self._stop(BroadcastStatus.EXPIRED)
            elif report.stop == "cancelled" and self._ending is None:  # by a run before this one, which was lost
                expires = self._opened and self._opened.expires_at
                has_expired = expires is not None and expires <= workflow.now()
                await self._stop(BroadcastStatus.EXPIRED if has_expired else BroadcastStatus.CANCELLED)
            elif report.stop == "bad_row":
                what = f"The audience has a row that is no recipient ({report.reason})"
                problem = failure(ErrorCode.REQUEST_INVALID, what, "Correct it, or let on_bad_row be `skip`.")
                await self._stop(BroadcastStatus.FAILED, problem)

    async def _look_after_held(self, reading: "asyncio.Task[None]") -> None:
        """Until the audience is through and nothing is open. Once the broadcast has been stopped, lost outcomes are
        still looked into, but who waits is not targeted any more."""
        is_stale = self._is_continued
        while not self._renews:
            if self._retries:
                await self._reopen_failed()
            await self._until(lambda: self._report.held > 0 or reading.done() or self._retries or self._renews)
            if reading.done() and not self._report.held and not self._retries and not is_stale:
                return
            if reading.done() and self._ending is None and not self._is_paused:
                await self._show(self._at_work)
            began_beside = not reading.done()
            report = await self._run_page(BroadcastActivities.look_after_held)
            is_stale = began_beside and reading.done()  # it may not know what the audience's last page left
            if report and report.stop == "expired" and report.tally.waiting:
                await self._stop(BroadcastStatus.EXPIRED)
            if report is None or (reading.done() and self._ending is not None and not self._report.tally.unknown):
                return
            rest = SHORTEST_LOOK
            if report.next_due is not None:
                rest = min(max(report.next_due - workflow.now(), SHORTEST_LOOK), LONGEST_LOOK)
            elif self._is_paused:  # whoever has it go on ends this wait
                rest = LONGEST_LOOK
            if self._report.held:
                await self._until(self._changes_from(self._is_paused, self._ending), rest)

    def _changes_from(self, is_paused: bool, ending: BroadcastStatus | None) -> Callable[[], bool]:
        return lambda: self._retries or self._renews or self._is_paused is not is_paused or self._ending is not ending

    async def _run_page(self, lane: Any) -> LaneReport | None:
        """One page; None where it failed for good. Its number stays in `_pages` while it works, so that who pauses or
        cancels can wait for its end."""
        if self._lane is None:
            return None
        self._page += 1
        page = self._page
        self._pages.add(page)
        request = self._lane
        try:
            report = await run_page(lane, request)
            self._pages.discard(page)
            await self._take_in(request, report)
        except ActivityError as error:
            self._pages.discard(page)
            await self._stop(BroadcastStatus.FAILED, failure_of(error))
            return None
        return report

    async def _take_in(self, request: LaneRequest, report: LaneReport) -> None:
        done = self._report.done if report.done is None else report.done
        speed = self._report if report.done is None else report  # that of the reading lane
        self._report = report.model_copy(update={"done": done, "rows": speed.rows, "seconds": speed.seconds})
        self._show_details()
        if report.stop == "campaign_gone":
            report = await self._renew(request, report)
        elif request.renewed and self._lane is request and report.ended.get(TargetEnd.TAKEN):
            self._lane = request.model_copy(update={"renewed": False})
        if report.stop == "stuck":
            async with self._steering:
                await steer(self._name(), wanted="pause")
                self._is_paused, self._reason = True, report.reason
            await self._show(BroadcastStatus.PAUSED)
        if workflow.info().get_current_history_length() > MOST_EVENTS:
            self._renews = True

    async def _renew(self, request: LaneRequest, report: LaneReport) -> LaneReport:
        """Has the campaign made sure of, once for both lanes. Where that was just done and nobody was taken since,
        Iterable says that it runs and takes no sends all the same: somebody must look."""
        async with self._renewing:
            if self._lane is not request:
                return report
            if request.renewed and not report.ended.get(TargetEnd.TAKEN):
                self._lane = request.model_copy(update={"renewed": False})  # whoever has it go on may have it renewed
                return report.model_copy(update={"stop": "stuck", "reason": ErrorCode.PROVIDER_REJECTED})
            lane = await with_shadow(request, gone=request.shadow)
            self._lane = lane.model_copy(update={"renewed": True})
        return report

    async def _reopen_failed(self) -> None:
        self._retries = False
        if self._ending is not None:
            return
        held = await retry_failed(self._name())
        self._report = self._report.model_copy(update={"held": held})

    # ── what others ask of a run ──────────────────────────────────────────────────────────────────────────────────

    @workflow.update
    async def pause(self) -> BroadcastProgress:
        """Nobody is targeted from the moment this returns on, until `resume`. Lost outcomes are still looked into."""
        await self._is_open()
        async with self._steering:
            await steer(self._name(), wanted="pause")
            self._is_paused, self._reason = True, None
        await self._quiet()
        await self._show(BroadcastStatus.PAUSED)
        return self.progress()

    @workflow.update
    async def resume(self, move: Received[AudienceMove] | None = None) -> BroadcastProgress:
        """Goes on; with a move, reading the same file under another URI. Where that is another file, or cannot be
        read there, it fails and all stays as it was."""
        audience = None if move is None else given(move).uri
        await self._is_open()
        async with self._steering:
            with failing():
                await steer(self._name(), wanted="go", audience=audience)
            self._is_paused, self._reason = False, None
        if self._ending is None:
            await self._show(self._at_work)
        return self.progress()

    @workflow.update
    async def cancel(self) -> BroadcastProgress:
        """Ends the broadcast: nobody is targeted from the moment this returns on. What is under way is followed to its
        end, and the run ends once the last outcome is known."""
        is_prepared = self._lane is not None or self._closes or self._is_over
        if not is_prepared:
            self._ending = BroadcastStatus.CANCELLED
            if self._step is not None:
                self._step.cancel()
            return self.progress()
        await self._is_open()
        await self._stop(BroadcastStatus.CANCELLED)
        await self._quiet()
        return self.progress()

    @workflow.update
    async def set_rate(self, change: Received[RateChange]) -> BroadcastProgress:
        """Another rate of the broadcast's own, at once."""
        wanted = given(change)
        await self._is_open()
        await steer(self._name(), changes_rate=True, rate=wanted.rate)
        return self.progress()

    @workflow.update
    async def retry(self) -> BroadcastProgress:
        """Recipients that failed so far are targeted once more. Fails once the broadcast is ending."""
        await workflow.wait_condition(lambda: self._request is not None or self._is_over)
        if self._request and self._request.again and not self._page:
            return self.progress()  # the run begins with that
        await self._is_open()
        if self._ending is not None or self._closes:
            raise failure(ErrorCode.REQUEST_INVALID, "The broadcast is ending", "Retry once it is over.")
        self._retries = True
        return self.progress()

    @workflow.query
    def progress(self) -> BroadcastProgress:
        """As of the last page, half a minute ago at most; the store has it to the second."""
        report = self._report
        rate = report.rows / report.seconds if report.rows and report.seconds else None
        left = None
        if rate and report.done and self._status is BroadcastStatus.SENDING:
            left = report.tally.rows / report.done * (1 - report.done) / rate
        return BroadcastProgress(
            status=self._status,
            reason=self._reason,
            tally=report.tally,
            done=report.done,
            rate=rate,
            eta_seconds=left,
            campaign_id=self._lane.shadow.campaign_id if self._lane else None,
            template_ref=self._lane.template_ref if self._lane else None,
        )

    # ── small things ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _at_work(self) -> BroadcastStatus:
        """As what it stands while nobody has paused it."""
        if self._is_early:
            return BroadcastStatus.SCHEDULED
        return BroadcastStatus.SETTLING if self._audience_done else BroadcastStatus.SENDING

    @property
    def _is_continued(self) -> bool:
        return self._request is not None and self._request.carried is not None

    @property
    def _stops(self) -> bool:
        return self._ending is not None or self._renews

    async def _is_open(self) -> None:
        """Waits for a while until there is a broadcast to steer: a run takes no more than ten updates at once. Fails
        where it is over, or about to be."""
        await self._until(lambda: self._lane is not None or self._is_over, STEERING_PATIENCE)
        if self._lane is None and not self._is_over:
            what = "The broadcast is still being prepared"
            raise failure(ErrorCode.REQUEST_INVALID, what, "Cancel it, or try again later.")
        if self._is_over or self._closes:
            over = failure(ErrorCode.REQUEST_INVALID, "The broadcast is over", "Only `retry` goes over it again.")
            raise self._problem or over

    async def _quiet(self) -> None:
        """Until the pages that were at work have ended. Those that begin later see what is wanted in the store."""
        working = set(self._pages)
        await workflow.wait_condition(lambda: working.isdisjoint(self._pages))

    async def _stop(self, status: BroadcastStatus, problem: ApplicationError | None = None) -> None:
        """Nobody is targeted any more. The first reason stands."""
        if self._ending is None:
            self._ending, self._problem = status, problem
            self._reason = problem.type if problem else None
        await steer(self._name(), wanted="cancel")

    async def _show(self, status: BroadcastStatus) -> None:
        if self._closes:
            return
        self._status = status
        self._show_details()
        if self._shown is not status:
            self._shown = status
            await write_down(self._standing(status))

    async def _close(self, status: BroadcastStatus, reason: str | None = None) -> None:
        self._closes = True
        self._reason = reason or self._reason
        try:
            tally = await close_broadcast(self._standing(status))
        except ActivityError as error:
            if not is_cancelled_exception(error):
                raise
            tally = await close_broadcast(self._standing(status))  # a cancellation comes too late for an end
        self._status = status
        self._report = self._report.model_copy(update={"tally": tally, "held": 0})
        self._show_details()

    def _show_details(self) -> None:
        if self._request is not None:
            show_broadcast(self._request, self._lane, self.progress())

    def _standing(self, status: BroadcastStatus) -> Standing:
        name = self._name()
        return Standing(
            workspace_id=name.workspace_id,
            broadcast_id=name.broadcast_id,
            status=status,
            reason=self._reason,
            campaign_id=self._lane.shadow.campaign_id if self._lane else None,
            template_ref=self._lane.template_ref if self._lane else None,
        )

    def _name(self) -> BroadcastName:
        if self._request is None:
            raise failure(ErrorCode.REQUEST_INVALID, "There is no broadcast")
        return BroadcastName(workspace_id=self._request.workspace_id, broadcast_id=self._request.broadcast_id)

    async def _until(self, condition: Callable[[], bool], at_most: timedelta | None = None) -> None:
        if condition():
            return
        try:
            await workflow.wait_condition(condition, timeout=at_most)
        except TimeoutError:
            return

    def _continue_as_new(self) -> None:
        if self._request is None or self._opened is None or self._lane is None:
            return
        name = self._name()
        carried = Carried(
            opened=self._opened,
            lane=self._lane,
            report=self._report,
            audience_done=self._audience_done,
            is_paused=self._is_paused,
            reason=self._reason,
            ending=self._ending,
            retries=self._retries,
        )
        plain: dict[str, JsonValue] = carried.model_dump(mode="json")
        workflow.continue_as_new(
            BroadcastRequest(workspace_id=name.workspace_id, broadcast_id=name.broadcast_id, carried=plain)
        )

    def _go_on(self, plain: dict[str, JsonValue]) -> None:
        try:
            carried = Carried.model_validate(plain)
        except ValidationError:
            raise failure(ErrorCode.REQUEST_INVALID, "`carried` is none of a broadcast's own") from None
        self._opened, self._lane, self._report = carried.opened, carried.lane, carried.report
        self._audience_done, self._is_paused = carried.audience_done, carried.is_paused
        self._reason, self._ending, self._retries = carried.reason, carried.ending, carried.retries
        self._status = self._shown = BroadcastStatus.PAUSED if self._is_paused else self._at_work
