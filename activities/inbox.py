"""Draining the inbox: events as they came become timelines, standings, suppressions, and news for the open runs."""

import asyncio
import contextlib
import hashlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.catalogs import Catalogs
from activities.joining import join, keep
from activities.push import wake_push
from activities.reading import kind_of, read
from activities.suppressing import reports_of
from contracts.channel import Catalog
from contracts.event import Event, EventKind
from contracts.inbox import DrainResult, InboxShard
from contracts.names import EVENTS_SIGNAL, LOOK_SIGNAL, connector_workflow_id, send_workflow_id
from iterable.webhook_event import UnreadableEvent, WebhookEvent, parse
from store.events import Recorded
from store.forgetting import BODY
from store.inbox import NOTHING_PASSED, Passed, Unopened, Waiting
from store.keyring import KeyMissing
from store.person import Person
from store.store import Store, Transaction
from store.suppressions import Report, Told

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_BATCH = 2000
"""Events a transaction: some 0.15 s, for which an endpoint on SQLite may have to wait; half as many take a tenth longer
in all."""
_BATCH_BYTES = 4 * 1024 * 1024
"""Bytes of bodies a transaction. An event has a few kilobytes; one may have as much as the endpoint takes (1 MiB)."""
_TURN_SECONDS = 5.0
"""Short against the activity's timeout, long against the way to the next one."""
_SUBSCRIPTIONS = frozenset({EventKind.UNSUBSCRIBED, EventKind.RESUBSCRIBED})
_SIGNALS_AT_ONCE = 20
_SLACK = timedelta(days=1)
"""How much later than its windows say a run may end: timers wait while no worker runs."""
_LOOKED_AT_AGAIN = 500
"""Unmatched events that one drain looks at again."""
_ATTEMPT_SLACK = timedelta(minutes=1)
"""An attempt that began so much before an event was looked at may not have been visible yet."""
_KEY_PATIENCE = timedelta(minutes=15)
"""How long events wait for a key that this process has not: in a rotation, one that was started anew has it."""
_EVENTS_FAULT = (DataError, IntegrityError)
"""What a database says of a value; all its other errors are about itself, and the drain is tried again."""
_CANNOT_BE_TOLD = frozenset(
    {RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.FAILED_PRECONDITION}
)
"""The run has ended, or takes no more signals. Its timeline is in the store."""


class _Readable(NamedTuple):
    """A waiting event, and what it says. `event_id` names its occurrence."""

    waiting: Waiting
    event_id: str
    body: bytes
    event: WebhookEvent
    kind: EventKind


@dataclass
class _Tally:
    drained: int = 0
    joined: int = 0
    set_aside: int = 0
    came: bool = False
    """Whether one of them came by webhook, and was not read from Iterable's records."""
    lag_seconds: float | None = None
    passed: Passed = NOTHING_PASSED
    missing: str | None = None
    """What was left lying for want of its key, and why."""

    def note(self, waiting: list[Waiting]) -> None:
        """How long the oldest of a batch has waited, if no older one was met. Events that do not come in a packet were
        back-filled, or lay aside until somebody replayed them: those did not wait for the drain."""
        came = [one.received_at for one in waiting if one.id < 0]
        if came:
            self.lag_seconds = max((datetime.now(UTC) - min(came)).total_seconds(), self.lag_seconds or 0.0)


