"""SendWorkflow: one message to one recipient."""

import asyncio
import contextlib
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.errors import ErrorCode
    from contracts.event import Event, in_order
    from contracts.names import shadow_workflow_id
    from contracts.received import Received
    from contracts.send import DRY_RUN, CancelAnswer, SendRequest, SendResult, SendStatus, standing
    from contracts.shadow import Shadow
    from contracts.target import PreparedSend, SendEnding, TargetEnd, TargetOutcome
    from workflows.doubt import Doubt, since
    from workflows.failures import failure, failure_of, gave_up, given, is_certain, too_large
    from workflows.send_steps import (
        close_send,
        ensure_shadow,
        look_for_events,
        prepare,
        preview,
        target,
        upsert_profile,
    )
    from workflows.send_window import show_send
    from workflows.waiting import wait_until
    from workflows.window import failed_with, next_step

INBOX_PATIENCE = timedelta(minutes=1)
"""What the inbox may take to join events that were found and tell the run."""
LISTED_AFTER = timedelta(seconds=30)
"""How long lists of runs may call a send under way after Iterable took it. The first event mostly comes sooner and
is written there anyway: that saves an event of history and an action for each send."""
LONGEST_WAIT = timedelta(days=365)
MOST_EVENTS = 200
"""Events a run keeps; the timeline in the store has them all."""
_SETTLED = frozenset({SendStatus.SKIPPED, SendStatus.BOUNCED, SendStatus.COMPLAINED})


T = TypeVar("T")


class _Cancelled(Exception):
    """The send was cancelled before Iterable had it."""


