"""Draining the inbox: events as they came become timelines, standings, suppressions, and news for the open runs."""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.catalogs import Catalogs
from activities.joining import join
from activities.reading import kind_of, read
from activities.suppressing import reports_of
from contracts.channel import Catalog
from contracts.event import Event, EventKind
from contracts.inbox import DrainResult, InboxShard
from contracts.names import EVENTS_SIGNAL, send_workflow_id
from contracts.send import standing
from iterable.webhook_event import UnreadableEvent, WebhookEvent, parse
from store.events import Recorded
from store.inbox import Waiting
from store.person import Person
from store.store import Store, Transaction
from store.suppressions import Report

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_BATCH = 500
"""Events a transaction; keeps it short, so that the endpoint's writes do not wait for it."""
_SUBSCRIPTIONS = frozenset({EventKind.UNSUBSCRIBED, EventKind.RESUBSCRIBED})

Readable = tuple[Waiting, WebhookEvent, EventKind]

_SIGNALS_AT_ONCE = 20
_SLACK = timedelta(days=1)
"""How much later than its windows say a run may end: timers wait while no worker runs."""


class InboxActivities:
    """What `EventInboxWorkflow` does to the world."""

    def __init__(self, store: Store, temporal: Client, catalogs: Catalogs) -> None:
        self._store = store
        self._temporal = temporal
        self._catalogs = catalogs

    @activity.defn
    async def drain_inbox(self, shard: InboxShard) -> DrainResult:
        """Drains one batch and tells the open runs.

        Safe to repeat: a batch is one transaction, an occurrence is kept once, and a run that is told twice recognises
        the event. A worker that dies after the transaction leaves the events marked as not yet told.
        """
        with structlog.contextvars.bound_contextvars(workspace=shard.workspace_id, shard=shard.shard):
            async with self._store.read() as tx:
                waiting = await tx.inbox.batch(shard.workspace_id, shard.shard, _BATCH)
            readable, problems = _sort(waiting)
            catalog = await self._catalog(shard.workspace_id, readable)  # may ask Iterable: outside the transaction
            async with self._store.begin() as tx:
                for id_, problem in problems.items():
                    await tx.inbox.set_aside(id_, problem)
                    log.warning("inbox.set_aside", inbox_id=id_, problem=problem)
                matched = await self._keep(tx, shard.workspace_id, readable, catalog)
                await tx.inbox.remove([one.id for one, _, _ in readable])
                if readable:
                    await tx.connectors.first_webhook_came(shard.workspace_id)
            await self._tell_runs(shard.workspace_id)
            return DrainResult(
                drained=len(readable),
                joined=matched,
                unmatched=len(readable) - matched,
                set_aside=len(problems),
                more=len(waiting) >= _BATCH,
            )

    async def _catalog(self, workspace_id: str, readable: list[Readable]) -> Catalog:
        changes = [event for _, event, kind in readable if kind in _SUBSCRIPTIONS]
        if not changes:
            return Catalog()
        channels = {id_ for event in changes for id_ in (*event.channel_ids, event.channel_id) if id_ is not None}
        return await self._catalogs.covering(
            workspace_id, channels, {id_ for event in changes for id_ in event.message_type_ids}
        )

    async def _keep(self, tx: Transaction, workspace_id: str, readable: list[Readable], catalog: Catalog) -> int:
        reported = [event for _, event, _ in readable]
        joined = await join(tx, workspace_id, reported, self._store.hasher)
        recorded: list[Recorded] = []
        reports: list[Report] = []
        people = [Person.all_of(self._store.hasher, event.email, event.user_id) for event in reported]
        pushed = await _pushed_moments(tx, workspace_id, readable, people)
        for (one, event, kind), known_as, send_id in zip(readable, people, joined.sends, strict=True):
            ours = read(event, kind, one.event_id)
            recorded.append(
                Recorded(
                    event=ours,
                    send_id=send_id,
                    campaign_id=event.campaign_id,
                    recipient_hash=known_as[0].recipient_hash if known_as else None,
                    received_at=one.received_at,
                    body=one.body,
                )
            )
            told_at = max((pushed[p.recipient_hash] for p in known_as if p.recipient_hash in pushed), default=None)
            reports += reports_of(known_as, event, ours, catalog, told_at)
        await tx.suppressions.record(workspace_id, reports)
        await tx.events.add(workspace_id, recorded)
        await tx.sends.bind(workspace_id, joined.bound)
        await tx.events.join(workspace_id, {message: send_id for send_id, message in joined.bound.items()})
        touched = sorted({send_id for send_id in joined.sends if send_id})
        events = await tx.events.of_sends(workspace_id, touched)
        await tx.sends.set_standing(
            workspace_id, [(send_id, *standing(events[send_id])) for send_id in touched if events.get(send_id)]
        )
        return sum(send_id is not None for send_id in joined.sends)

    async def _tell_runs(self, workspace_id: str) -> None:
        """Signals only runs that can still be open: one that has ended costs a call once, and is remembered."""
        async with self._store.begin() as tx:
            await tx.events.forgo_signals(workspace_id, await self._followed_since(tx, workspace_id))
        while True:
            async with self._store.read() as tx:
                waiting = await tx.events.to_signal(workspace_id, _BATCH)
            if not waiting:
                return
            calls = asyncio.Semaphore(_SIGNALS_AT_ONCE)
            ended = await asyncio.gather(
                *(self._tell(calls, workspace_id, send_id, [e for _, e in some]) for send_id, some in waiting.items())
            )
            async with self._store.begin() as tx:
                await tx.events.mark_signalled([cursor for events in waiting.values() for cursor, _ in events])
                await tx.sends.run_ended(workspace_id, [send_id for send_id in ended if send_id is not None])

    async def _followed_since(self, tx: Transaction, workspace_id: str) -> datetime:
        """A send that Iterable took before this moment is followed by no run: its windows are over."""
        connector = await tx.connectors.get(workspace_id)
        settings = connector.settings if connector else None
        window = (
            timedelta(seconds=settings.confirm_within_seconds + settings.settle_for_seconds) if settings else _SLACK
        )
        return datetime.now(UTC) - window - _SLACK

    async def _tell(self, calls: asyncio.Semaphore, workspace_id: str, send_id: str, events: list[Event]) -> str | None:
        """The send, where its run has ended: its timeline is in the store."""
        handle = self._temporal.get_workflow_handle(send_workflow_id(workspace_id, send_id))
        async with calls:
            try:
                await handle.signal(EVENTS_SIGNAL, events)
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise  # tried again with the activity
                return send_id
        return None


def _sort(waiting: list[Waiting]) -> tuple[list[Readable], dict[int, str]]:
    """Events that can be read, and what is wrong with the others (inbox id → problem)."""
    readable: list[Readable] = []
    problems: dict[int, str] = {}
    for one in waiting:
        try:
            event = parse(one.body)
        except UnreadableEvent as error:
            problems[one.id] = str(error)
            continue
        kind = kind_of(event)
        if kind is None:
            problems[one.id] = f"unknown event {event.name}"
        else:
            readable.append((one, event, kind))
    return readable, problems


async def _pushed_moments(
    tx: Transaction, workspace_id: str, readable: list[Readable], people: list[list[Person]]
) -> dict[str, datetime]:
    """When Iterable was last told of those whose subscriptions changed: their events may be the echo."""
    changed = {
        person.recipient_hash
        for (_, _, kind), known_as in zip(readable, people, strict=True)
        if kind in _SUBSCRIPTIONS
        for person in known_as
    }
    return await tx.suppressions.pushed_moments(workspace_id, sorted(changed))
