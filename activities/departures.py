"""Requests of a lane on their way to Iterable: when each leaves, and what came back."""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from activities.targeting import below, target_email
from contracts.broadcast import AudienceRow
from contracts.connector import ProjectType
from iterable.client import IterableClient
from iterable.errors import IterableError
from store.held import Held
from store.members import Batch

_BURST_SECONDS = 0.2
"""How much of what a broadcast's own rate missed (the disk was slow, say) it may catch up. No second sees more than the
rate all the same."""


@dataclass(slots=True, eq=False)
class Row:
    """A recipient who may be targeted. `attempts` were made before, none of which may have reached Iterable, unless
    that is accepted. `end` is the offset behind its row."""

    number: int
    send_id: str
    recipient_hash: str
    row: AudienceRow
    end: int = 0
    attempts: int = 0
    held: Held | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended: taken where there is no error."""

    row: Row
    error: IterableError | None
    at: datetime


class OwnRate:
    """A broadcast's own rate. One process at a time works on a lane, so it needs no row in the store."""

    def __init__(self) -> None:
        self._interval = 0.0
        self._most = 0
        self._next = 0.0
        self._left: deque[float] = deque()

    def set(self, per_second: float | None) -> None:
        """None: as fast as the project's pace allows."""
        used = below(per_second) if per_second else math.inf
        if used != math.inf and 1 / used != self._interval:
            self._interval = 1 / used
            self._most = max(1, math.floor(used))
        elif used == math.inf:
            self._interval, self._most = 0.0, 0

    def allowed(self, now: float, wanted: int, within: float) -> tuple[int, float]:
        """How many of the wanted departures come up within some seconds, and when to ask again for more."""
        if not self._interval:
            return wanted, 0.0
        ahead = now + within - max(self._next, now - _BURST_SECONDS)
        if ahead < 0:
            return 0, -ahead
        return min(wanted, int(ahead / self._interval) + 1), 0.0

    def departs(self, at: float, now: float) -> float:
        """When the next request should leave that could leave at `at`."""
        if not self._interval:
            return at
        turn = max(self._next, now - _BURST_SECONDS)
        self._next = turn + self._interval
        return max(at, turn, now)

    def leaves(self, now: float) -> float:
        """Seconds until a request may really leave; 0 notes that it does. Counted as they leave: where the loop was
        late, requests that were due one after another must not fall into one second."""
        if not self._interval:
            return 0.0
        while len(self._left) > self._most:
            self._left.popleft()
        wait = self._left[0] + 1.0 - now if len(self._left) == self._most else 0.0
        if wait > 0:
            return wait
        self._left.append(now)
        return 0.0


class Departures:
    """At most so many requests at once. Use as a context manager: leaving it waits for nothing, so wait before."""

    def __init__(self, iterable: IterableClient, project_type: ProjectType, concurrency: int) -> None:
        self.news = asyncio.Event()
        self.under_way = 0
        self._iterable = iterable
        self._project_type: ProjectType = project_type
        self._concurrency = concurrency
        self._rate = OwnRate()
        self._ended: list[Ended] = []
        self._leaving: asyncio.Queue[tuple[Row, float, Batch]] = asyncio.Queue()
        self._calls: set[asyncio.Task[None]] = set()
        self._dispatcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._dispatcher = asyncio.create_task(self._dispatch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._dispatcher is not None:
            self._dispatcher.cancel()

    @property
    def free(self) -> int:
        """How many more may be under way."""
        return self._concurrency - self.under_way

    @property
    def has_ended(self) -> bool:
        """Whether something came back."""
        return bool(self._ended)

    def set_rate(self, per_second: float | None) -> None:
        """The broadcast's own rate."""
        self._rate.set(per_second)

    def allowed(self, wanted: int, within: float) -> tuple[int, float]:
        """As `OwnRate.allowed`."""
        return self._rate.allowed(asyncio.get_running_loop().time(), wanted, within)

    def leave(self, rows: Sequence[Row], batch: Batch, at: float, interval: float) -> None:
        """Lets requests leave whose attempts are in the ledger: the first at `at` (the loop's time), the others one
        `interval` after another, or later where the broadcast's own rate says so."""
        now = asyncio.get_running_loop().time()
        self.under_way += len(rows)
        for index, row in enumerate(rows):
            self._leaving.put_nowait((row, self._rate.departs(at + index * interval, now), batch))

    def take_ended(self) -> list[Ended]:
        """What came back since the last time."""
        ended, self._ended = self._ended, []
        self.news.clear()
        return ended

    async def wait(self, seconds: float) -> None:
        """Until half of what may be under way has come back, all of it, or some time has passed."""
        try:
            async with asyncio.timeout(seconds):
                await self.news.wait()
        except TimeoutError:
            return

    async def _dispatch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            row, at, batch = await self._leaving.get()
            wait = at - loop.time()
            while wait > 0 or (wait := self._rate.leaves(loop.time())) > 0:
                await asyncio.sleep(wait)
                wait = 0.0
            call = asyncio.create_task(self._call(row, batch))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _call(self, row: Row, batch: Batch) -> None:
        error: IterableError | None = None
        try:
            await self._iterable.email.target(
                target_email(
                    workspace_id=batch.workspace_id,
                    broadcast_id=batch.broadcast_id,
                    send_id=row.send_id,
                    campaign_id=batch.shadow.campaign_id,
                    recipient=row.row.recipient,
                    data=row.row.data,
                    metadata=row.row.metadata,
                    project_type=self._project_type,
                )
            )
        except IterableError as caught:
            error = caught
        finally:
            self.under_way -= 1
        self._ended.append(Ended(row, error, datetime.now(UTC)))
        if not self.under_way or len(self._ended) * 2 >= self._concurrency:
            self.news.set()
