"""Drained events: timelines, and what could not be joined to a send yet."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, false, func, select, update

from contracts.event import Event, EventKind, TimelineEntry
from store.repository import IN_BATCH, SealingRepository
from store.tables import event, send

_TO_SIGNAL = (event.c.signalled == false()) & event.c.send_id.is_not(None)
"""As the partial index has it: `IS false` would not use it on PostgreSQL."""
_TOLD = (
    event.c.cursor,
    event.c.send_id,
    event.c.event_id,
    event.c.kind,
    event.c.occurred_at,
    event.c.message_id,
    event.c.reason,
    event.c.url,
)
"""What a timeline shows: not the sealed body, which is most of a row."""


@dataclass(frozen=True)
class Recorded:
    """An event with what it is joined by. `body` is the JSON as posted: kept, so that nothing is lost in our words."""

    event: Event
    send_id: str | None
    campaign_id: int | None
    recipient_hash: str | None
    received_at: datetime
    body: bytes


class Events(SealingRepository):
    """Queries over drained events."""

    async def add(self, workspace_id: str, recorded: Sequence[Recorded]) -> None:
        """Keeps events; an occurrence that is there already stays as it is."""
        values = [
            {
                "workspace_id": workspace_id,
                "event_id": one.event.event_id,
                "send_id": one.send_id,
                "kind": one.event.kind,
                "occurred_at": one.event.occurred_at,
                "received_at": one.received_at,
                "message_id": one.event.message_id,
                "campaign_id": one.campaign_id,
                "recipient_hash": one.recipient_hash,
                "reason": one.event.reason,
                "url": one.event.url,
                "body": self._keyring.seal(one.body, f"event.body.{workspace_id}/{one.event.event_id}"),
            }
            for one in recorded
        ]
        if values:
            await self._connection.execute(self._upsert(event).on_conflict_do_nothing(), values)

    async def join(self, workspace_id: str, send_of_message: dict[str, str]) -> None:
        """Joins parked events of messages whose send has become known (message id → send id)."""
        if send_of_message:
            await self._connection.execute(
                update(event)
                .where(
                    event.c.workspace_id == workspace_id,
                    event.c.message_id == bindparam("message"),
                    event.c.send_id.is_(None),
                )
                .values(send_id=bindparam("send")),
                [{"message": message, "send": send} for message, send in send_of_message.items()],
            )

    async def of_sends(self, workspace_id: str, send_ids: Sequence[str]) -> dict[str, list[Event]]:
        """Events by send, in order of arrival."""
        found: dict[str, list[Event]] = defaultdict(list)
        for start in range(0, len(send_ids), IN_BATCH):
            rows = await self._connection.execute(
                select(*_TOLD)
                .where(event.c.workspace_id == workspace_id, event.c.send_id.in_(send_ids[start : start + IN_BATCH]))
                .order_by(event.c.cursor)
            )
            for row in rows:
                found[row.send_id].append(_event(row))
        return found

    async def known_messages(self, workspace_id: str, message_ids: Sequence[str]) -> set[str]:
        """Those of Iterable's messages that events have joined to sends."""
        found: set[str] = set()
        for start in range(0, len(message_ids), IN_BATCH):
            found |= set(
                await self._connection.scalars(
                    select(event.c.message_id)
                    .where(
                        event.c.workspace_id == workspace_id,
                        event.c.message_id.in_(message_ids[start : start + IN_BATCH]),
                        event.c.send_id.is_not(None),
                    )
                    .distinct()
                )
            )
        return found

    async def page(self, workspace_id: str, after: int, limit: int, send_id: str | None = None) -> list[TimelineEntry]:
        """Events that arrived after a cursor; those of one send, or all of the workspace (unmatched ones too)."""
        query = select(*_TOLD).where(event.c.workspace_id == workspace_id, event.c.cursor > after)
        if send_id is not None:
            query = query.where(event.c.send_id == send_id)
        rows = await self._connection.execute(query.order_by(event.c.cursor).limit(limit))
        return [
            TimelineEntry(cursor=row.cursor, workspace_id=workspace_id, send_id=row.send_id, event=_event(row))
            for row in rows
        ]

    async def to_signal(self, workspace_id: str, limit: int) -> dict[str, list[tuple[int, Event]]]:
        """Joined events that their runs have not been told of yet, by send, with their cursors."""
        rows = await self._connection.execute(
            select(*_TOLD).where(event.c.workspace_id == workspace_id, _TO_SIGNAL).order_by(event.c.cursor).limit(limit)
        )
        found: dict[str, list[tuple[int, Event]]] = defaultdict(list)
        for row in rows:
            found[row.send_id].append((row.cursor, _event(row)))
        return found

    async def forgo_signals(self, workspace_id: str, accepted_before: datetime) -> None:
        """Nobody is to be told of events whose send's run is known to have ended, or whose send Iterable took so long
        ago that it has."""
        over = (
            select(send.c.send_id)
            .where(
                send.c.workspace_id == workspace_id,
                send.c.send_id == event.c.send_id,
                send.c.run_ended_at.is_not(None) | (send.c.accepted_at < accepted_before),
            )
            .exists()
        )
        await self._connection.execute(
            update(event).where(event.c.workspace_id == workspace_id, _TO_SIGNAL, over).values(signalled=True)
        )

    async def mark_signalled(self, cursors: Sequence[int]) -> None:
        """Their runs know, or have ended."""
        for start in range(0, len(cursors), IN_BATCH):
            await self._connection.execute(
                update(event).where(event.c.cursor.in_(cursors[start : start + IN_BATCH])).values(signalled=True)
            )

    async def count_unmatched(self, workspace_id: str) -> int:
        """Events that belong to no send of ours that we know of."""
        return (
            await self._connection.scalar(
                select(func.count()).where(event.c.workspace_id == workspace_id, event.c.send_id.is_(None))
            )
            or 0
        )


def _event(row: Any) -> Event:
    return Event(
        event_id=row.event_id,
        kind=EventKind(row.kind),
        occurred_at=row.occurred_at,
        message_id=row.message_id,
        reason=row.reason,
        url=row.url,
    )