@workflow.defn(name="SendWorkflow")
class SendWorkflow:
    """fingerprint → (upsert → campaign) → (profile) → target → events."""

    def __init__(self) -> None:
        self._prepared: PreparedSend | None = None
        self._shadow: Shadow | None = None
        self._accepted_at: datetime | None = None
        self._events: dict[str, Event] = {}
        self._cancellable: asyncio.Task[Any] | None = None
        self._doubt = Doubt()
        self._cancel_asked = False
        self._result: SendResult | None = None
        self._failure: ApplicationError | None = None
        self._view: tuple[SendRequest, SendStatus | None, str] | None = None  # as shown last

    @workflow.run
    async def run(self, received: Received[SendRequest] | None = None) -> SendResult:
        """Sends, follows the message until it is settled, and says what became of it."""
        request = None
        try:
            request = given(received)
            self._result = await self._send(request)
        except ApplicationError as error:
            self._failure = error if request and request.dry_run else self._as_its_end(error)
        await workflow.wait_condition(workflow.all_handlers_finished)
        if self._failure is not None:
            raise self._failure
        return self._result or self._snapshot(SendStatus.FAILED)

    # ── the story ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _send(self, request: SendRequest) -> SendResult:
        try:
            return await self._deliver_unless_cancelled(request)
        except ActivityError as error:
            return await self._fail(request, failure_of(error))
        except ApplicationError as error:
            return await self._fail(request, error)

    async def _deliver_unless_cancelled(self, request: SendRequest) -> SendResult:
        try:
            return await self._deliver(request)
        except (_Cancelled, asyncio.CancelledError):
            return await self._give_up(request)
        except ActivityError as error:
            if not is_cancelled_exception(error):
                raise
            return await self._give_up(request)

    async def _give_up(self, request: SendRequest) -> SendResult:
        """Cancelled. Whether anything went out decides how the send ends, not when it was cancelled."""
        if self._doubt.exists:
            found = await self._doubt.look(request)
            if found.verdict == "unknown":
                raise self._doubt.remains(attempts=1)
            self._accepted_at = found.accepted_at
        if self._accepted_at is not None:
            return await self._conclude(request)
        return await self._end(request, SendStatus.CANCELLED, None)

    async def _deliver(self, request: SendRequest) -> SendResult:
        if (problem := too_large(request.template)) is not None:
            raise problem
        if request.send_at is not None and request.send_at > workflow.now() + LONGEST_WAIT:
            raise failure(ErrorCode.REQUEST_INVALID, "send_at is more than 365 days ahead")
        prepared = await self._prepare(request)
        if request.dry_run:
            return prepared.ending or await self._preview(request, prepared)
        if prepared.ending is None and request.send_at is not None and request.send_at > workflow.now():
            self._show(request, None, "waits for its send_at", request.send_at)
            await self._wait(request.send_at - workflow.now(), "send_at")
            prepared = await self._prepare(request)  # settings and suppressions may have changed meanwhile
        if prepared.ending is not None:
            self._show(request, prepared.ending.status, "nothing, this send is over")
            return prepared.ending
        self._shadow = prepared.shadow or await self._ensure_shadow(request, prepared)
        if prepared.pace.profile_policy == "always":
            await self._write_profile(request, prepared)
        self._accepted_at = await self._target(request, prepared)
        if self._accepted_at is None:
            return await self._end(request, SendStatus.SUPPRESSED, ErrorCode.RECIPIENT_SUPPRESSED)
        return await self._follow(request, prepared)

    async def _preview(self, request: SendRequest, prepared: PreparedSend) -> SendResult:
        """The end of a dry run: the message is rendered, and nobody gets it."""
        self._show(request, None, "has the message rendered; nothing will be sent")
        summary = await preview(request, prepared)
        self._show(request, SendStatus.SKIPPED, "nothing, this was a dry run")
        return self._snapshot(SendStatus.SKIPPED, DRY_RUN).model_copy(update={"preview": summary})

    async def _prepare(self, request: SendRequest) -> PreparedSend:
        self._show(request, None, "checks the request, and looks for its content in Iterable")
        self._prepared = await self._cancellably(prepare(request))
        if self._prepared.ending is None:  # else it is over, whoever cancels it now
            self._doubt.exists = self._prepared.in_doubt
            self._unless_cancelled()
        return self._prepared

    async def _ensure_shadow(self, request: SendRequest, prepared: PreparedSend, gone: Shadow | None = None) -> Shadow:
        self._unless_cancelled()
        self._show(
            request,
            None,
            "waits for this content's template and campaign in Iterable: the run "
            f"`{shadow_workflow_id(request.workspace_id, prepared.fingerprint)}` makes them",
        )
        return await self._cancellably(ensure_shadow(request, prepared, gone))

    async def _write_profile(self, request: SendRequest, prepared: PreparedSend) -> None:
        self._unless_cancelled()
        await self._cancellably(upsert_profile(request, prepared))
        wait = prepared.pace.profile_wait_seconds
        until = workflow.now() + timedelta(seconds=wait)
        self._show(request, None, "waits for Iterable to know the profile that was written", until)
        await self._wait(timedelta(seconds=wait), "profile")

    # ── the message goes out ──────────────────────────────────────────────────────────────────────────────────────

    async def _target(self, request: SendRequest, prepared: PreparedSend) -> datetime | None:
        """Until Iterable has the message for certain: the moment at which it took it. None where the recipient was
        suppressed while the send waited.

        It may leave attempts unanswered for as long as a send may wait, counted from the first of them."""
        may_write_profile = prepared.pace.profile_policy == "on_unknown"
        may_renew = True
        repeats = excused = 0
        patience = timedelta(seconds=prepared.pace.give_up_after_seconds)
        until = workflow.now() + patience
        while True:
            self._unless_cancelled()
            outcome = await self._attempt(request, until, excused)
            match outcome.end:
                case TargetEnd.TAKEN:
                    return outcome.accepted_at or workflow.now()
                case TargetEnd.UNKNOWN:
                    window = workflow.now() + timedelta(seconds=prepared.pace.reconcile_within_seconds)
                    self._show(request, None, "looks for evidence of an attempt whose answer was lost", window)
                    found = await self._doubt.settle(
                        request, prepared.pace, window, until, heard=lambda: len(self._events)
                    )
                    if found.verdict == "taken":
                        return found.accepted_at or workflow.now()
                    if found.verdict == "unknown":
                        repeats, excused = repeats + 1, found.attempts
                    else:
                        excused = 0  # the ledger has an end for each of them now
                        if workflow.now() >= until:
                            raise gave_up()
                        rest = min(since(until - patience), until - workflow.now())
                        self._show(request, None, "waits before the next attempt", workflow.now() + rest)
                        await self._wait(rest, "next attempt")
                    if repeats > prepared.pace.may_repeat:
                        raise self._doubt.remains(attempts=repeats)
                    continue
                case TargetEnd.SUPPRESSED:
                    if self._doubt.exists:
                        raise self._doubt.remains(attempts=repeats)
                    return None
                case TargetEnd.RECIPIENT_UNKNOWN:
                    if not may_write_profile:
                        raise failure(ErrorCode.RECIPIENT_UNKNOWN, "Iterable does not know this recipient")
                    may_write_profile = False
                    await self._write_profile(request, prepared)
                case TargetEnd.CAMPAIGN_GONE:
                    if not may_renew:
                        raise failure(ErrorCode.PROVIDER_REJECTED, "Iterable takes no sends for this campaign")
                    may_renew = False
                    self._shadow = await self._ensure_shadow(request, prepared, gone=self._shadow)
            until = workflow.now() + patience  # it did answer

    async def _attempt(self, request: SendRequest, until: datetime, excused: int) -> TargetOutcome:
        """One activity, which repeats by itself only what certainly did not reach Iterable. A cancellation waits for an
        attempt that is under way, so that its answer is known."""
        if self._shadow is None:
            raise RuntimeError("there is no campaign to target")
        self._doubt.arises()
        try:
            outcome = await self._cancellably(target(request, self._shadow, until, excused))
        except ActivityError as error:
            if self._is_cancelled or not is_certain(error):
                outcome = await self._after_all(request, error)
            else:
                self._doubt.exists = excused > 0  # this attempt failed for certain
                raise
        self._doubt.exists = outcome.end is TargetEnd.UNKNOWN or (outcome.end is not TargetEnd.TAKEN and excused > 0)
        return outcome

    async def _after_all(self, request: SendRequest, error: ActivityError) -> TargetOutcome:
        """The activity was given up or cancelled while an attempt may have been under way: what does the ledger say?"""
        found = await self._doubt.look(request)
        if found.verdict == "taken":
            return TargetOutcome(end=TargetEnd.TAKEN, accepted_at=found.accepted_at)
        if found.verdict == "unknown":
            return TargetOutcome(end=TargetEnd.UNKNOWN)
        raise (_Cancelled() if self._is_cancelled else failure_of(error)) from None

    # ── what becomes of it ────────────────────────────────────────────────────────────────────────────────────────

    async def _follow(self, request: SendRequest, prepared: PreparedSend) -> SendResult:
        """Until the first event, and then until the message is settled or has been quiet for long enough."""
        confirm_within = timedelta(seconds=prepared.pace.confirm_within_seconds)
        settle_for = timedelta(seconds=prepared.pace.settle_for_seconds)
        until = workflow.now() + confirm_within
        step = "Iterable has it; waits for the first event"
        self._show(request, self._status(), step, until, is_listed=False)
        with contextlib.suppress(_Cancelled, asyncio.CancelledError):  # Iterable has it; who cancels stops following
            if workflow.cancellation_reason() is not None:  # it came while the message went out
                raise _Cancelled
            if not await wait_until(self._is_reported, min(LISTED_AFTER, confirm_within), "first event, soon"):
                self._show(request, self._status(), step, until)
                if workflow.now() < until:
                    await wait_until(self._is_reported, until - workflow.now(), "first event")
            if not self._is_reported() and await self._look_for_events(request):
                await wait_until(self._is_reported, INBOX_PATIENCE, "events to arrive")
            if self._is_reported():
                self._show(request, self._status(), "waits for a bounce or a complaint", workflow.now() + settle_for)
                await wait_until(lambda: self._status() in _SETTLED, settle_for, "bounce or complaint")
        return await self._conclude(request)

    async def _conclude(self, request: SendRequest) -> SendResult:
        status, reason = self._standing()
        if status is SendStatus.ACCEPTED:
            return await self._end(request, SendStatus.UNCONFIRMED, "no_event_came")
        self._show(request, status, "nothing, this run is over; later events reach the timeline all the same")
        return self._snapshot(status, reason)

    async def _look_for_events(self, request: SendRequest) -> bool:
        """Webhooks are not guaranteed: asks Iterable once before the message counts as unconfirmed. Whether there are
        events that will come through the inbox; no, where Iterable could not be asked in time."""
        self._show(request, SendStatus.ACCEPTED, "asks Iterable for events, since none came")
        try:
            found = await look_for_events(request)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from None
            return False
        return found > 0

    async def _end(self, request: SendRequest, status: SendStatus, reason: str | None) -> SendResult:
        """Ends in a way that no other activity has recorded."""
        self._show(request, status, "nothing, this send is over")
        if request.dry_run:  # the ledger knows nothing of it
            return self._snapshot(status, reason)
        ending = SendEnding(workspace_id=request.workspace_id, send_id=request.send_id, status=status, reason=reason)
        try:
            await close_send(ending)
        except ActivityError as error:
            if not is_cancelled_exception(error):
                raise
            await close_send(ending)  # a cancellation comes too late for an end
        return self._snapshot(status, reason)

    async def _fail(self, request: SendRequest, error: ApplicationError) -> SendResult:
        if self._doubt.exists and error.type != ErrorCode.OUTCOME_UNKNOWN:  # whatever else failed, that matters most
            error = self._doubt.remains(attempts=1, then=error.type)
        if self._prepared is not None:  # it is in the ledger
            await self._end(request, SendStatus.FAILED, error.type)
        self._show_step(request, SendStatus.FAILED, failed_with(error))
        raise error

    def _as_its_end(self, error: ApplicationError) -> ApplicationError:
        """What only a send has to say: whether anything went out, and that its id is used up."""
        if error.type == ErrorCode.OUTCOME_UNKNOWN or self._accepted_at is not None:
            return error
        message = f"{error.message} Nothing was sent; to try again takes a new send id."
        return ApplicationError(message, *error.details, type=error.type, non_retryable=True)

    # ── what others ask of a run ──────────────────────────────────────────────────────────────────────────────────

    @workflow.update
    async def accepted(self) -> SendResult:
        """Returns once Iterable has the message, or the send has ended otherwise; fails as the run fails. A recipient
        who is suppressed fails it too, with `recipient_suppressed`."""
        await workflow.wait_condition(self._is_decided)
        if self._failure is not None:
            raise self._failure
        if self._result is not None and self._result.status is SendStatus.SUPPRESSED:
            raise failure(ErrorCode.RECIPIENT_SUPPRESSED, "Nothing was sent to this recipient")
        return self._result or self._snapshot(*self._standing())

    @workflow.update
    async def cancel(self) -> CancelAnswer:
        """Cancels unless Iterable has the message; answers once that is certain."""
        self._cancel_asked = True
        if self._cancellable is not None:
            self._cancellable.cancel()
        await workflow.wait_condition(self._is_decided)
        status = self._result.status if self._result is not None else self._status()
        if self._failure is not None:
            status = SendStatus.FAILED
        return CancelAnswer(cancelled=status is SendStatus.CANCELLED, status=status)

    @workflow.signal(name="events")
    def on_events(self, events: list[Event]) -> None:
        """From the inbox: what Iterable reported. A second report of an event is recognised by its id."""
        for event in events:
            if len(self._events) < MOST_EVENTS:
                self._events.setdefault(event.event_id, event)
        self._show_events()

    @workflow.query
    def timeline(self) -> list[Event]:
        """The events that came so far, in order of occurrence."""
        return in_order(list(self._events.values()))

    # ── small things ──────────────────────────────────────────────────────────────────────────────────────────────

    def _is_decided(self) -> bool:
        return self._accepted_at is not None or self._result is not None or self._failure is not None

    def _is_reported(self) -> bool:
        return self._status() is not SendStatus.ACCEPTED

    def _status(self) -> SendStatus:
        return self._standing()[0]

    def _standing(self) -> tuple[SendStatus, str | None]:
        return standing(list(self._events.values()))

    @property
    def _is_cancelled(self) -> bool:
        """By the update, or by Temporal. What waited for an attempt that was under way has swallowed the latter."""
        return self._cancel_asked or workflow.cancellation_reason() is not None

    def _unless_cancelled(self) -> None:
        if self._is_cancelled:
            raise _Cancelled

    async def _cancellably(self, activity: asyncio.Task[T]) -> T:
        """Awaits an activity that the update `cancel` may cancel."""
        self._cancellable = activity
        try:
            return await activity
        finally:
            self._cancellable = None

    async def _wait(self, duration: timedelta, what: str) -> None:
        """A durable wait that a cancellation ends."""
        await wait_until(lambda: self._cancel_asked, duration, what)
        self._unless_cancelled()

    def _show(
        self,
        request: SendRequest,
        status: SendStatus | None,
        step: str,
        until: datetime | None = None,
        *,
        is_listed: bool = True,
    ) -> None:
        self._show_step(request, status, next_step(step, until), is_listed=is_listed)

    def _show_step(self, request: SendRequest, status: SendStatus | None, step: str, *, is_listed: bool = True) -> None:
        self._view = request, status, step
        events = list(self._events.values())
        shown = status or SendStatus.SENDING
        show_send(request, self._prepared, self._shadow, shown, events, step, is_listed=is_listed)

    def _show_events(self) -> None:
        """Events came while the run goes on with what it does."""
        if self._view is not None and self._result is None and self._failure is None:
            request, status, step = self._view
            self._show_step(request, self._status() if self._accepted_at is not None else status, step)

    def _snapshot(self, status: SendStatus, reason: str | None = None) -> SendResult:
        events = in_order(list(self._events.values()))
        return SendResult(
            status=status,
            reason=reason,
            fingerprint=self._prepared.fingerprint if self._prepared else None,
            template_ref=self._prepared.template_ref if self._prepared else None,
            template_id=self._shadow.template_id if self._shadow else None,
            campaign_id=self._shadow.campaign_id if self._shadow else None,
            message_id=next((event.message_id for event in events if event.message_id), None),
            accepted_at=self._accepted_at,
            events=events,
            warnings=self._prepared.warnings if self._prepared else [],
        )
