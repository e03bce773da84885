"""Drained events: timelines, and what could not be joined to a send yet."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Exists,
    TextClause,
    bindparam,
    func,
    select,
    type_coerce,
    update,
)

from contracts.event import Event, EventKind, TimelineEntry
from store.repository import SealingRepository, by_campaign
from store.sends import SendKey
from store.tables import LOOSE, TO_SIGNAL, attempt, event, microseconds, send, shadow

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


class Recorded(NamedTuple):
    """An event with what it is joined by. `named_send` is the send that it names itself; `user_hash` is a second hash
    of its person. `body` is the JSON as posted: kept, so that nothing is lost in our words."""

    event: Event
    named_send: str | None
    campaign_id: int | None
    recipient_hash: str | None
    user_hash: str | None
    received_at: datetime
    body: bytes


@dataclass(frozen=True)
class Link:
    """What an event is joined by, and the send it is joined to now. `firm`: by a name, not by inference."""

    id: int
    event_id: str
    message_id: str | None
    named_send: str | None
    campaign_id: int | None
    hashes: tuple[str, ...]
    occurred_at: datetime
    send_id: str | None
    firm: bool

    @property
    def key(self) -> str:
        """Names the message; an event without a message id stands for itself."""
        return self.message_id or f"event:{self.event_id}"

    @property
    def pairs(self) -> set[tuple[int, str]]:
        """(campaign, person) for every hash of its person."""
        return set() if self.campaign_id is None else {(self.campaign_id, one) for one in self.hashes}


@dataclass(frozen=True)
class Move:
    """An event's place changes: to another send, or (None) to none."""

    id: int
    send_id: str | None
    firm: bool


class Place(NamedTuple):
    """Where a new event belongs by name: its send, its cursor in the feed, and whether a run may be there to tell."""

    send_id: str | None
    cursor: int | None
    to_tell: bool


_NOWHERE = Place(None, None, to_tell=True)


class Happening(NamedTuple):
    """The least of an event that its send's standing follows from. A tuple and the raw moment (microseconds since
    1970), because a drain goes through all events of every send that it touches."""

    event_id: str
    kind: str
    occurred_at: int
    message_id: str | None
    reason: str | None


@dataclass(frozen=True)
class Unmatched:
    """An event that belongs to no send of ours that we know of."""

    kind: EventKind
    occurred_at: datetime
    received_at: datetime
    campaign_id: int | None
    message_id: str | None
    named_send: str | None


_LINK = (
    event.c.id,
    event.c.event_id,
    event.c.message_id,
    event.c.named_send,
    event.c.campaign_id,
    event.c.recipient_hash,
    event.c.user_hash,
    event.c.occurred_at,
    event.c.send_id,
    event.c.firm,
)


