"""Draining the inbox: events as they came become timelines, standings, suppressions, and news for the open runs."""

from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.joining import join
from activities.push import wake_push
from activities.reading import HARD_BOUNCE, kind_of, read
from contracts.event import Event, EventKind
from contracts.inbox import DrainResult, InboxShard
from contracts.names import EVENTS_SIGNAL, send_workflow_id
from iterable.webhook_event import UnreadableEvent, WebhookEvent, parse
from store.events import Recorded
from store.forgetting import BODY
from store.inbox import Waiting
from store.store import Store, Transaction
from store.suppressions import Cause

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_BATCH = 500
"""Events a transaction; keeps it short, so that the endpoint's writes do not wait for it."""
_BATCH_BYTES = 4 * 1024 * 1024
"""Bytes of bodies a transaction. An event has a few kilobytes; one may have as much as the endpoint takes (1 MiB)."""
_LOOKED_AT_AGAIN = 500
"""Unmatched events that one drain looks at again."""
_ATTEMPT_SLACK = timedelta(minutes=1)
"""An attempt that began so much before an event was looked at may not have been visible yet."""
_EVENTS_FAULT = (DataError, IntegrityError)
"""What a database says of a value; all its other errors are about itself, and the drain is tried again."""
_CANNOT_BE_TOLD = frozenset(
    {RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.FAILED_PRECONDITION}
)
"""The run has ended, or takes no more signals. Its timeline is in the store."""


@dataclass
class _Tally:
    drained: int = 0
    joined: int = 0
    set_aside: int = 0


