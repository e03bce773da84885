"""Intake: events are answered for only once they are in the store.

Events that arrive together are committed together (one transaction for all that waited while the last one ran), so a
database that syncs to disk for every commit does not set the pace. After the commit the inbox run is woken; wake-ups
are coalesced, carry no event, and are repeated until Temporal has taken them. Intake goes on while Temporal is away.
"""

import asyncio
import itertools
from collections import defaultdict, deque
from collections.abc import Iterable

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from activities.waking import wake_inboxes
from endpoint.metrics import Metrics
from store.store import Store

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_MOST_WAITING = 10_000
"""Requests that may wait for a commit; beyond them the endpoint answers 503 instead of growing."""
_MOST_WAITING_BYTES = 64 * 1024 * 1024
"""Bytes of bodies that may wait, or be on their way in; beyond them it answers 503 too."""
_LARGEST_COMMIT = 1_000
_LARGEST_COMMIT_BYTES = 8 * 1024 * 1024
_GATHER_SECONDS = 0.002
"""What comes within so short a time of the last commit is gathered, so that a flood makes few and large ones. An event
that comes alone does not wait for company."""
_WAKE_SPACING_SECONDS = 0.1
_WAKE_RETRY_SECONDS = 5.0
_DRAIN_SECONDS = 10.0


class NotKept(Exception):
    """The events are not in the store: Iterable must send them again."""


class _Batch:
    """Events that will be committed together, by workspace and as they were posted, and the futures that their
    requests' answers wait for."""

    __slots__ = ("bodies", "kept", "size")

    def __init__(self) -> None:
        self.bodies: defaultdict[str, list[bytes]] = defaultdict(list)
        self.kept: list[asyncio.Future[None]] = []
        self.size = 0

    def is_full(self) -> bool:
        """Whether what comes next belongs to another commit."""
        return len(self.kept) >= _LARGEST_COMMIT or self.size >= _LARGEST_COMMIT_BYTES

    def fail(self, why: str) -> None:
        """Has the requests answered, so that Iterable sends their events again."""
        for kept in self.kept:
            if not kept.done():
                kept.set_exception(NotKept(why))


class Intake:
    """Start with `start`, end with `drain`."""

    def __init__(self, store: Store, temporal: Client, task_queue: str, shards: int, metrics: Metrics) -> None:
        self._store = store
        self._temporal = temporal
        self._task_queue = task_queue
        self._next_shard = itertools.cycle(range(shards))
        self._metrics = metrics
        self._batches: deque[_Batch] = deque()
        self._waiting = 0
        self._waiting_bytes = 0
        self._something_waits = asyncio.Event()
        self._to_wake: set[tuple[str, int]] = set()
        self._wake = asyncio.Event()
        self._draining = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins to take events, and wakes the inboxes of events that an earlier process kept but woke nobody for."""
        async with self._store.read() as tx:
            self._note(await tx.inbox.shards_waiting())
        self._loop = asyncio.get_running_loop()
        self._tasks = [asyncio.create_task(self._commit_forever()), asyncio.create_task(self._wake_forever())]

    def keep(self, workspace_id: str, bodies: list[bytes], size: int) -> asyncio.Future[None]:
        """Done once the events are committed, or failed with `NotKept`, which is raised at once where too much waits.
        `size` is the bytes they hold in memory."""
        if self._waiting >= _MOST_WAITING or self._draining:
            raise NotKept("too many requests wait, or no more are taken")
        self.reserve(size)
        self._waiting += 1
        if not self._batches or self._batches[-1].is_full():
            self._batches.append(_Batch())
            self._something_waits.set()
        batch = self._batches[-1]
        batch.bodies[workspace_id] += bodies
        batch.size += size
        kept: asyncio.Future[None] = self._loop.create_future()
        batch.kept.append(kept)
        return kept

    def reserve(self, size: int) -> None:
        """Counts bytes as waiting; raises `NotKept` where that is too many."""
        if self._waiting_bytes + size > _MOST_WAITING_BYTES:
            raise NotKept("too many bytes wait")
        self._waiting_bytes += size

    def release(self, size: int) -> None:
        """Bytes that wait no longer."""
        self._waiting_bytes -= size

    async def drain(self) -> None:
        """Commits what waits, as far as it can be done in 10 seconds, tries once more to wake, and stops. Whoever was
        not kept by then is told so."""
        committing = self._tasks[0]
        self._draining = True
        self._something_waits.set()
        await asyncio.wait([committing], timeout=_DRAIN_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for batch in self._batches:
            batch.fail("the time for draining is over")
        await self._wake_all()

    async def _commit_forever(self) -> None:
        while self._batches or not self._draining:
            await self._something_waits.wait()
            began = self._loop.time()
            if self._batches:
                await self._commit(self._batches.popleft())
            if not self._batches and not self._draining:
                self._something_waits.clear()
            await asyncio.sleep(began + _GATHER_SECONDS - self._loop.time())

    async def _commit(self, batch: _Batch) -> None:
        shard = next(self._next_shard)
        events = sum(map(len, batch.bodies.values()))
        try:
            await self._store.keep(batch.bodies, shard)
        except asyncio.CancelledError:
            batch.fail("the time for draining is over")
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, these requests are answered and the next ones taken
            log.warning("intake.not_kept", events=events, error=type(error).__name__)
            batch.fail("the database did not take the events")
            return
        finally:
            self._waiting -= len(batch.kept)
            self.release(batch.size)
        for kept in batch.kept:
            if not kept.done():  # its client may have gone
                kept.set_result(None)
        self._metrics.kept.inc(len(batch.kept))
        self._metrics.events_kept.inc(events)
        self._note((workspace_id, shard) for workspace_id in batch.bodies)

    def _note(self, shards: Iterable[tuple[str, int]]) -> None:
        shards = set(shards)
        if shards:
            self._to_wake.update(shards)
            self._wake.set()

    async def _wake_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            all_awake = await self._wake_all()
            await asyncio.sleep(_WAKE_SPACING_SECONDS if all_awake else _WAKE_RETRY_SECONDS)
            if not all_awake:
                self._wake.set()

    async def _wake_all(self) -> bool:
        """Whether every inbox was woken; those that were not stay noted."""
        for workspace_id, shard in sorted(self._to_wake):
            self._to_wake.discard((workspace_id, shard))
            try:
                await wake_inboxes(self._temporal, self._task_queue, workspace_id, [shard])
            except (RPCError, RuntimeError) as error:  # RuntimeError: the first connection did not come about
                self._to_wake.add((workspace_id, shard))
                log.warning("intake.temporal_away", error=type(error).__name__)
                return False
        return True