class InboxActivities:
    """What `EventInboxWorkflow` does to the world."""

    def __init__(self, store: Store, temporal: Client, catalogs: Catalogs, task_queue: str) -> None:
        self._store = store
        self._temporal = temporal
        self._catalogs = catalogs
        self._task_queue = task_queue

    @activity.defn
    async def drain_inbox(self, shard: InboxShard) -> DrainResult:
        """Drains batch after batch and tells the open runs, until nothing waits or its turn is over.

        Several batches a turn, because on a busy queue the way from one activity to the next is the slow part. Safe to
        repeat: an occurrence is kept once, and a run that is told twice recognises the event. A worker that dies after
        a transaction leaves the events marked as not yet told. An event that cannot be drained is set aside with the
        reason; it holds up none of the others. One whose key is missing waits a while, and where nothing else is to be
        done `KeyMissing` is raised, so that another worker tries.
        """
        with structlog.contextvars.bound_contextvars(workspace=shard.workspace_id, shard=shard.shard):
            async with self._store.begin() as tx:  # what is placed from here on is marked as it is placed
                followed_since = await self._followed_since(tx, shard.workspace_id)
                await tx.events.forgo_signals(shard.workspace_id, followed_since)
            tally = _Tally()
            turn_ends = time.monotonic() + _TURN_SECONDS
            more = True
            while more and time.monotonic() < turn_ends:
                async with self._store.read() as tx:
                    batch = await tx.inbox.batch(shard.workspace_id, shard.shard, _BATCH, _BATCH_BYTES, tally.passed)
                more = batch.more
                if batch.unopened:
                    await self._pass_or_set_aside(batch.unopened, tally)
                if batch.waiting:
                    tally.note(batch.waiting)
                    await self._drain(shard.workspace_id, batch.waiting, tally)
                if not more:
                    await self._look_again(shard.workspace_id)
                await self._tell_runs(shard.workspace_id)
            if tally.came:
                await self._note_webhook(shard.workspace_id)
            await self._tell_push(shard.workspace_id)
            if tally.missing is not None:
                log.warning("inbox.waits_for_key", problem=tally.missing)
                if not tally.drained and not tally.set_aside:
                    raise KeyMissing(tally.missing)
            return DrainResult(
                drained=tally.drained,
                joined=tally.joined,
                unmatched=tally.drained - tally.joined,
                set_aside=tally.set_aside,
                more=more,
                lag_seconds=tally.lag_seconds,
            )

    async def _drain(self, workspace_id: str, waiting: list[Waiting], tally: _Tally) -> None:
        """One transaction; where one of the events makes it fail, the two halves, each by itself."""
        try:
            readable, problems = self._sort(waiting)
            catalog = await self._catalog(workspace_id, readable)  # may ask Iterable: outside the transaction
            async with self._store.begin() as tx:
                joined = await self._drain_together(tx, workspace_id, readable, problems, catalog)
        except Exception as error:
            if isinstance(error, OSError) or (
                isinstance(error, SQLAlchemyError) and not isinstance(error, _EVENTS_FAULT)
            ):
                raise
            if len(waiting) == 1:
                async with self._store.begin() as tx:
                    await self._set_aside(tx, workspace_id, waiting[0], f"unexpected {type(error).__name__}")
                tally.set_aside += 1
                return
            log.warning("inbox.batch_failed", events=len(waiting), error=type(error).__name__)
            middle = len(waiting) // 2
            await self._drain(workspace_id, waiting[:middle], tally)
            await self._drain(workspace_id, waiting[middle:], tally)
            return
        tally.drained += len(readable)
        tally.joined += joined
        tally.set_aside += len(problems)
        tally.came |= any(not one.event.read_from for one in readable)

    def _sort(self, waiting: list[Waiting]) -> tuple[list[_Readable], list[tuple[Waiting, str]]]:
        """Events that can be read, and what is wrong with each of the others."""
        readable: list[_Readable] = []
        problems: list[tuple[Waiting, str]] = []
        for one in waiting:
            try:
                event = parse(one.body)
            except UnreadableEvent as error:
                problems.append((one, str(error)))
                continue
            kind = kind_of(event)
            if kind is None:
                problems.append((one, f"unknown event {event.name}"))
            else:
                event_id = self._store.hasher.of_occurrence(event.occurrence)
                readable.append(_Readable(one, event_id, one.body, event, kind))
        return readable, problems

    async def _catalog(self, workspace_id: str, readable: list[_Readable]) -> Catalog:
        changes = [one.event for one in readable if one.kind in _SUBSCRIPTIONS]
        if not changes:
            return Catalog()
        channels = {id_ for event in changes for id_ in (*event.channel_ids, event.channel_id) if id_ is not None}
        return await self._catalogs.covering(
            workspace_id, channels, {id_ for event in changes for id_ in event.message_type_ids}
        )

    async def _drain_together(
        self,
        tx: Transaction,
        workspace_id: str,
        readable: list[_Readable],
        problems: list[tuple[Waiting, str]],
        catalog: Catalog,
    ) -> int:
        for one, problem in problems:
            await self._set_aside(tx, workspace_id, one, problem)
        joined = await self._keep(tx, workspace_id, readable, catalog)
        await tx.inbox.remove([one.waiting.id for one in readable])
        return joined

    async def _keep(self, tx: Transaction, workspace_id: str, readable: list[_Readable], catalog: Catalog) -> int:
        if not readable:
            return 0
        await tx.feed.lock(workspace_id)
        people = [Person.all_of(self._store.hasher, one.event.email, one.event.user_id) for one in readable]
        hashes = sorted({person.recipient_hash for known_as in people for person in known_as})
        forgotten = await tx.suppressions.are_forgotten(workspace_id, hashes)
        told = await _told(tx, workspace_id, readable, people)
        recorded: list[Recorded] = []
        reports: list[Report] = []
        for one, known_as in zip(readable, people, strict=True):
            ours = read(one.event, one.kind, one.event_id)
            if forgotten.isdisjoint(person.recipient_hash for person in known_as):
                recorded.append(_recorded(ours, one, workspace_id, known_as, one.body))
                told_of_them = [entry for person in known_as for entry in told.get(person.recipient_hash, ())]
                reports += reports_of(known_as, one.event, ours, catalog, told_of_them)
            else:  # somebody who asked to be forgotten: what happened is kept, to whom is not
                recorded.append(_recorded(ours.model_copy(update={"url": None}), one, workspace_id, [], BODY))
        await tx.suppressions.record(workspace_id, reports)
        joined = await keep(tx, workspace_id, recorded, await self._followed_since(tx, workspace_id))
        return sum(one.event.event_id in joined for one in recorded)

    async def _set_aside(self, tx: Transaction, workspace_id: str, one: Waiting, problem: str) -> None:
        # By its body: what cannot be read may have the name of something else.
        name = self._store.hasher.of_occurrence(f"aside:{hashlib.sha256(one.body).hexdigest()}")
        await tx.inbox.set_aside(workspace_id, one.id, name, problem)
        log.warning("inbox.set_aside", inbox_id=one.id, problem=problem)

    async def _pass_or_set_aside(self, unopened: list[Unopened], tally: _Tally) -> None:
        since = self._store.now() - _KEY_PATIENCE
        given_up: list[Unopened] = []
        for one in unopened:
            if one.key_missing and one.received_at is not None and one.received_at > since:
                tally.passed, tally.missing = tally.passed.beyond(one), one.reason
            else:
                given_up.append(one)
        if not given_up:
            return
        async with self._store.begin() as tx:
            for one in given_up:
                await tx.inbox.set_aside_unopened(one)
        for one in given_up:
            log.warning("inbox.set_aside", inbox_id=one.id, events=one.events, problem=one.reason)
            tally.set_aside += one.events

    async def _look_again(self, workspace_id: str) -> None:
        """Unmatched events for whose person and campaign an attempt has become known since."""
        async with self._store.read() as tx:
            event_ids = await tx.events.to_look_at(workspace_id, _LOOKED_AT_AGAIN, _ATTEMPT_SLACK)
        if event_ids:
            async with self._store.begin() as tx:
                await tx.feed.lock(workspace_id)
                await join(tx, workspace_id, event_ids, await self._followed_since(tx, workspace_id))
                await tx.events.looked_at(workspace_id, event_ids)

    async def _tell_runs(self, workspace_id: str) -> None:
        """Signals only runs that can still be open: one that has ended costs a call once, and is remembered. A signal
        that failed for another reason holds up none of the others; it is tried again with the activity."""
        calls = asyncio.Semaphore(_SIGNALS_AT_ONCE)
        while True:
            async with self._store.read() as tx:
                waiting = await tx.events.to_signal(workspace_id, _BATCH)
            if not waiting:
                return
            answers = await asyncio.gather(
                *(self._tell(calls, workspace_id, send_id, [e for _, e in some]) for send_id, some in waiting.items()),
                return_exceptions=True,
            )
            told = [
                cursor
                for some, answer in zip(waiting.values(), answers, strict=True)
                if not isinstance(answer, BaseException)
                for cursor, _ in some
            ]
            async with self._store.begin() as tx:
                await tx.events.mark_signalled(workspace_id, told)
                await tx.sends.run_ended(workspace_id, [answer for answer in answers if isinstance(answer, str)])
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer

    async def _followed_since(self, tx: Transaction, workspace_id: str) -> datetime:
        """A send that Iterable took before this moment is followed by no run: its windows are over."""
        connector = await tx.connectors.get(workspace_id)
        settings = connector.settings if connector else None
        window = (
            timedelta(seconds=settings.confirm_within_seconds + settings.settle_for_seconds) if settings else _SLACK
        )
        return datetime.now(UTC) - window - _SLACK

    async def _note_webhook(self, workspace_id: str) -> None:
        """The first webhook that was awaited makes the connector active; its run is told, or sees at its next look."""
        async with self._store.begin() as tx:
            awaited = await tx.connectors.webhook_came(workspace_id)
        if awaited:
            with contextlib.suppress(RPCError):
                await self._temporal.get_workflow_handle(connector_workflow_id(workspace_id)).signal(LOOK_SIGNAL)

    async def _tell_push(self, workspace_id: str) -> None:
        """Wakes the push where the feed is ahead of it: also after a wake-up that got lost with its worker."""
        async with self._store.read() as tx:
            behind = await tx.pushes.is_behind(workspace_id)
        if behind:
            await wake_push(self._temporal, self._task_queue, workspace_id)

    async def _tell(self, calls: asyncio.Semaphore, workspace_id: str, send_id: str, events: list[Event]) -> str | None:
        """The send, where its run has ended: its timeline is in the store."""
        handle = self._temporal.get_workflow_handle(send_workflow_id(workspace_id, send_id))
        async with calls:
            try:
                await handle.signal(EVENTS_SIGNAL, events)
            except RPCError as error:
                if error.status not in _CANNOT_BE_TOLD:
                    raise
                return send_id
        return None


def _recorded(ours: Event, one: _Readable, workspace_id: str, known_as: list[Person], body: bytes) -> Recorded:
    correlation = one.event.correlation
    return Recorded(
        event=ours,
        named_send=correlation.get("send") if correlation.get("workspace") == workspace_id else None,
        campaign_id=one.event.campaign_id,
        recipient_hash=known_as[0].recipient_hash if known_as else None,
        user_hash=known_as[1].recipient_hash if len(known_as) > 1 else None,
        received_at=one.waiting.received_at,
        body=body,
    )


async def _told(
    tx: Transaction, workspace_id: str, readable: list[_Readable], people: list[list[Person]]
) -> dict[str, list[Told]]:
    """When Iterable was last told of those whose subscriptions changed: their events may be the echo."""
    changed = {
        person.recipient_hash
        for one, known_as in zip(readable, people, strict=True)
        if one.kind in _SUBSCRIPTIONS
        for person in known_as
    }
    return await tx.suppressions.told(workspace_id, sorted(changed))
