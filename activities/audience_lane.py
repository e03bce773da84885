"""The lane that reads an audience: claims, suppressions, duplicates, and counting in the audience's order."""

import hashlib
from collections import Counter, deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from activities.audience import Audience, Position, ReadRow
from activities.departures import Row
from activities.lane import Lane, Work
from activities.send import check_identity, stands_for
from activities.sources import StorageAway
from activities.suppressing import Path, check
from activities.target import known_outcome
from activities.verdicts import Verdicts
from contracts.errors import ConnectorError, ErrorCode
from contracts.send import SendStatus
from store.held import Held, State
from store.members import Member, MemberRow
from store.store import Transaction


@dataclass(slots=True)
class _Slot:
    """A row that was read, in its place. `counted` is set once it is known."""

    number: int
    end: int
    counted: str | None = None


class AudienceLane(Lane):
    """Rows are finished in any order and counted in the audience's. The position never passes a row that is open, so a
    page that is begun again after a crash reads every open row again, and the ledger says what became of the others."""

    def __init__(self, work: Work, audience: Audience, start: Position, *, fail_on_bad: bool) -> None:
        super().__init__(work)
        self._audience = audience
        self._start = start
        self._fail_on_bad = fail_on_bad
        self._order: deque[_Slot] = deque()
        self._slots: dict[int, _Slot] = {}
        self._chunk: list[ReadRow] = []
        self._at_end = False
        self._is_broken = False
        self._rows: AsyncGenerator[ReadRow, None] = audience.rows(start)
        self.path = Path.of(work.connector.settings, work.connector.catalog, work.request.stream)

    async def aclose(self) -> None:
        """Closes the file."""
        await self._rows.aclose()

    async def done(self) -> float | None:
        """The part of the audience that is counted."""
        if self.exhausted and not self._order:
            return 1.0
        size = await self._audience.size()
        return min(1.0, Position.read(self.position).offset / size) if size and self.position else 0.0

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def more(self) -> Sequence[Row]:
        """Reads a chunk and claims its sends. Where that fails, the chunk is claimed by the next call."""
        chunk = self._chunk
        while len(chunk) < self.appetite and not self._at_end:
            one = await self._next()
            if one is None:
                self._at_end = True
            else:
                chunk.append(one)
        admission = _Admission(self, chunk)
        admission.sort()
        if chunk:
            async with self.work.store.begin() as tx:
                await admission.claim(tx)
        self._chunk = []
        self.exhausted = self._at_end
        for one in chunk:
            slot = _Slot(one.number, one.end, admission.counted.get(one.number))
            self._order.append(slot)
            self._slots[one.number] = slot
        if self._fail_on_bad and admission.bad:
            number, problem = admission.bad[0]
            self.halt("bad_row", f"row {number}: {problem}")
        return admission.ready

    async def _next(self) -> ReadRow | None:
        """A stream that broke off has no next row, which must not pass for its end."""
        if self._is_broken:
            raise StorageAway("the audience broke off")
        try:
            return await anext(self._rows, None)
        except ConnectorError:
            self._is_broken = True
            raise
        except Exception as error:  # noqa: BLE001 - whatever broke it, it is read again from its position
            self._is_broken = True
            raise StorageAway(f"the audience broke off: {type(error).__name__}") from None

    # ── counting ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def keep(self, tx: Transaction, verdicts: Verdicts) -> None:
        """Rows that are held from now on."""
        await tx.held.add(self.batch.workspace_id, self.batch.broadcast_id, verdicts.held)

    def stand(self, verdicts: Verdicts) -> tuple[str | None, Counter[str]]:
        """Up to the first row that is open."""
        counted = {row.number: how for row, how in verdicts.counted.items()}
        counts, last = Counter(self.counts), None
        for slot in self._order:
            how = slot.counted or counted.get(slot.number)
            if how is None:
                break
            counts[how] += 1
            last = slot
        return self.position if last is None else self._behind(last), counts

    def settle(self, verdicts: Verdicts) -> None:
        """Forgets rows that are counted."""
        for row, how in verdicts.counted.items():
            self._slots[row.number].counted = how
        while self._order and self._order[0].counted is not None:
            slot = self._order.popleft()
            del self._slots[slot.number]
            self.counts[slot.counted or ""] += 1
            self.position = self._behind(slot)

    def _behind(self, slot: _Slot) -> str:
        return Position(self._start.version, slot.number, slot.end).text()


