"""Activities of a broadcast: opening it, its two lanes, steering, closing."""

import asyncio
import contextlib
import uuid
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.audience import Position, inline
from activities.audience_lane import AudienceLane
from activities.connectors import InstalledConnectors
from activities.failures import failures, spread
from activities.fingerprints import template_ref
from activities.held_lane import HeldLane
from activities.lane import Lane, Superseded, Work
from activities.opening import STORED, Reading, format_of, open_audience
from activities.sources import Empty, StorageAway, Unreadable, Withheld
from activities.survey import Surveyor
from contracts.broadcast import Audience as Wanted
from contracts.broadcast import BroadcastProgress, BroadcastRequest, BroadcastStatus, Tally
from contracts.broadcasting import (
    BroadcastName,
    LaneReport,
    LaneRequest,
    OpenBroadcast,
    OpenedBroadcast,
    Standing,
    Steering,
    Stop,
    SurveyRequest,
)
from contracts.errors import ConnectorError, ErrorCode
from contracts.send import SendStatus
from store.broadcasts import BroadcastRow, LaneName, total
from store.held import OPEN, Held, State
from store.store import Store, Transaction

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_AGAIN_AFTER_SECONDS = 30.0
_STORAGE_TRIES = 20
"""Of a broadcast that has not begun: some eight minutes."""
_LONGEST_CHECK_SECONDS = 15
"""Somebody waits for the answer."""
_BATCH = 500
_LOST = f"failed:{ErrorCode.OUTCOME_UNKNOWN}"


@dataclass(frozen=True)
class BroadcastLimits:
    """Of this process. `page_seconds` is how long one page works before the run hears of it."""

    reading: Reading
    concurrency: int = 50
    page_seconds: float = 30.0