class InboxActivities:
    """What `EventInboxWorkflow` does to the world."""

    def __init__(self, store: Store, temporal: Client, task_queue: str) -> None:
        self._store = store
        self._temporal = temporal
        self._task_queue = task_queue

    @activity.defn
    async def drain_inbox(self, shard: InboxShard) -> DrainResult:
        """Drains one batch and tells the open runs.

        Safe to repeat: an occurrence is kept once, and a run that is told twice recognises the event. A worker that
        dies after a transaction leaves the events marked as not yet told. An event that cannot be drained is set aside
        with the reason; it holds up none of the others.
        """
        with structlog.contextvars.bound_contextvars(workspace=shard.workspace_id, shard=shard.shard):
            async with self._store.read() as tx:
                waiting, more = await tx.inbox.batch(shard.workspace_id, shard.shard, _BATCH, _BATCH_BYTES)
            tally = _Tally()
            if waiting:
                await self._drain(shard.workspace_id, waiting, tally)
            if not more:
                await self._look_again(shard.workspace_id)
            await self._tell_runs(shard.workspace_id)
            await self._tell_push(shard.workspace_id)
            return DrainResult(
                drained=tally.drained,
                joined=tally.joined,
                unmatched=tally.drained - tally.joined,
                set_aside=tally.set_aside,
                more=more,
            )

    async def _drain(self, workspace_id: str, waiting: list[Waiting], tally: _Tally) -> None:
        """One transaction; where one of the events makes it fail, the two halves, each by itself."""
        try:
            async with self._store.begin() as tx:
                part = await self._drain_together(tx, workspace_id, waiting)
        except Exception as error:
            if isinstance(error, OSError) or (
                isinstance(error, SQLAlchemyError) and not isinstance(error, _EVENTS_FAULT)
            ):
                raise
            if len(waiting) == 1:
                await self._set_aside(waiting[0], f"unexpected {type(error).__name__}")
                tally.set_aside += 1
                return
            log.warning("inbox.batch_failed", events=len(waiting), error=type(error).__name__)
            middle = len(waiting) // 2
            await self._drain(workspace_id, waiting[:middle], tally)
            await self._drain(workspace_id, waiting[middle:], tally)
            return
        tally.drained += part.drained
        tally.joined += part.joined
        tally.set_aside += part.set_aside

    async def _drain_together(self, tx: Transaction, workspace_id: str, waiting: list[Waiting]) -> _Tally:
        readable: list[tuple[Waiting, bytes, WebhookEvent, EventKind]] = []
        problems: dict[int, str] = {}
        for one in waiting:
            if one.body is None:
                problems[one.id] = "the key that sealed it is not in the key ring"
                continue
            try:
                event = parse(one.body)
            except UnreadableEvent as error:
                problems[one.id] = str(error)
                continue
            kind = kind_of(event)
            if kind is None:
                problems[one.id] = f"unknown event {event.name}"
            else:
                readable.append((one, one.body, event, kind))
        for id_, problem in problems.items():
            await tx.inbox.set_aside(id_, problem)
            log.warning("inbox.set_aside", inbox_id=id_, problem=problem)
        joined = await self._keep(tx, workspace_id, readable)
        await tx.inbox.remove([one.id for one, _, _, _ in readable])
        if any(not event.read_from for _, _, event, _ in readable):
            await tx.connectors.first_webhook_came(workspace_id)
        return _Tally(drained=len(readable), joined=joined, set_aside=len(problems))

    async def _keep(
        self, tx: Transaction, workspace_id: str, readable: list[tuple[Waiting, bytes, WebhookEvent, EventKind]]
    ) -> int:
        if not readable:
            return 0
        await tx.feed.lock(workspace_id)
        people = [self._store.hasher.all_of(event.email, event.user_id) for _, _, event, _ in readable]
        forgotten = await tx.forgetting.are_forgotten(
            workspace_id, sorted({one for known_as in people for one in known_as})
        )
        recorded: list[Recorded] = []
        for (one, body, event, kind), known_as in zip(readable, people, strict=True):
            ours = read(event, kind, one.event_id)
            if forgotten.isdisjoint(known_as):
                recorded.append(_recorded(ours, event, workspace_id, known_as, one, body))
            else:  # somebody who asked to be forgotten: what happened is kept, to whom is not
                nameless = ours.model_copy(update={"url": None})
                recorded.append(_recorded(nameless, event, workspace_id, [], one, BODY))
            cause = _suppressing(ours)
            if cause is not None:
                for recipient_hash in known_as:
                    await tx.suppressions.add(workspace_id, recipient_hash, cause, ours.occurred_at, ours.event_id)
        await tx.events.add(workspace_id, recorded)
        event_ids = sorted({one.event.event_id for one in recorded})
        await join(tx, workspace_id, event_ids)
        joined = {link.event_id for link in await tx.events.links(workspace_id, event_ids) if link.send_id}
        return sum(one.event.event_id in joined for one in recorded)

    async def _set_aside(self, one: Waiting, problem: str) -> None:
        async with self._store.begin() as tx:
            await tx.inbox.set_aside(one.id, problem)
        log.warning("inbox.set_aside", inbox_id=one.id, problem=problem)

    async def _look_again(self, workspace_id: str) -> None:
        """Unmatched events for whose person and campaign an attempt has become known since."""
        async with self._store.read() as tx:
            event_ids = await tx.events.to_look_at(workspace_id, _LOOKED_AT_AGAIN, _ATTEMPT_SLACK)
        if event_ids:
            async with self._store.begin() as tx:
                await tx.feed.lock(workspace_id)
                await join(tx, workspace_id, event_ids)

    async def _tell_runs(self, workspace_id: str) -> None:
        while True:
            async with self._store.read() as tx:
                waiting = await tx.events.to_signal(workspace_id, _BATCH)
            if not waiting:
                return
            for send_id, events in waiting.items():
                await self._tell(workspace_id, send_id, [event for _, event in events])
            told = [cursor for events in waiting.values() for cursor, _ in events]
            async with self._store.begin() as tx:
                await tx.events.mark_signalled(workspace_id, told)

    async def _tell_push(self, workspace_id: str) -> None:
        """Wakes the push where the feed is ahead of it: also after a wake-up that got lost with its worker."""
        async with self._store.read() as tx:
            behind = await tx.pushes.is_behind(workspace_id)
        if behind:
            await wake_push(self._temporal, self._task_queue, workspace_id)

    async def _tell(self, workspace_id: str, send_id: str, events: list[Event]) -> None:
        handle = self._temporal.get_workflow_handle(send_workflow_id(workspace_id, send_id))
        try:
            await handle.signal(EVENTS_SIGNAL, events)
        except RPCError as error:  # what is not in the set is tried again with the activity
            if error.status not in _CANNOT_BE_TOLD:
                raise


def _recorded(
    ours: Event, event: WebhookEvent, workspace_id: str, known_as: list[str], one: Waiting, body: bytes
) -> Recorded:
    return Recorded(
        event=ours,
        named_send=event.correlation.get("send") if event.correlation.get("workspace") == workspace_id else None,
        campaign_id=event.campaign_id,
        recipient_hash=known_as[0] if known_as else None,
        user_hash=known_as[1] if len(known_as) > 1 else None,
        received_at=one.received_at,
        body=body,
    )


def _suppressing(event: Event) -> Cause | None:
    """Why an event forbids further sends to its recipient, in both streams of the workspace."""
    if event.kind is EventKind.BOUNCED and event.reason == HARD_BOUNCE:
        return "hard_bounce"
    if event.kind is EventKind.COMPLAINED:
        return "complaint"
    return None
