"""A lane: recipients of one broadcast on their way through Iterable, many at a time.

One transaction, a *turn*, writes down what came back and begins what leaves next: one commit for every few dozen
recipients, and never more attempts open than requests are under way. In the same transaction it looks at what is wanted
of the broadcast (pause, cancel, another rate), and whether it still holds the lane. So a wish that is committed is
obeyed by every attempt that begins after it, on whatever machine.
"""

import asyncio
import math
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from activities.connectors import InForce
from activities.departures import Departures, Row
from activities.failures import spread
from activities.forgetting import forget
from activities.targeting import BROADCAST_PATIENCE, TARGET, paced
from activities.verdicts import Verdicts
from contracts.broadcast import Tally
from contracts.broadcasting import LaneRequest, Stop
from contracts.errors import ErrorCode
from store.broadcasts import LaneName, LaneRow, Orders
from store.members import Batch
from store.person import Person
from store.store import Store, Transaction

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
"""Seconds between tries to write a turn down while the database is away; then the activity fails and is repeated."""
_COMPANY_SECONDS = 0.05
"""How long what came back waits for more of it."""
_IDLE_SECONDS = 0.5
"""How often a lane that has nothing to do looks at what is wanted."""
_SLACK_SECONDS = 0.02
_FARTHEST_SECONDS = 1.0
"""How far ahead turns are reserved at most, where the database is slow."""
_MOST_READ = 250
_READ_SECONDS = 2.0
_DRAIN_SECONDS = 15.0
"""How long a finished page lets out what it has read; the next one reads and checks the rest again."""
_UNANSWERED = 10
"""Ends in a row that are no answer: then Iterable is away, and it is asked with one request at a time, ever less often,
lest the whole audience's outcomes become unknown."""
_REFUSED = 50
"""Rows that Iterable refuses as they stand, and takes none between: then it is the broadcast that it refuses, and not
its rows."""
_LONGEST_CALM_SECONDS = 30.0
_TROUBLE_SECONDS = 60.0
"""Without an answer for so long, the activity fails and says why, where an admin looks; Temporal repeats it."""


@dataclass
class Work:
    """What a lane needs to know of its broadcast. `page_seconds` is its share before the next activity goes on."""

    store: Store
    connector: InForce
    request: LaneRequest
    name: LaneName
    holder: str
    begins: LaneRow
    expires_at: datetime | None
    concurrency: int
    page_seconds: float

    @property
    def batch(self) -> Batch:
        """What the recipients share."""
        asked = self.request
        return Batch(
            workspace_id=asked.workspace_id,
            broadcast_id=asked.broadcast_id,
            run_id=asked.run_id,
            stream=asked.stream,
            fingerprint=asked.fingerprint,
            template_ref=asked.template_ref,
            shadow=asked.shadow,
        )

    def stopped_by(self, orders: Orders) -> Stop | None:
        """Why nothing may begin any more, by what is wanted and the time; None where it may."""
        if orders.wanted == "cancel":
            return "cancelled"
        if orders.wanted == "pause":
            return "paused"
        if self.expires_at is not None and datetime.now(UTC) >= self.expires_at:
            return "expired"
        return None


class Superseded(Exception):
    """Another worker holds the lane."""