class BroadcastActivities:
    """What `BroadcastWorkflow` does to the world."""

    def __init__(self, store: Store, connectors: InstalledConnectors, limits: BroadcastLimits) -> None:
        self._store = store
        self._connectors = connectors
        self._limits = limits

    @activity.defn
    async def open_broadcast(self, wanted: OpenBroadcast) -> OpenedBroadcast:
        """Keeps a broadcast in the store, recipients that stood in the request sealed; or finds the one that is there.

        Safe to repeat: the row knows the run that made it. A broadcast whose run is gone is taken over and goes on
        where it stood. Fails with `connector_not_installed`, `connector_disabled`, and `request_invalid` where the
        audience cannot be read, or is to be read on under another URI and is another file there.
        """
        request = wanted.request
        with failures(), structlog.contextvars.bound_contextvars(broadcast=request.broadcast_id):
            await self._connectors.get_to_begin(request.workspace_id)
            if request.resume and request.audience is not None and request.audience.uri is not None:
                await self._move_audience(request.workspace_id, request.broadcast_id, request.audience.uri)
            elif request.audience is not None:
                rows = request.audience.recipients
                content = None if rows is None else inline(rows)
                with _within_reason():
                    await open_audience(request.audience, content, self._limits.reading).begin()
            async with self._store.begin() as tx:
                return await self._open(tx, request, wanted.run_id)

    async def _open(self, tx: Transaction, request: BroadcastRequest, run_id: str) -> OpenedBroadcast:
        known = await tx.broadcasts.get(request.workspace_id, request.broadcast_id)
        if known is None:
            if request.again or request.resume:
                what = f"There is no broadcast of this id to {'go over again' if request.again else 'go on with'}"
                raise ConnectorError(ErrorCode.REQUEST_INVALID, what, "Look up the id that it was started with.")
            rows = request.audience.recipients if request.audience else None
            kept = _without_content(request)
            await tx.broadcasts.open(kept, run_id, None if rows is None else inline(rows))
            known = await tx.broadcasts.get(request.workspace_id, request.broadcast_id)
            if known is None:
                raise RuntimeError("the row that was just written is not there")
        elif known.run_id != run_id:  # Idempotency guard: the id was used by another run.
            lanes = await tx.broadcasts.lanes(request.workspace_id, request.broadcast_id)
            if known.end is not None and not request.again:
                return _opened(known, known.progress(lanes.values()))
            if known.end is None and request.again:
                what = "The broadcast has not ended, and its run is gone"
                raise ConnectorError(ErrorCode.REQUEST_INVALID, what, "`connector broadcast resume` takes it up.")
            if request.again and "audience" not in lanes:
                what = "The broadcast ended before anybody was targeted"
                raise ConnectorError(ErrorCode.REQUEST_INVALID, what, "Start a new one with the audience.")
            await tx.broadcasts.take_over(request.workspace_id, request.broadcast_id, run_id)
            if request.again:
                await tx.broadcasts.reopen(request.workspace_id, request.broadcast_id)
                known = replace(known, wanted="go")
            elif request.resume and known.wanted != "cancel":
                await tx.broadcasts.want(request.workspace_id, request.broadcast_id, "go")
                known = replace(known, wanted="go")
        return _opened(known, None)

    @activity.defn
    async def survey_audience(self, wanted: SurveyRequest) -> BroadcastProgress:
        """A dry run of a broadcast whose content was prepared. Changes nothing; safe to repeat. Duplicates are looked
        for among the first two million people."""
        request = wanted.request
        with failures(), structlog.contextvars.bound_contextvars(broadcast=request.broadcast_id):
            connector = await self._connectors.get(request.workspace_id)
            async with self._store.read() as tx:
                content = await tx.templates.get(request.workspace_id, wanted.template_ref)
            if content is None or request.audience is None:
                raise ConnectorError(ErrorCode.TEMPLATE_UNKNOWN, "The connector holds no template under this ref")
            rows = request.audience.recipients
            recipients = None if rows is None else inline(rows)
            audience = open_audience(request.audience, recipients, self._limits.reading)
            with _within_reason():
                tally, survey = await Surveyor(self._store, connector, request, content).survey(audience)
            return BroadcastProgress(
                status=BroadcastStatus.COMPLETED, tally=tally, template_ref=wanted.template_ref, survey=survey, done=1.0
            )

    # ── lanes ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @activity.defn
    async def target_audience(self, request: LaneRequest) -> LaneReport:
        """Targets the next recipients of the audience, for one page's time.

        Safe to repeat: position and tally are committed with what they count, and every attempt is in the ledger
        before its request leaves. A worker that dies leaves at most as many attempts without an end as requests were
        under way; whoever repeats this activity finds them, and holds their rows until evidence says what became of
        them. Retried while Iterable is away (`provider_unavailable`) or refuses the key (`api_key_invalid`), and while
        the audience's storage does not answer. One that is not handed out any more, once it was begun, is paused.
        """
        with failures():
            work, row = await self._work(request, "audience")
            try:
                return await self._read_on(work, row)
            except (StorageAway, Withheld) as error:
                stop = await self._stop_without_storage(work, error)
                if stop is None:
                    raise
                return await self._report(work, stop, "audience_unavailable" if stop == "stuck" else None)

    async def _read_on(self, work: Work, row: BroadcastRow) -> LaneReport:
        recipients = await self._recipients(row)
        audience = open_audience(_audience(row), recipients, self._limits.reading)
        start = work.begins.position
        position = await audience.begin() if start is None else Position.read(start)
        fails = row.request.on_bad_row == "fail"
        lane = AudienceLane(work, audience, position, fail_on_bad=fails)
        async with contextlib.aclosing(lane):
            report = await self._run(lane, work)
        if report.stop == "end" and not report.tally.rows:
            raise Empty
        return report.model_copy(update={"done": await lane.done()})

    async def _stop_without_storage(self, work: Work, error: StorageAway | Withheld) -> Stop | None:
        """Why a page whose audience cannot be read ends all the same; None where it fails."""
        batch = work.batch
        async with self._store.begin() as tx:
            orders = await tx.broadcasts.orders(batch.workspace_id, batch.broadcast_id, work.name, work.holder)
            lanes = await tx.broadcasts.lanes(batch.workspace_id, batch.broadcast_id)
        if not orders.mine:
            raise _superseded()
        is_withheld = isinstance(error, Withheld)
        if is_withheld and lanes[work.name].position is None:  # nobody was reached: another broadcast is as good
            return None
        return work.stopped_by(orders) or ("stuck" if is_withheld or _has_waited_for_long(work) else None)

    @activity.defn
    async def look_after_held(self, request: LaneRequest) -> LaneReport:
        """Settles outcomes that were lost, as far as they can be proven by now, and targets recipients that wait.

        Safe to repeat: what a row was counted as changes in the transaction that changes the row.
        """
        with failures():
            work, _ = await self._work(request, "held")
            lane = HeldLane(work)
            until = asyncio.get_running_loop().time() + self._limits.page_seconds
            try:
                while await lane.find_out() and asyncio.get_running_loop().time() < until:
                    pass
            except Superseded:
                raise _superseded() from None
            return await self._run(lane, work)

    async def _work(self, request: LaneRequest, name: LaneName) -> tuple[Work, BroadcastRow]:
        connector = await self._connectors.get(request.workspace_id)
        holder = uuid.uuid4().hex
        async with self._store.begin() as tx:
            row = await tx.broadcasts.get(request.workspace_id, request.broadcast_id)
            if row is None:
                raise ConnectorError(ErrorCode.REQUEST_INVALID, "The broadcast is not in the store")
            begins = await tx.broadcasts.hold(request.workspace_id, request.broadcast_id, name, holder)
        work = Work(
            store=self._store,
            connector=connector,
            request=request,
            name=name,
            holder=holder,
            begins=begins,
            expires_at=row.request.expires_at,
            concurrency=self._limits.concurrency,
            page_seconds=self._limits.page_seconds,
        )
        return work, row

    async def _recipients(self, row: BroadcastRow) -> bytes | None:
        async with self._store.read() as tx:
            return await tx.broadcasts.recipients(row.request.workspace_id, row.request.broadcast_id)

    async def _run(self, lane: Lane, work: Work) -> LaneReport:
        """Runs a lane to its end. A worker that shuts down begins nothing more; what is under way comes back."""
        names = {"workspace": lane.batch.workspace_id, "broadcast": lane.batch.broadcast_id, "lane": work.name}
        with structlog.contextvars.bound_contextvars(**names):
            began = asyncio.get_running_loop().time()
            running = asyncio.create_task(lane.run())
            cancelled = False
            while not running.done():
                try:
                    await asyncio.wait({running})
                except asyncio.CancelledError:
                    lane.halt("trouble")
                    cancelled = True
            try:
                running.result()
            except Superseded:
                raise _superseded() from None
            if cancelled:
                raise asyncio.CancelledError
            seconds = asyncio.get_running_loop().time() - began
            report = await self._report(work, lane.stop or "end", lane.reason)
            report = report.model_copy(update={"rows": lane.finished, "seconds": seconds, "ended": dict(lane.ended)})
            log.info("broadcast.page", stop=report.stop, rows=report.rows, seconds=round(report.seconds, 1))
            return self._unless_in_trouble(report, work)

    async def _report(self, work: Work, stop: Stop, reason: str | None) -> LaneReport:
        workspace_id, broadcast_id = work.batch.workspace_id, work.batch.broadcast_id
        async with self._store.read() as tx:
            lanes = await tx.broadcasts.lanes(workspace_id, broadcast_id)
            held = await tx.held.counts(workspace_id, broadcast_id)
        # Rows that wait may not move while nobody is targeted: then only evidence is looked for in time.
        may_move = {"unknown"} if stop in {"paused", "cancelled", "expired"} else OPEN
        due = [first for state, (_, first) in held.items() if state in may_move and first is not None]
        return LaneReport(
            stop=stop,
            reason=reason,
            tally=total(lanes.values()),
            held=sum(count for count, _ in held.values()),
            next_due=min(due, default=None),
        )

    def _unless_in_trouble(self, report: LaneReport, work: Work) -> LaneReport:
        if report.stop != "trouble":
            return report
        if _has_waited_for_long(work):
            return report.model_copy(update={"stop": "stuck"})
        code = ErrorCode(report.reason or ErrorCode.PROVIDER_UNAVAILABLE)
        error = ConnectorError(code, "Iterable takes nothing at the moment", "The broadcast goes on by itself.")
        so_far = report.ended  # counted all the same: see runtime/observing.py
        raise ApplicationError(str(error), so_far, type=code, next_retry_delay=spread(_AGAIN_AFTER_SECONDS))

    # ── steering and ends ─────────────────────────────────────────────────────────────────────────────────────────

    @activity.defn
    async def steer_broadcast(self, wanted: Steering) -> None:
        """Says what is wanted from now on. Once it returns, no attempt begins that this forbids. Safe to repeat. Where
        the audience's file is not the same under another URI, or cannot be read there, it fails with `request_invalid`
        and changes nothing."""
        if wanted.audience is not None:
            with failures():
                await self._move_audience(wanted.workspace_id, wanted.broadcast_id, wanted.audience)
        async with self._store.begin() as tx:
            if wanted.wanted is not None:
                await tx.broadcasts.want(wanted.workspace_id, wanted.broadcast_id, wanted.wanted)
            if wanted.changes_rate:
                await tx.broadcasts.set_rate(wanted.workspace_id, wanted.broadcast_id, wanted.rate)

    async def _move_audience(self, workspace_id: str, broadcast_id: str, uri: str) -> None:
        """From the next page on the audience is read under another URI, where the file that was begun is there, too."""
        async with self._store.read() as tx:
            row = await tx.broadcasts.get(workspace_id, broadcast_id)
            lanes = await tx.broadcasts.lanes(workspace_id, broadcast_id)
        begun = lanes["audience"].position if "audience" in lanes else None
        if row is None or begun is None:  # there is nothing to know the file by, and another broadcast is as good
            what = "Nothing of the audience was read yet"
            raise ConnectorError(ErrorCode.REQUEST_INVALID, what, "Cancel the broadcast and start another one.")
        known = _audience(row)
        moved = Wanted(uri=uri, format=known.format or format_of(known.uri or ""))
        try:
            async with asyncio.timeout(_LONGEST_CHECK_SECONDS):
                found = await open_audience(moved, None, self._limits.reading).begin()
        except (StorageAway, TimeoutError):
            raise _not_moved("The audience's storage does not answer") from None
        except Unreadable as error:
            raise _not_moved(error.what) from None
        if found.version != Position.read(begun).version:
            raise _not_moved("The audience's file is another one than was begun with")
        async with self._store.begin() as tx:
            await tx.broadcasts.move_audience(row.request.model_copy(update={"audience": moved}))

    @activity.defn
    async def show_broadcast(self, standing: Standing) -> None:
        """Writes down how it stands. Safe to repeat."""
        async with self._store.begin() as tx:
            await tx.broadcasts.show(
                standing.workspace_id,
                standing.broadcast_id,
                standing.status,
                standing.reason,
                campaign_id=standing.campaign_id,
                template_ref=standing.template_ref,
            )

    @activity.defn
    async def retry_failed(self, name: BroadcastName) -> int:
        """Recipients that failed wait for another try; how many rows are open then. One whose outcome stayed unknown is
        looked into once more instead, for a try could reach them twice; nothing else is done once the broadcast has
        expired. Safe to repeat: the answer is how it stands, not what this attempt did. Runs while nobody works on the
        held lane."""
        async with self._store.read() as tx:
            known = await tx.broadcasts.get(name.workspace_id, name.broadcast_id)
        expires = known.request.expires_at if known else None
        after = 0
        while True:
            async with self._store.begin() as tx:
                rows = await tx.held.in_state(name.workspace_id, name.broadcast_id, ("failed",), after, _BATCH)
                tried = [row for row in rows if row.row is not None]
                if expires is not None and expires <= datetime.now(UTC):
                    tried = [row for row in tried if row.reason == ErrorCode.OUTCOME_UNKNOWN]
                await self._reopen(tx, name, tried)
            if not rows:
                break
            after = rows[-1].audience_row
        async with self._store.read() as tx:
            held = await tx.held.counts(name.workspace_id, name.broadcast_id)
        return sum(count for count, _ in held.values())

    async def _reopen(self, tx: Transaction, name: BroadcastName, rows: list[Held]) -> None:
        now = datetime.now(UTC)
        changed = [_reopened(row, now) for row in rows]
        await tx.held.change(name.workspace_id, name.broadcast_id, changed)
        await tx.members.reopen(name.workspace_id, [row.send_id for row in rows if row.send_id])
        counts: Counter[str] = Counter()
        for before, now_held in zip(rows, changed, strict=True):
            counts[f"failed:{before.reason}"] -= 1
            counts[now_held.state] += 1
        await self._count(tx, name, counts)

    @activity.defn
    async def close_broadcast(self, standing: Standing) -> Tally:
        """Ends a broadcast: who waits is not targeted any more, and who may have been reached failed with
        `outcome_unknown`. Going over it again looks into those that were held; where a worker died before it held a row
        and the audience could not be read again, nobody knows the recipient any more, and that is how it ends. The
        final tally. Safe to repeat."""
        name = BroadcastName(workspace_id=standing.workspace_id, broadcast_id=standing.broadcast_id)
        reason = f"broadcast_{standing.status}"
        while True:
            async with self._store.begin() as tx:
                rows = await tx.held.in_state(name.workspace_id, name.broadcast_id, OPEN, 0, _BATCH)
                await self._close_held(tx, name, rows, reason)
            if not rows:
                break
        async with self._store.begin() as tx:
            lost = await tx.members.close_lost(name.workspace_id, name.broadcast_id)
            closed = await tx.members.close_open(name.workspace_id, name.broadcast_id, reason)
            await self._count(tx, name, Counter({"cancelled": closed, _LOST: lost}))
            await tx.broadcasts.show(
                name.workspace_id, name.broadcast_id, standing.status, standing.reason, campaign_id=standing.campaign_id
            )
            lanes = await tx.broadcasts.lanes(name.workspace_id, name.broadcast_id)
        return total(lanes.values())

    async def _close_held(self, tx: Transaction, name: BroadcastName, rows: list[Held], reason: str) -> None:
        attempts = await tx.members.attempts(name.workspace_id, [row.send_id for row in rows if row.send_id])
        now = datetime.now(UTC)
        changed: list[Held] = []
        ends: list[tuple[str, SendStatus, str]] = []
        counts: Counter[str] = Counter()
        for row in rows:
            counts[row.state] -= 1
            if any(attempt.may_have_reached for attempt in attempts.get(row.send_id or "", [])):
                counts[_LOST] += 1
                changed.append(replace(row, state="failed", reason=ErrorCode.OUTCOME_UNKNOWN, due_at=now, held_at=now))
                ends.append((row.send_id or "", SendStatus.FAILED, ErrorCode.OUTCOME_UNKNOWN))
            else:
                counts["cancelled"] += 1
                changed.append(_moved(row, "settled", now))
                ends.append((row.send_id or "", SendStatus.CANCELLED, reason))
        await tx.held.change(name.workspace_id, name.broadcast_id, changed)
        await tx.members.close(name.workspace_id, ends)
        await self._count(tx, name, counts)

    async def _count(self, tx: Transaction, name: BroadcastName, changes: Counter[str]) -> None:
        if not any(changes.values()):
            return
        begins = await tx.broadcasts.hold(name.workspace_id, name.broadcast_id, "held", uuid.uuid4().hex)
        tally = begins.tally.plus(Tally.of(changes))
        await tx.broadcasts.advance(name.workspace_id, name.broadcast_id, "held", None, tally)


