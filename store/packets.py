"""Packets: events as the endpoint took them, many in one sealed row, without a name yet.

Taking a hundred events costs one INSERT and one encryption. Which of a packet's events are gone already is a bitmap
beside it, so that single events can be taken out; a packet goes when its last event does.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, insert, select, update

from store.packing import COLUMNS, mark_gone, pack, unpack
from store.repository import IN_BATCH, SealingRepository
from store.tables import packet

_PLACES = 4096
"""An event's id is its packet's id times this, plus its place in it; more than a packet may hold."""


@dataclass(frozen=True, slots=True)
class Packed:
    """One event of a packet."""

    id: int
    shard: int
    body: bytes
    received_at: datetime


class Packets(SealingRepository):
    """Queries over packets. `store/writer.py` writes them."""

    async def batch(self, workspace_id: str, shard: int, limit: int) -> list[Packed]:
        """The oldest of a shard, in whole packets, until there are `limit` or no more."""
        heads = await self._connection.execute(
            select(packet.c.id, packet.c.events)
            .where(packet.c.workspace_id == workspace_id, packet.c.shard == shard)
            .order_by(packet.c.id)
            .limit(limit)
        )
        wanted: list[int] = []
        for head in heads:
            if limit <= 0:
                break
            wanted.append(head.id)
            limit -= head.events
        return [one for row in await self._rows(wanted) for one in self._events(row)]

    async def get(self, id_: int) -> Packed | None:
        """One event, unless it is gone."""
        for row in await self._rows([id_ // _PLACES]):
            for one in self._events(row):
                if one.id == id_:
                    return one
        return None

    async def remove(self, ids: Sequence[int]) -> None:
        """Drained, or kept elsewhere. An id that is gone already is no error."""
        places: dict[int, int] = defaultdict(int)
        for id_ in ids:
            packet_id, place = divmod(id_, _PLACES)
            places[packet_id] |= 1 << place
        empty: list[int] = []
        left: list[dict[str, Any]] = []
        for row in await self._marks(sorted(places)):
            gone, events = mark_gone(row, places[row.id])
            if events:
                left.append({"packet_id": row.id, "now_gone": gone, "now_events": events})
            else:
                empty.append(row.id)
        await self._delete(empty)
        if left:
            await self._connection.execute(
                update(packet)
                .where(packet.c.id == bindparam("packet_id"))
                .values(gone=bindparam("now_gone"), events=bindparam("now_events")),
                left,
            )

    async def erase(self, workspace_id: str, concerns: Callable[[bytes], bool]) -> int:
        """Takes events out of their packets for good, not only off the list; how many."""
        ids = list(await self._connection.scalars(select(packet.c.id).where(packet.c.workspace_id == workspace_id)))
        erased = 0
        for row in await self._rows(ids):
            events = self._events(row)
            left = [one for one in events if not concerns(one.body)]
            if len(left) < len(events):
                erased += len(events) - len(left)
                await self._delete([row.id])
                bodies = {workspace_id: [one.body for one in left]}
                rows = pack(bodies, row.shard, events[0].received_at, self._keyring)
                if left:
                    await self._connection.execute(
                        insert(packet), [dict(zip(COLUMNS, values, strict=True)) for values in rows]
                    )
        return erased

    async def shards_waiting(self) -> set[tuple[str, int]]:
        """(workspace, shard) of everything that waits."""
        rows = await self._connection.execute(select(packet.c.workspace_id, packet.c.shard).distinct())
        return {(row.workspace_id, row.shard) for row in rows}

    async def count(self, workspace_id: str) -> int:
        """Events that wait."""
        return int(
            await self._connection.scalar(
                select(func.coalesce(func.sum(packet.c.events), 0)).where(packet.c.workspace_id == workspace_id)
            )
            or 0
        )

    async def _rows(self, ids: Sequence[int]) -> list[Row[Any]]:
        found: list[Row[Any]] = []
        for start in range(0, len(ids), IN_BATCH):
            some = ids[start : start + IN_BATCH]
            found.extend(
                await self._connection.execute(select(packet).where(packet.c.id.in_(some)).order_by(packet.c.id))
            )
        return found

    async def _marks(self, ids: Sequence[int]) -> list[Row[Any, Any, Any]]:
        """Locked, so that two who remove different events of a packet do not undo each other's mark."""
        found: list[Row[Any, Any, Any]] = []
        for start in range(0, len(ids), IN_BATCH):
            found.extend(
                await self._connection.execute(
                    select(packet.c.id, packet.c.size, packet.c.gone)
                    .where(packet.c.id.in_(ids[start : start + IN_BATCH]))
                    .order_by(packet.c.id)
                    .with_for_update()
                )
            )
        return found

    async def _delete(self, ids: Sequence[int]) -> None:
        for start in range(0, len(ids), IN_BATCH):
            await self._connection.execute(delete(packet).where(packet.c.id.in_(ids[start : start + IN_BATCH])))

    def _events(self, row: Row[Any]) -> list[Packed]:
        return [
            Packed(row.id * _PLACES + place, row.shard, body, received_at)
            for place, body, received_at in unpack(row, self._keyring)
        ]