class Lane(ABC):
    """What all lanes share. A subclass says where rows come from, and how they are kept and counted."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.batch = work.batch
        self.stop: Stop | None = None
        self.reason: str | None = None
        self.finished = 0
        self.ended = Counter[str]()
        self.exhausted = False
        self.position = work.begins.position
        self.counts: Counter[str] = work.begins.tally.counts()
        self._ready: deque[Row] = deque()
        self._departures = Departures(work.connector.iterable, work.connector.settings.project_type, work.concurrency)
        self._unwritten = self._verdicts()
        self._rate: float | None = None
        self._unanswered = 0
        self._unanswered_since = 0.0
        self._refused = 0
        self._not_before = 0.0
        self._until = math.inf
        self._turn_seconds = 0.01
        self.writing = asyncio.Lock()
        """Held from before the counts are computed until they are committed: two transactions would overwrite each
        other's."""
        self._tries = 0
        self._fault: Exception | None = None
        self._shown = (self.position, Tally.of(self.counts))

    # ── what a subclass says ──────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    async def more(self) -> Sequence[Row]:
        """The next rows that may be targeted. Sets `exhausted` where there are none behind them."""

    @abstractmethod
    async def keep(self, tx: Transaction, verdicts: Verdicts) -> None:
        """Writes rows that are held now, or are held differently."""

    @abstractmethod
    def stand(self, verdicts: Verdicts) -> tuple[str | None, Counter[str]]:
        """Position and counts as they are with these verdicts. Changes nothing: it may not come to a commit."""

    @abstractmethod
    def settle(self, verdicts: Verdicts) -> None:
        """The verdicts are committed."""

    # ── the loop ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Until nothing is left, or `stop` says why it ended before. Whatever has begun is brought to its end."""
        loop = asyncio.get_running_loop()
        until = self._until = loop.time() + self.work.page_seconds
        reading: asyncio.Task[Sequence[Row]] | None = None
        try:
            async with self._departures:
                while True:
                    if loop.time() >= until:
                        self.halt("page")
                    for ended in self._departures.take_ended():
                        self._unwritten.add(ended)
                    await self._turn()
                    if reading is not None and reading.done():
                        await self._take(reading)
                        reading = None
                    elif reading is None and self._is_over():
                        break
                    if reading is None and self._wants_rows():  # after a turn has told what is wanted
                        reading = asyncio.create_task(self.more())
                        reading.add_done_callback(lambda _: self._departures.news.set())
                    await self._departures.wait(self._patience())
        finally:
            if reading is not None:  # a turn has failed, which is what is told
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        if self._fault is not None:
            raise self._fault
        if self.stop is None:
            self.stop = "end"

    def halt(self, stop: Stop, reason: str | None = None) -> None:
        """Begins nothing more, except that what a finished page has read goes out. The gravest reason stands."""
        if self.stop in {None, "page"}:
            self.stop, self.reason = stop, reason

    @property
    def _may_begin(self) -> bool:
        return self.stop in {None, "page"}

    @property
    def appetite(self) -> int:
        """Rows to read at once: a few seconds' worth, so that little time lies between a check and a departure."""
        rate = min(self._rate or math.inf, self.work.connector.settings.sends_per_second)
        return max(10, min(_MOST_READ, int(rate * _READ_SECONDS)))

    def _wants_rows(self) -> bool:
        return self.stop is None and not self.exhausted and len(self._ready) < self.appetite // 2

    def _is_over(self) -> bool:
        if self._departures.under_way or self._departures.has_ended or self._unwritten.ends:
            return False
        if self.stop == "page" and self._lets_nothing_out():
            return True
        return not self._may_begin or (not self._ready and (self.exhausted or self.stop == "page"))

    def _lets_nothing_out(self) -> bool:
        """For so long that what was checked of its rows would not hold any more. Not while Iterable is away: then it is
        asked ever less often, and a new page would not know."""
        next_at = max(self._not_before, asyncio.get_running_loop().time())
        return next_at > self._until + _DRAIN_SECONDS and self._unanswered < _UNANSWERED

    def _patience(self) -> float:
        if self._departures.has_ended or self._unwritten.ends:
            return _COMPANY_SECONDS
        if self._ready and self._departures.free and self._may_begin:
            left = self._not_before - asyncio.get_running_loop().time()
            return min(_IDLE_SECONDS, max(left, 0.001))
        return _IDLE_SECONDS

    async def _take(self, reading: "asyncio.Task[Sequence[Row]]") -> None:
        try:
            self._ready.extend(reading.result())
        except (SQLAlchemyError, OSError) as error:
            await self._wait_for_store(error)
        except Exception as error:  # noqa: BLE001 - raised again, once what has begun is written down
            self._fault = error
            self.halt("trouble")

    def _verdicts(self) -> Verdicts:
        return Verdicts(self.work.request.pace, renewed=self.work.request.renewed)

    # ── a turn ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _turn(self) -> None:
        async with self.writing:
            verdicts = self._unwritten
            began = asyncio.get_running_loop().time()
            if not await self._try_turn(verdicts):
                return
            took = asyncio.get_running_loop().time() - began
            self._turn_seconds += (took - self._turn_seconds) / 5
            self.settle(verdicts)
        await self._draw_conclusions(verdicts)

    async def _try_turn(self, verdicts: Verdicts) -> bool:
        try:
            async with self.work.store.begin() as tx:
                batch = self.batch
                orders = await tx.broadcasts.orders(
                    batch.workspace_id, batch.broadcast_id, self.work.name, self.work.holder
                )
                if not orders.mine:
                    raise Superseded
                self._obey(orders)
                await self._write(tx, verdicts)
                leaving = await self._begin(tx)
                position, counts = self.stand(verdicts)
                shown = position, Tally.of(counts)
                if shown != self._shown:
                    await tx.broadcasts.advance(batch.workspace_id, batch.broadcast_id, self.work.name, *shown)
        except IntegrityError:
            # A commit was lost on its way back: what it began is in the ledger, and did not leave. The next page sees
            # to it; what came back meanwhile is written by the next turn, which begins nothing.
            self.halt("trouble")
            return False
        except (SQLAlchemyError, OSError) as error:
            await self._wait_for_store(error)  # what came back is kept, and written later
            return False
        self._tries = 0
        self._shown = shown
        self._unwritten = self._verdicts()
        for _ in leaving.rows:
            self._ready.popleft()
        self._departures.leave(leaving.rows, batch, leaving.at, leaving.interval)
        return True

    async def _wait_for_store(self, error: Exception) -> None:
        if self._tries == len(_PAUSES):
            raise error
        await asyncio.sleep(_PAUSES[self._tries])
        self._tries += 1

    def _obey(self, orders: Orders) -> None:
        self._rate = orders.rate
        self._departures.set_rate(orders.rate)
        stop = self.work.stopped_by(orders)
        if stop is not None:
            self.halt(stop)

    async def _write(self, tx: Transaction, verdicts: Verdicts) -> None:
        workspace_id = self.batch.workspace_id
        await tx.members.end_attempts(workspace_id, verdicts.ends)
        await tx.members.accept(workspace_id, verdicts.taken)
        await tx.members.close(workspace_id, verdicts.closed)
        await self.keep(tx, verdicts)
        if verdicts.slow_down is not None:
            await tx.paces.slow_down(workspace_id, TARGET, timedelta(seconds=verdicts.slow_down))
        if verdicts.campaign_gone:
            await tx.shadows.drop(workspace_id, self.batch.shadow.campaign_id)

    async def _begin(self, tx: Transaction) -> "_Leaving":
        """Attempts that are in the ledger once this transaction commits; only then may they leave."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        most = min(self._departures.free, len(self._ready))
        if self._unanswered >= _UNANSWERED:
            most = min(most, 1 - self._departures.under_way)
        if most <= 0 or now < self._not_before or not self._may_begin:
            return _Leaving([], 0.0, 0.0)
        ahead = self._ahead
        allowed, wait = self._departures.allowed(most, ahead)
        if not allowed:
            self._not_before = now + wait + _SLACK_SECONDS
            return _Leaving([], 0.0, 0.0)
        pace = paced(self.work.connector.settings)
        turns = await tx.paces.reserve_some(self.batch.workspace_id, TARGET, pace, timedelta(seconds=ahead), allowed)
        rows = [self._ready[index] for index in range(turns.count)]
        await tx.members.begin_attempts(
            self.batch.workspace_id, [(row.send_id, row.attempts + 1) for row in rows], self.batch.shadow
        )
        last = now + (turns.wait + turns.count * turns.interval).total_seconds()
        if not rows:
            self._not_before = now + turns.wait.total_seconds() + _SLACK_SECONDS
        elif turns.count < most:  # the next ones are reserved before the last of these leaves
            self._not_before = last - 1.5 * self._turn_seconds - _SLACK_SECONDS
        return _Leaving(rows, now + turns.wait.total_seconds(), turns.interval.total_seconds())

    @property
    def _ahead(self) -> float:
        """Seconds. As little as keeps requests leaving while a turn is written: a single send waits as long at most."""
        ahead = max(BROADCAST_PATIENCE.total_seconds(), 3 * self._turn_seconds + 2 * _SLACK_SECONDS)
        return min(_FARTHEST_SECONDS, ahead)

    # ── what follows from it ──────────────────────────────────────────────────────────────────────────────────────

    async def _draw_conclusions(self, verdicts: Verdicts) -> None:
        self.finished += len(verdicts.counted)
        self.ended.update(end for _, _, end in verdicts.ends)
        for row in reversed(verdicts.again):
            row.attempts += 1
            self._ready.appendleft(row)
        if verdicts.campaign_gone:
            self.halt("campaign_gone")
        self.heed_key(verdicts)
        self._note_refusals(verdicts)
        self._note_silence(verdicts)
        people = [
            person
            for row in verdicts.forgotten
            for person in Person.all_of(self.work.store.hasher, row.row.recipient.email, row.row.recipient.user_id)
        ]
        if people:
            await forget(self.work.store, self.batch.workspace_id, people, source="iterable")

    def heed_key(self, verdicts: Verdicts) -> None:
        """Stops where the key was refused; whether for good is a setting."""
        if verdicts.key_refused is not None:
            waits = self.work.connector.settings.on_key_refused == "wait"
            self.halt("trouble" if waits else "stuck", verdicts.key_refused)

    def _note_refusals(self, verdicts: Verdicts) -> None:
        if verdicts.taken:
            self._refused = 0
        self._refused += sum(how == f"failed:{ErrorCode.PROVIDER_REJECTED}" for how in verdicts.counted.values())
        if self._refused >= _REFUSED:
            self.halt("stuck", ErrorCode.PROVIDER_REJECTED)

    def _note_silence(self, verdicts: Verdicts) -> None:
        now = asyncio.get_running_loop().time()
        if verdicts.answered:
            self._unanswered = 0
        if not verdicts.unanswered:
            return
        if not self._unanswered:
            self._unanswered_since = now
        self._unanswered += verdicts.unanswered
        if self._unanswered >= _UNANSWERED:
            doublings = min(self._unanswered - _UNANSWERED, 8)
            calm = spread(min(_LONGEST_CALM_SECONDS, 0.5 * 2.0**doublings))
            self._not_before = now + calm.total_seconds()
            if now - self._unanswered_since > _TROUBLE_SECONDS:
                self.halt("trouble", "provider_unavailable")


@dataclass(frozen=True, slots=True)
class _Leaving:
    """Rows whose requests leave from `at` on (the loop's time), one every `interval` seconds."""

    rows: list[Row]
    at: float
    interval: float