def _without_content(request: BroadcastRequest) -> BroadcastRequest:
    """As it is kept: the template lies elsewhere under its ref, recipients in a column of their own."""
    audience = request.audience
    if audience is not None and audience.recipients is not None:
        audience = Wanted(uri=STORED)
    ref = request.template_ref if request.template is None else template_ref(request.template)
    return request.model_copy(update={"audience": audience, "template": None, "template_ref": ref})


def _audience(row: BroadcastRow) -> Wanted:
    if row.request.audience is None:
        raise ConnectorError(ErrorCode.REQUEST_INVALID, "The broadcast has no audience")
    return row.request.audience


def _not_moved(what: str) -> ConnectorError:
    advice = "Name the very file that the broadcast was started with, by a URI that this worker may read now."
    return ConnectorError(ErrorCode.REQUEST_INVALID, what, advice)


def _opened(row: BroadcastRow, ending: BroadcastProgress | None) -> OpenedBroadcast:
    ended_as, ended_because = row.end or (None, None)
    return OpenedBroadcast(
        stream=row.request.stream,
        template_ref=row.template_ref,
        send_at=row.request.send_at,
        expires_at=row.request.expires_at,
        ending=ending,
        ended_as=ended_as,
        ended_because=ended_because,
        wanted=row.wanted,
    )


def _has_waited_for_long(work: Work) -> bool:
    """Longer than the connector lets anything wait, all attempts of this page together."""
    waited = datetime.now(UTC) - activity.info().scheduled_time
    return waited > timedelta(seconds=work.request.pace.give_up_after_seconds)


@contextlib.contextmanager
def _within_reason() -> Generator[None]:
    """Nobody has been reached: storage that never answers is told to whoever named it, and not waited for for ever."""
    try:
        yield
    except StorageAway:
        if activity.info().attempt < _STORAGE_TRIES:
            raise
        raise Unreadable("The audience's storage does not answer") from None


def _superseded() -> ApplicationError:
    return ApplicationError("Another worker has taken this over", type=ErrorCode.PROVIDER_UNAVAILABLE)


def _reopened(row: Held, now: datetime) -> Held:
    return _moved(row, "unknown" if row.reason == ErrorCode.OUTCOME_UNKNOWN else "waiting", now)


def _moved(row: Held, state: State, now: datetime) -> Held:
    return replace(row, state=state, reason=None, due_at=now, held_at=now)
