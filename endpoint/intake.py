"""Intake: events are answered for only once they are in the store.

Events that arrive together are committed together (one transaction for all that waited while the last one ran), so a
database that syncs to disk for every commit does not set the pace. After the commit the inbox run is woken; wake-ups
are coalesced, carry no event, and are repeated until Temporal has taken them. Intake goes on while Temporal is away.
"""

import asyncio
from collections.abc import Iterable

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from contracts.inbox import InboxShard
from contracts.names import INBOX_WORKFLOW, WAKE_SIGNAL, inbox_workflow_id
from endpoint.metrics import Metrics
from store.arrival import Arrival
from store.store import Store

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_MOST_WAITING = 10_000
"""Requests that may wait for a commit; beyond them the endpoint answers 503 instead of growing."""
_MOST_WAITING_BYTES = 64 * 1024 * 1024
"""Bytes of bodies that may wait, or be on their way in; beyond them it answers 503 too."""
_LARGEST_COMMIT = 1_000
_WAKE_SPACING_SECONDS = 0.1
_WAKE_RETRY_SECONDS = 5.0
_DRAIN_SECONDS = 10.0


class NotKept(Exception):
    """The events are not in the store: Iterable must send them again."""


class _Request:
    """Events of one webhook and the future that its answer waits for."""

    __slots__ = ("arrivals", "kept", "size")

    def __init__(self, arrivals: list[Arrival], size: int, kept: asyncio.Future[None]) -> None:
        self.arrivals = arrivals
        self.size = size
        self.kept = kept


class Intake:
    """Start with `start`, end with `drain`."""

    def __init__(self, store: Store, temporal: Client, task_queue: str, metrics: Metrics) -> None:
        self._store = store
        self._temporal = temporal
        self._task_queue = task_queue
        self._metrics = metrics
        self._waiting: list[_Request] = []
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

    def keep(self, arrivals: list[Arrival], size: int) -> asyncio.Future[None]:
        """Done once the events are committed, or failed with `NotKept`, which is raised at once where too much waits.
        `size` is the bytes they hold in memory."""
        if len(self._waiting) >= _MOST_WAITING:
            raise NotKept("too many requests wait")
        self.reserve(size)
        kept: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(_Request(arrivals, size, kept))
        if len(self._waiting) == 1:
            self._something_waits.set()
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
        """Commits what waits, tries once more to wake, and stops."""
        committing = self._tasks[0]
        self._draining = True
        self._something_waits.set()
        await asyncio.wait([committing], timeout=_DRAIN_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._wake_all()

    async def _commit_forever(self) -> None:
        while self._waiting or not self._draining:
            await self._something_waits.wait()
            batch, self._waiting = self._waiting[:_LARGEST_COMMIT], self._waiting[_LARGEST_COMMIT:]
            if not self._waiting and not self._draining:
                self._something_waits.clear()
            if batch:
                await self._commit(batch)

    async def _commit(self, batch: list[_Request]) -> None:
        arrivals = [arrival for request in batch for arrival in request.arrivals]
        try:
            await self._store.keep(arrivals)
        except Exception as error:  # noqa: BLE001 - whatever it was, these requests are answered and the next ones taken
            log.warning("intake.not_kept", events=len(arrivals), error=type(error).__name__)
            for request in batch:
                if not request.kept.done():
                    request.kept.set_exception(NotKept("the database did not take the events"))
            return
        finally:
            self.release(sum(request.size for request in batch))
        for request in batch:
            if not request.kept.done():  # its client may have gone
                request.kept.set_result(None)
        self._metrics.kept.inc(len(batch))
        self._metrics.events_kept.inc(len(arrivals))
        self._note((arrival.workspace_id, arrival.shard) for arrival in arrivals)

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
        for shard in sorted(self._to_wake):
            self._to_wake.discard(shard)
            try:
                await self._wake_inbox(*shard)
            except (RPCError, RuntimeError) as error:  # RuntimeError: the first connection did not come about
                self._to_wake.add(shard)
                log.warning("intake.temporal_away", error=type(error).__name__)
                return False
        return True

    async def _wake_inbox(self, workspace_id: str, shard: int) -> None:
        await self._temporal.start_workflow(
            INBOX_WORKFLOW,
            InboxShard(workspace_id=workspace_id, shard=shard),
            id=inbox_workflow_id(workspace_id, shard),
            task_queue=self._task_queue,
            start_signal=WAKE_SIGNAL,
        )