class _Admission:
    """A chunk of rows on its way into the ledger."""

    def __init__(self, lane: AudienceLane, chunk: Sequence[ReadRow]) -> None:
        self.ready: list[Row] = []
        self.counted: dict[int, str] = {}
        self.bad: list[tuple[int, str]] = []
        self._lane = lane
        self._work = lane.work
        self._batch = lane.batch
        self._chunk = chunk
        self._now = datetime.now(UTC)
        self._rows: dict[int, Row] = {}
        self._known_as: list[list[str]] = []
        self._held: list[Held] = []

    def sort(self) -> None:
        """Tells recipients from bad rows and from repetitions within the chunk."""
        hasher, settings = self._work.store.hasher, self._work.connector.settings
        seen: set[str] = set()
        for one in self._chunk:
            if isinstance(one.row, str):
                self._put_aside(one.number, "bad", one.row)
                continue
            try:
                check_identity(one.row.recipient, settings)
            except ConnectorError as error:
                self._put_aside(one.number, "bad", error.what)
                continue
            known_as = hasher.all_of(one.row.recipient.email, one.row.recipient.user_id)
            person = stands_for(known_as, settings)
            send_id = one.row.send_id or derived_send_id(self._batch.broadcast_id, known_as)
            if person in seen or send_id in seen:
                self._put_aside(one.number, "duplicate", None, person, send_id)
                continue
            seen |= {person, send_id}
            self._rows[one.number] = Row(one.number, send_id, person, one.row, end=one.end)
            self._known_as.append(known_as)

    async def claim(self, tx: Transaction) -> None:
        """Takes the send ids, and looks up what became of those that were taken before."""
        workspace_id = self._batch.workspace_id
        rules = await check(tx, workspace_id, self._known_as, self._lane.path)
        rows = list(self._rows.values())
        suppressed = {row.number for row, rule in zip(rows, rules, strict=True) if rule is not None}
        members = [
            Member(
                row.send_id,
                row.recipient_hash,
                row.number,
                SendStatus.SUPPRESSED if row.number in suppressed else None,
                ErrorCode.RECIPIENT_SUPPRESSED if row.number in suppressed else None,
            )
            for row in rows
        ]
        if await tx.members.claim(self._batch, members) == len(members):
            self.counted |= dict.fromkeys(suppressed, "suppressed")
            fresh = [row for row in rows if row.number not in suppressed]
        else:
            fresh = await self._look_up(tx, rows, suppressed)
        if self._work.request.pace.profile_policy == "always":
            for row in fresh:
                self._hold(row, "waiting")
        else:
            self.ready = fresh
        await tx.held.add(workspace_id, self._batch.broadcast_id, self._held)

    async def _look_up(self, tx: Transaction, rows: Sequence[Row], suppressed: set[int]) -> list[Row]:
        """For rows of which some were claimed before, by this broadcast or by anybody: those that may be targeted."""
        workspace_id = self._batch.workspace_id
        ledger = await tx.members.by_ids(workspace_id, [row.send_id for row in rows])
        held = await tx.held.among(workspace_id, self._batch.broadcast_id, [row.number for row in rows])
        mine = [row for row in rows if self._is_mine(row, ledger.get(row.send_id))]
        attempts = await tx.members.attempts(workspace_id, [row.send_id for row in mine])
        fresh: list[Row] = []
        for row in mine:
            known, tried = ledger[row.send_id], attempts.get(row.send_id, [])
            if row.number in held:
                self.counted[row.number] = held[row.number]
            elif known.status is not None:
                self.counted[row.number] = _counted_as(known)
            elif known_outcome(known, tried) is not None:  # a worker died, and nobody knows
                self._hold(row, "unknown")
            elif row.number in suppressed:  # since it was claimed
                ended = row.send_id, SendStatus.SUPPRESSED, ErrorCode.RECIPIENT_SUPPRESSED.value
                await tx.members.close(workspace_id, [ended])
                self.counted[row.number] = "suppressed"
            else:
                row.attempts = len(tried)
                fresh.append(row)
        return fresh

    def _is_mine(self, row: Row, known: MemberRow | None) -> bool:
        if known is None or known.broadcast_id == self._batch.broadcast_id:
            if known is not None and known.audience_row == row.number:
                return True
            self._put_aside(row.number, "duplicate", None, row.recipient_hash, row.send_id)
            return False
        self._put_aside(row.number, "used", "send_id belongs to another send", row.recipient_hash, row.send_id)
        return False

    def _put_aside(
        self, number: int, state: State, reason: str | None, hash_: str | None = None, send_id: str | None = None
    ) -> None:
        counted = "duplicates" if state == "duplicate" else state
        self.counted[number] = counted
        if state == "bad":
            self.bad.append((number, reason or ""))
        self._held.append(
            Held(
                audience_row=number,
                send_id=send_id,
                recipient_hash=hash_,
                state=state,
                counted_as=counted,
                reason=reason,
                row=None,
                due_at=self._now,
                held_at=self._now,
            )
        )

    def _hold(self, row: Row, state: State) -> None:
        self.counted[row.number] = state
        self._held.append(
            Held(
                audience_row=row.number,
                send_id=row.send_id,
                recipient_hash=row.recipient_hash,
                state=state,
                counted_as=state,
                reason=None,
                row=row.row,
                due_at=self._now,
                held_at=self._now,
            )
        )


def _counted_as(known: MemberRow) -> str:
    match known.status:
        case SendStatus.SUPPRESSED:
            return "suppressed"
        case SendStatus.FAILED:
            return f"failed:{known.reason}"
        case SendStatus.CANCELLED:
            return "cancelled"
        case _:
            return "taken"


def derived_send_id(broadcast_id: str, known_as: Sequence[str]) -> str:
    """Always the same for a recipient of a broadcast, whatever the settings become meanwhile, and says nothing of who
    that is: the hashes are keyed ones."""
    return "brc_" + hashlib.sha256("\n".join([broadcast_id, *known_as]).encode()).hexdigest()[:40]
