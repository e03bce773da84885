"""The lane of rows that are held: outcomes that were lost, and recipients to be targeted (again)."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog
from temporalio.exceptions import ApplicationError

from activities.departures import Row
from activities.forgetting import forget
from activities.inquiry import Case, Finding, Inquiry
from activities.lane import Lane, Superseded, Work
from activities.suppressing import Path, check
from activities.target import known_outcome
from activities.verdicts import Verdicts
from contracts.broadcast import AudienceRow, Tally
from contracts.errors import ErrorCode
from contracts.send import Recipient
from contracts.target import TargetEnd
from iterable.errors import IterableError, KeyRefused, NotConnected, OutcomeUnknown, RecipientForgotten
from store.held import Held
from store.person import Person
from store.sends import Attempt
from store.store import Transaction

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_LOOKS = 50
"""Lost outcomes that are looked into at once; most are settled by our own events without asking Iterable."""
_ASKED_AT_ONCE = 5
_PROFILES_AT_ONCE = 10
_NEED_PROFILE = {ErrorCode.RECIPIENT_UNKNOWN, ErrorCode.PROVIDER_UNAVAILABLE}
"""Why a row waits for its profile: it was found to need one, or Iterable did not answer when it was written."""
_ERASED = AudienceRow(recipient=Recipient(user_id="forgotten"))


class HeldLane(Lane):
    """`find_out` settles what it can prove; `run` targets rows that wait. What a row was counted as changes in the
    transaction that changes the row."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._in_hand: set[int] = set()
        self._inquiry = Inquiry(work.store)
        self._policy = Path.of(work.connector.settings, work.connector.catalog, work.request.stream)

    # ── rows that wait ────────────────────────────────────────────────────────────────────────────────────────────

    async def more(self) -> Sequence[Row]:
        """Rows that are due, their profiles written where that is wanted. None twice."""
        workspace_id, broadcast_id = self.batch.workspace_id, self.batch.broadcast_id
        async with self.work.store.read() as tx:
            due = await tx.held.due(workspace_id, broadcast_id, ("waiting",), self.appetite + len(self._in_hand))
        due = [held for held in due if held.audience_row not in self._in_hand][: self.appetite]
        self.exhausted = not due
        due = await self._without_erased(due)
        await self._write_profiles([held for held in due if self._needs_profile(held)])
        rows = [_row(held) for held in due if not self._needs_profile(held)]
        ready = await self._sort(rows) if rows else []
        self._in_hand |= {row.number for row in ready}
        return ready

    async def _sort(self, rows: list[Row]) -> list[Row]:
        """Those that may be targeted; what became known of the others is written."""
        workspace_id = self.batch.workspace_id
        hasher = self.work.store.hasher
        people = [hasher.all_of(row.row.recipient.email, row.row.recipient.user_id) for row in rows]
        async with self.work.store.read() as tx:
            ledger = await tx.members.by_ids(workspace_id, [row.send_id for row in rows])
            attempts = await tx.members.attempts(workspace_id, [row.send_id for row in rows])
            proven = await tx.events.proven_at(workspace_id, list(attempts))
            rules = await check(tx, workspace_id, people, self._policy)
        verdicts = Verdicts(self.work.request.pace)
        ready: list[Row] = []
        for row, rule in zip(rows, rules, strict=True):
            tried = attempts.get(row.send_id, [])
            excused = row.held.excused if row.held else 0
            known = known_outcome(ledger.get(row.send_id), tried, excused=excused)
            row.attempts = len(tried)
            if known is not None:
                taken = known.end is TargetEnd.TAKEN
                verdicts.found(row, Finding("taken", known.accepted_at) if taken else Finding("unknown", asked=False))
            elif row.send_id in proven:  # an event came after the attempt was given up
                verdicts.found(row, Finding("taken", proven[row.send_id]))
            elif rule is not None:
                verdicts.suppress(row)
            else:
                ready.append(row)
        await self._commit(verdicts)
        return ready

    async def _without_erased(self, due: list[Held]) -> list[Held]:
        """Who asked to be forgotten while their row was held is neither targeted nor asked about any more."""
        verdicts = Verdicts(self.work.request.pace)
        for held in due:
            if held.row is None:
                verdicts.suppress(Row(held.audience_row, held.send_id or "", "", _ERASED, held=held))
        await self._commit(verdicts)
        return [held for held in due if held.row is not None]

    def _needs_profile(self, held: Held) -> bool:
        if held.has_profile:
            return False
        return self.work.request.pace.profile_policy == "always" or held.reason in _NEED_PROFILE

    async def _write_profiles(self, wanted: list[Held]) -> None:
        """Thin profiles; their rows are due once Iterable knows them. Once it has left one unanswered, no more are
        begun: the others are due all the same."""
        verdicts = Verdicts(self.work.request.pace)
        calls = asyncio.Semaphore(_PROFILES_AT_ONCE)
        answers = True

        async def write(held: Held) -> None:
            nonlocal answers
            row = _row(held)
            async with calls:
                if not answers:
                    return
                error = await self._write_profile(row.row.recipient)
            answers = answers and not isinstance(error, KeyRefused | NotConnected | OutcomeUnknown)
            verdicts.profile(row, held, error)

        await asyncio.gather(*(write(held) for held in wanted))
        await self._commit(verdicts)
        self.heed_key(verdicts)

    async def _write_profile(self, recipient: Recipient) -> IterableError | None:
        allowed = self.work.connector.settings.profile_fields
        fields = {name: value for name, value in recipient.profile.items() if name in allowed}
        try:
            await self.work.connector.iterable.users.update(
                email=recipient.email, user_id=recipient.user_id, data_fields=fields
            )
        except RecipientForgotten as error:
            people = Person.all_of(self.work.store.hasher, recipient.email, recipient.user_id)
            await forget(self.work.store, self.batch.workspace_id, people, source="iterable")
            return error
        except IterableError as error:
            return error
        return None

    # ── how a lane keeps and counts ───────────────────────────────────────────────────────────────────────────────

    async def keep(self, tx: Transaction, verdicts: Verdicts) -> None:
        """Rows are held differently now."""
        await tx.held.change(self.batch.workspace_id, self.batch.broadcast_id, verdicts.held)

    def stand(self, verdicts: Verdicts) -> tuple[str | None, Counter[str]]:
        """Each row leaves what it was counted as, and is counted anew."""
        counts = Counter(self.counts)
        for row, how in verdicts.counted.items():
            counts[row.held.state if row.held else how] -= 1
            counts[how] += 1
        return None, counts

    def settle(self, verdicts: Verdicts) -> None:
        """As `stand`, for good."""
        _, self.counts = self.stand(verdicts)
        self._in_hand -= {row.number for row in verdicts.counted}

    # ── outcomes that were lost ───────────────────────────────────────────────────────────────────────────────────

    async def find_out(self) -> int:
        """Looks into lost outcomes that are due; how many were. In bulk as far as our ledger and events tell; Iterable
        is asked about the rest, one recipient at a time, as its limits want it."""
        workspace_id, broadcast_id = self.batch.workspace_id, self.batch.broadcast_id
        async with self.work.store.read() as tx:
            due = await tx.held.due(workspace_id, broadcast_id, ("unknown",), _LOOKS)
        rows = [_row(held) for held in await self._without_erased(due)]
        send_ids = [row.send_id for row in rows]
        async with self.work.store.read() as tx:
            ledger = await tx.members.by_ids(workspace_id, send_ids)
            attempts = await tx.members.attempts(workspace_id, send_ids)
            proven = await tx.events.proven_at(workspace_id, send_ids)
        verdicts = Verdicts(self.work.request.pace)
        calls = asyncio.Semaphore(_ASKED_AT_ONCE)

        async def look(row: Row) -> None:
            tried = attempts.get(row.send_id, [])
            row.attempts = len(tried)
            case = Case(
                workspace_id=workspace_id,
                send_id=row.send_id,
                recipient=row.row.recipient,
                row=ledger.get(row.send_id),
                attempts=tried,
                proven_at=proven.get(row.send_id),
                answered_since=row.held and row.held.answered_since,
            )
            async with calls:
                found = await self._settle(case)
            if found.verdict == "unknown" and self._is_late(row, tried, asked=found.asked):
                verdicts.give_up(row)
            else:
                verdicts.found(row, found)

        await asyncio.gather(*(look(row) for row in rows))
        await self._commit(verdicts)
        return len(due)

    async def _settle(self, case: Case) -> Finding:
        try:
            return await self._inquiry.settle(case, self.work.connector)
        except ApplicationError as error:  # others are being asked about; this one's turn comes
            if error.type != ErrorCode.RATE_LIMITED:
                raise
        return Finding("unknown", asked=False)

    def _is_late(self, row: Row, tried: Sequence[Attempt], *, asked: bool) -> bool:
        """Whether the window is over. It does not end while Iterable cannot be asked, unless the send has waited for as
        long as it may."""
        pace = self.work.request.pace
        since = row.held.held_at if row.held else datetime.now(UTC)  # maybe since an earlier attempt than the last
        lost_at = max(since, tried[-1].ended_at or tried[-1].started_at) if tried else since
        window = lost_at + timedelta(seconds=pace.reconcile_within_seconds)
        if not asked:
            window = max(window, since + timedelta(seconds=pace.give_up_after_seconds))
        return datetime.now(UTC) >= window

    async def _commit(self, verdicts: Verdicts) -> None:
        if not verdicts.counted:
            return
        workspace_id, broadcast_id = self.batch.workspace_id, self.batch.broadcast_id
        async with self.writing:
            async with self.work.store.begin() as tx:
                orders = await tx.broadcasts.orders(workspace_id, broadcast_id, self.work.name, self.work.holder)
                if not orders.mine:
                    raise Superseded
                await tx.members.settle_attempts(workspace_id, verdicts.proven)
                await tx.members.accept(workspace_id, verdicts.taken)
                await tx.members.close(workspace_id, verdicts.closed)
                await self.keep(tx, verdicts)
                _, counts = self.stand(verdicts)
                await tx.broadcasts.advance(workspace_id, broadcast_id, self.work.name, None, Tally.of(counts))
            self.settle(verdicts)


def _row(held: Held) -> Row:
    if held.row is None or held.send_id is None or held.recipient_hash is None:
        raise RuntimeError("a row that is open has lost its recipient")
    return Row(held.audience_row, held.send_id, held.recipient_hash, held.row, held=held)