class Events(SealingRepository):
    """Queries over drained events. Whoever adds or places events holds the lock of the workspace's feed."""

    async def add(
        self, workspace_id: str, recorded: Sequence[Recorded], places: Mapping[str, Place] = MappingProxyType({})
    ) -> None:
        """Keeps events that are not there yet, each once; joined to a send where `places` has one for the event's
        id."""
        now = microseconds(self._clock())
        values = [
            {
                "workspace_id": workspace_id,
                "event_id": one.event.event_id,
                "send_id": place.send_id,
                "firm": place.cursor is not None,
                "cursor": place.cursor,
                "signalled": not place.to_tell,
                "named_send": one.named_send,
                "kind": one.event.kind.value,
                "occurred_at": microseconds(one.event.occurred_at),
                "received_at": microseconds(one.received_at),
                "message_id": one.event.message_id,
                "campaign_id": one.campaign_id,
                "recipient_hash": one.recipient_hash,
                "user_hash": one.user_hash,
                "looked_at": now,
                "reason": one.event.reason,
                "url": one.event.url,
                "body": self._keyring.seal(one.body, f"event.body.{workspace_id}/{one.event.event_id}"),
            }
            for one in recorded
            for place in (places.get(one.event.event_id, _NOWHERE),)
        ]
        await self._insert_rows(event, values)

    async def name(self, workspace_id: str, names: Mapping[str, str]) -> None:
        """Adds the names of their sends to events, by id, that had none."""
        for event_id, named_send in names.items():
            await self._connection.execute(
                update(event)
                .where(event.c.workspace_id == workspace_id, event.c.event_id == event_id)
                .values(named_send=named_send)
            )

    async def links(self, workspace_id: str, event_ids: Sequence[str]) -> list[Link]:
        """Events by id."""
        return await self._links(workspace_id, event.c.event_id, event_ids)

    async def loose_of_messages(self, workspace_id: str, message_ids: Sequence[str]) -> list[Link]:
        """Events of messages, as far as their send is not proven."""
        return await self._links(workspace_id, event.c.message_id, message_ids, LOOSE)

    async def loose_of_people(self, workspace_id: str, pairs: Sequence[tuple[int, str]]) -> list[Link]:
        """Events of (campaign, person), as far as their send is not proven."""
        found: dict[int, Link] = {}
        for column in (event.c.recipient_hash, event.c.user_hash):
            for campaign_id, people in by_campaign(pairs):
                links = await self._links(workspace_id, column, people, event.c.campaign_id == campaign_id, LOOSE)
                found |= {link.id: link for link in links}
        return list(found.values())

    async def names(self, workspace_id: str, message_ids: Sequence[str]) -> dict[str, set[str]]:
        """Message id → the sends that its events name."""
        found: dict[str, set[str]] = defaultdict(set)
        rows = await self._connection.execute(
            select(event.c.message_id, event.c.named_send)
            .where(
                event.c.workspace_id == workspace_id,
                self._one_of(event.c.message_id, message_ids),
                event.c.named_send.is_not(None),
            )
            .distinct()
        )
        for row in rows.all():
            found[row.message_id].add(row.named_send)
        return found

    async def count_firm_messages(self, workspace_id: str, send_ids: Sequence[str]) -> dict[str, int]:
        """How many messages are proven to be a send's; sends without one are absent."""
        rows = await self._connection.execute(
            select(event.c.send_id, func.count(event.c.message_id.distinct()).label("messages"))
            .where(
                event.c.workspace_id == workspace_id,
                self._one_of(event.c.send_id, send_ids),
                event.c.firm.is_(True),
            )
            .group_by(event.c.send_id)
        )
        return {row.send_id: row.messages for row in rows}

    async def place(
        self, workspace_id: str, moves: Sequence[Move], cursors: Sequence[int], accepted_before: datetime
    ) -> None:
        """Joins events to sends, each under its new cursor. Their runs are to be told, but for those that have ended
        (as `forgo_signals` has it)."""
        if moves:
            ended = _has_ended(bindparam("workspace"), bindparam("to_send"), bindparam("accepted_before"))
            await self._run_rows(
                update(event)
                .where(event.c.workspace_id == bindparam("workspace"), event.c.id == bindparam("row"))
                .values(
                    send_id=bindparam("to_send"), firm=bindparam("is_firm"), cursor=bindparam("at"), signalled=ended
                ),
                [
                    {
                        "workspace": workspace_id,
                        "row": move.id,
                        "to_send": move.send_id,
                        "is_firm": move.firm,
                        "at": cursor,
                        "accepted_before": microseconds(accepted_before),
                    }
                    for move, cursor in zip(moves, cursors, strict=True)
                ],
            )

    async def confirm(self, ids: Sequence[int]) -> None:
        """What was inferred is proven now; nothing else about these events changes."""
        if not ids:
            return
        await self._connection.execute(update(event).where(self._one_of(event.c.id, ids)).values(firm=True))

    async def to_look_at(self, workspace_id: str, limit: int, slack: timedelta) -> list[str]:
        """Ids of unmatched events for whose campaign and person an attempt began since a send was last looked for.

        Only events of our own campaigns are gone through: a project's webhooks report every campaign of the project.
        """
        newer = (
            select(attempt.c.send_id)
            .where(
                attempt.c.workspace_id == send.c.workspace_id,
                attempt.c.send_id == send.c.send_id,
                type_coerce(attempt.c.started_at, BigInteger)
                > type_coerce(event.c.looked_at, BigInteger) - int(slack.total_seconds() * 1_000_000),
            )
            .correlate(send, event)  # by itself it would look at the send beside it only, and at all events anew
        )
        sent_since = select(send.c.send_id).where(
            send.c.workspace_id == workspace_id,
            send.c.campaign_id == event.c.campaign_id,
            send.c.recipient_hash.in_([event.c.recipient_hash, event.c.user_hash]),
            newer.exists(),
        )
        ours = select(shadow.c.campaign_id).where(shadow.c.workspace_id == workspace_id)
        rows = await self._connection.scalars(
            select(event.c.event_id)
            .where(
                event.c.workspace_id == workspace_id,
                LOOSE,
                event.c.send_id.is_(None),
                event.c.campaign_id.in_(ours),
                sent_since.exists(),
            )
            .order_by(event.c.looked_at)
            .limit(limit)
        )
        return list(rows)

    async def looked_at(self, workspace_id: str, event_ids: Sequence[str]) -> None:
        """A send was looked for just now."""
        await self._connection.execute(
            update(event)
            .where(event.c.workspace_id == workspace_id, self._one_of(event.c.event_id, event_ids))
            .values(looked_at=self._clock())
        )

    async def of_sends(self, workspace_id: str, send_ids: Sequence[str]) -> dict[str, list[Event]]:
        """Events by send, in order of arrival."""
        found: dict[str, list[Event]] = defaultdict(list)
        rows = await self._connection.execute(
            select(*_TOLD)
            .where(event.c.workspace_id == workspace_id, self._one_of(event.c.send_id, send_ids))
            .order_by(event.c.id)
        )
        for row in rows.all():
            found[row.send_id].append(_event(row))
        return found

    async def happenings(self, workspace_id: str, send_ids: Sequence[str]) -> dict[str, list[Happening]]:
        """What a send's standing follows from, by send."""
        found: dict[str, list[Happening]] = defaultdict(list)
        rows = await self._connection.execute(
            select(
                event.c.send_id,
                event.c.event_id,
                event.c.kind,
                type_coerce(event.c.occurred_at, BigInteger),
                event.c.message_id,
                event.c.reason,
            ).where(event.c.workspace_id == workspace_id, self._one_of(event.c.send_id, send_ids))
        )
        for send_id, event_id, kind, occurred_at, message_id, reason in rows.all():
            found[send_id].append(Happening(event_id, kind, occurred_at, message_id, reason))
        return found

    async def known(self, workspace_id: str, event_ids: Sequence[str]) -> dict[str, bool]:
        """Those of the occurrences that are kept already, and whether each names its send."""
        rows = await self._connection.execute(
            select(event.c.event_id, event.c.named_send).where(
                event.c.workspace_id == workspace_id, self._one_of(event.c.event_id, event_ids)
            )
        )
        return {row.event_id: row.named_send is not None for row in rows.all()}

    async def messages_of(self, sends: Collection[SendKey]) -> dict[SendKey, set[str]]:
        """The messages that are proven, by a name, to be sends' own."""
        found: dict[SendKey, set[str]] = defaultdict(set)
        for workspace_id, send_id in sends:
            found[workspace_id, send_id] |= set(
                await self._connection.scalars(
                    select(event.c.message_id)
                    .where(
                        event.c.workspace_id == workspace_id,
                        event.c.send_id == send_id,
                        event.c.message_id.is_not(None),
                        event.c.firm,
                    )
                    .distinct()
                )
            )
        return found

    async def proven_at(self, workspace_id: str, send_ids: Sequence[str]) -> dict[str, datetime]:
        """When the first event happened that is proven to be a send's, by send. One that was inferred from campaign,
        person and time proves nothing: it may be another send's."""
        rows = await self._connection.execute(
            select(event.c.send_id, func.min(event.c.occurred_at, type_=event.c.occurred_at.type).label("at"))
            .where(
                event.c.workspace_id == workspace_id,
                self._one_of(event.c.send_id, send_ids),
                event.c.firm,
            )
            .group_by(event.c.send_id)
        )
        return {row.send_id: row.at for row in rows}

    async def page(self, workspace_id: str, after: int, limit: int, send_id: str | None = None) -> list[TimelineEntry]:
        """Joined events whose cursor is after the given one; those of one send, or all of the workspace."""
        query = select(*_TOLD).where(event.c.workspace_id == workspace_id, event.c.cursor > after)
        if send_id is not None:
            query = query.where(event.c.send_id == send_id)
        rows = await self._connection.execute(query.order_by(event.c.cursor).limit(limit))
        return [TimelineEntry.of(row.cursor, workspace_id, row.send_id, _event(row)) for row in rows]

    async def to_signal(self, workspace_id: str, limit: int) -> dict[str, list[tuple[int, Event]]]:
        """Joined events that their runs have not been told of yet, by send, with their cursors."""
        rows = await self._connection.execute(
            select(*_TOLD).where(event.c.workspace_id == workspace_id, TO_SIGNAL).order_by(event.c.id).limit(limit)
        )
        found: dict[str, list[tuple[int, Event]]] = defaultdict(list)
        for row in rows:
            found[row.send_id].append((row.cursor, _event(row)))
        return found

    async def forgo_signals(self, workspace_id: str, accepted_before: datetime) -> None:
        """Nobody is to be told of events whose send's run is known to have ended, or whose send Iterable took so long
        ago that it has."""
        ended = _has_ended(event.c.workspace_id, event.c.send_id, accepted_before)
        await self._connection.execute(
            update(event).where(event.c.workspace_id == workspace_id, TO_SIGNAL, ended).values(signalled=True)
        )

    async def mark_signalled(self, workspace_id: str, cursors: Sequence[int]) -> None:
        """Their runs know, or have ended. An event that was moved meanwhile has another cursor and stays to be told."""
        await self._connection.execute(
            update(event)
            .where(event.c.workspace_id == workspace_id, self._one_of(event.c.cursor, cursors))
            .values(signalled=True)
        )

    async def unmatched(self, workspace_id: str, limit: int) -> list[Unmatched]:
        """Events that belong to no send of ours that we know of, newest arrival first."""
        rows = await self._connection.execute(
            select(event).where(_is_unmatched(workspace_id)).order_by(event.c.id.desc()).limit(limit)
        )
        return [
            Unmatched(
                kind=EventKind(row.kind),
                occurred_at=row.occurred_at,
                received_at=row.received_at,
                campaign_id=row.campaign_id,
                message_id=row.message_id,
                named_send=row.named_send,
            )
            for row in rows
        ]

    async def count_unmatched(self, workspace_id: str) -> int:
        """How many there are."""
        return await self._connection.scalar(select(func.count()).where(_is_unmatched(workspace_id))) or 0

    async def _links(
        self, workspace_id: str, column: Any, values: Sequence[Any], *conditions: ColumnElement[bool] | TextClause
    ) -> list[Link]:
        if not values:
            return []
        query = select(*_LINK).where(event.c.workspace_id == workspace_id, self._one_of(column, values), *conditions)
        return [_link(row) for row in (await self._connection.execute(query)).all()]


def _has_ended(workspace_id: Any, send_id: Any, accepted_before: Any) -> Exists:
    """Whether a send's run is known to have ended, or Iterable took the send so long ago that it has."""
    return (
        select(send.c.send_id)
        .where(
            send.c.workspace_id == workspace_id,
            send.c.send_id == send_id,
            send.c.run_ended_at.is_not(None) | (send.c.accepted_at < accepted_before),
        )
        .exists()
    )


def _is_unmatched(workspace_id: str) -> ColumnElement[bool]:
    return (event.c.workspace_id == workspace_id) & event.c.send_id.is_(None)


def _link(row: Any) -> Link:
    return Link(
        id=row.id,
        event_id=row.event_id,
        message_id=row.message_id,
        named_send=row.named_send,
        campaign_id=row.campaign_id,
        hashes=tuple(one for one in (row.recipient_hash, row.user_hash) if one is not None),
        occurred_at=row.occurred_at,
        send_id=row.send_id,
        firm=row.firm,
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
