"""The inbox: events as they came, until they are drained.

A row holds every event that one commit took for a shard, sealed as one value: taking a hundred events costs one INSERT
and one encryption. Which of a row's events are gone already is a bitmap beside it, so that single events can be removed
or set aside; a row goes when its last event does.
"""

import struct
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, delete, func, insert, select, update

from store.repository import IN_BATCH, SealingRepository
from store.tables import inbox

_PLACES = 4096
"""Events a row may hold: an event's id is its row's id times this, plus its place in the row."""
_ROW_EVENTS = 500
_ROW_BYTES = 1_000_000
"""A row is closed once it holds so much: a drained batch is made of whole rows."""
_HEAD = struct.Struct(">32sqI")  # event id, received at (microseconds since 1970), length of the body that follows
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Arrival(NamedTuple):
    """One event as it came in: `event_id` names the occurrence, `body` is the JSON as posted.

    A tuple, because one is made for every event before its webhook is answered.
    """

    workspace_id: str
    shard: int
    event_id: str
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """One event that waits to be drained."""

    id: int
    event_id: str
    body: bytes
    received_at: datetime


class Inbox(SealingRepository):
    """Queries over waiting events."""

    async def add(self, arrivals: Iterable[Arrival]) -> None:
        """Keeps events. An occurrence that waits, or was drained, already is kept again and recognised when drained:
        looking for it here would cost every webhook what only a re-delivered one needs."""
        rows = [self._packed(part) for part in _parts(arrivals)]
        if rows:
            await self._connection.execute(insert(inbox), rows)

    async def batch(self, workspace_id: str, shard: int, limit: int) -> list[Waiting]:
        """The oldest waiting events of a shard: as many whole rows as fit into `limit` events, and at least one."""
        mine = (inbox.c.workspace_id == workspace_id) & (inbox.c.shard == shard) & inbox.c.problem.is_(None)
        heads = await self._connection.execute(
            select(inbox.c.id, inbox.c.events).where(mine).order_by(inbox.c.id).limit(limit)
        )
        wanted: list[int] = []
        room = limit
        for head in heads:
            if wanted and head.events > room:
                break
            wanted.append(head.id)
            room -= head.events
        rows = await self._rows(wanted)
        return [one for id_ in wanted if id_ in rows for one in self._unpacked(rows[id_])]

    async def remove(self, ids: Sequence[int]) -> None:
        """Drained. An id that is gone already is no error."""
        places: dict[int, int] = defaultdict(int)
        for id_ in ids:
            row_id, place = divmod(id_, _PLACES)
            places[row_id] |= 1 << place
        left: list[dict[str, Any]] = []
        empty: list[int] = []
        for row in await self._marks(list(places)):
            gone, events = _marked(row, places[row.id])
            if events:
                left.append({"row": row.id, "now_gone": gone, "now_events": events})
            else:
                empty.append(row.id)
        for start in range(0, len(empty), IN_BATCH):
            await self._connection.execute(delete(inbox).where(inbox.c.id.in_(empty[start : start + IN_BATCH])))
        if left:
            await self._connection.execute(
                update(inbox)
                .where(inbox.c.id == bindparam("row"))
                .values(gone=bindparam("now_gone"), events=bindparam("now_events")),
                left,
            )

    async def set_aside(self, id_: int, problem: str) -> None:
        """Keeps an event that could not be read, with the reason, out of the way of the others: in a row of its own,
        which waits again once its `problem` is taken away."""
        row_id, place = divmod(id_, _PLACES)
        row = (await self._rows([row_id])).get(row_id)
        if row is None:
            return
        waiting = self._unpacked(row)
        if [one.id for one in waiting] == [id_]:  # alone already
            await self._connection.execute(update(inbox).where(inbox.c.id == row_id).values(problem=problem))
            return
        for one in waiting:
            if one.id == id_:
                arrival = Arrival(row.workspace_id, row.shard, one.event_id, one.body, one.received_at)
                await self._connection.execute(insert(inbox), [{**self._packed([arrival]), "problem": problem}])
                await self.remove([row_id * _PLACES + place])

    async def shards_waiting(self) -> list[tuple[str, int]]:
        """(workspace, shard) of everything that waits."""
        rows = await self._connection.execute(
            select(inbox.c.workspace_id, inbox.c.shard).where(inbox.c.problem.is_(None)).distinct()
        )
        return [(row.workspace_id, row.shard) for row in rows]

    async def counts(self, workspace_id: str) -> tuple[int, int]:
        """(waiting, set aside), in events."""
        row = (
            await self._connection.execute(
                select(
                    func.coalesce(func.sum(inbox.c.events).filter(inbox.c.problem.is_(None)), 0),
                    func.count(inbox.c.problem),
                ).where(inbox.c.workspace_id == workspace_id)
            )
        ).one()
        return int(row[0]), row[1]

    async def _rows(self, ids: Sequence[int]) -> dict[int, Row[Any]]:
        found: dict[int, Row[Any]] = {}
        for start in range(0, len(ids), IN_BATCH):
            rows = await self._connection.execute(select(inbox).where(inbox.c.id.in_(ids[start : start + IN_BATCH])))
            found.update((row.id, row) for row in rows)
        return found

    async def _marks(self, ids: Sequence[int]) -> list[Row[Any]]:
        """Locked, so that two who remove different events of a row do not undo each other's mark."""
        found: list[Row[Any]] = []
        for start in range(0, len(ids), IN_BATCH):
            found.extend(
                await self._connection.execute(
                    select(inbox.c.id, inbox.c.size, inbox.c.gone)
                    .where(inbox.c.id.in_(ids[start : start + IN_BATCH]))
                    .order_by(inbox.c.id)
                    .with_for_update()
                )
            )
        return found

    def _packed(self, arrivals: Sequence[Arrival]) -> dict[str, Any]:
        first = arrivals[0]
        key = token_hex(16)
        pieces: list[bytes] = []
        for arrival in arrivals:
            received = (arrival.received_at - _EPOCH) // timedelta(microseconds=1)
            pieces += (_HEAD.pack(bytes.fromhex(arrival.event_id), received, len(arrival.body)), arrival.body)
        return {
            "workspace_id": first.workspace_id,
            "shard": first.shard,
            "key": key,
            "size": len(arrivals),
            "events": len(arrivals),
            "body": self._keyring.seal(b"".join(pieces), _place(first.workspace_id, key)),
            "received_at": first.received_at,
        }

    def _unpacked(self, row: Row[Any]) -> list[Waiting]:
        packed = self._keyring.open(row.body, _place(row.workspace_id, row.key))
        gone = int.from_bytes(row.gone or b"")
        found: list[Waiting] = []
        at = 0
        for place in range(row.size):
            event_id, received, length = _HEAD.unpack_from(packed, at)
            at += _HEAD.size
            if not gone >> place & 1:
                received_at = _EPOCH + timedelta(microseconds=received)
                found.append(Waiting(row.id * _PLACES + place, event_id.hex(), packed[at : at + length], received_at))
            at += length
        return found


def _parts(arrivals: Iterable[Arrival]) -> list[list[Arrival]]:
    """What becomes one row each: a workspace's events of one shard, in order of arrival, up to a row's bounds."""
    open_: dict[tuple[str, int], tuple[list[Arrival], int]] = {}
    parts: list[list[Arrival]] = []
    for arrival in arrivals:
        key = arrival[:2]
        part, size = open_.get(key, (None, 0))
        if part is None or len(part) >= _ROW_EVENTS or size + len(arrival.body) > _ROW_BYTES:
            part, size = [], 0
            parts.append(part)
        part.append(arrival)
        open_[key] = part, size + len(arrival.body)
    return parts


def _marked(row: Row[Any], places: int) -> tuple[bytes, int]:
    """The bitmap with more places gone, and how many events are left."""
    gone = int.from_bytes(row.gone or b"") | places & ((1 << row.size) - 1)
    return gone.to_bytes((row.size + 7) // 8), row.size - gone.bit_count()


def _place(workspace_id: str, key: str) -> str:
    return f"inbox.body.{workspace_id}/{key}"
