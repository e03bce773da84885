"""Packets: events as the endpoint took them, many in one sealed row, without a name yet.

Taking a hundred events costs one INSERT and one encryption. Which of a packet's events are gone already is a bitmap
beside it, so that single events can be taken out; a packet goes when its last event does.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, func, insert, select, update

from store.keyring import KeyMissing, KeyringError
from store.packing import COLUMNS, mark_gone, pack, taken_at, unpack
from store.repository import SealingRepository
from store.tables import packet

_PLACES = 4096
"""An event's id is its packet's id times this, plus its place in it; more than a packet may hold."""


class Packed(NamedTuple):
    """One event of a packet."""

    id: int
    shard: int
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class SealedPacket:
    """A packet as one thing, by its first place: what is in it cannot be seen. `reason` says why. With its key there it
    may open (`key_missing`); when it was taken is None where an older release did."""

    id: int
    events: int
    reason: str
    received_at: datetime | None = None
    key_missing: bool = False


class Packets(SealingRepository):
    """Queries over packets. `store/writer.py` writes them."""

    async def batch(
        self, workspace_id: str, shard: int, most_events: int, most_bytes: int, after: int = 0
    ) -> tuple[list[Packed], list[SealedPacket], bool]:
        """The oldest that wait in a shard, in whole packets, until a packet reaches one of the bounds; packets among
        them that do not open; and whether more wait behind them. Those up to the one that has the event `after` are
        left out."""
        heads = await self._connection.execute(
            select(packet.c.id, packet.c.events, func.length(packet.c.body).label("bytes"))
            .where(
                packet.c.workspace_id == workspace_id,
                packet.c.shard == shard,
                packet.c.problem.is_(None),
                packet.c.id > after // _PLACES,
            )
            .order_by(packet.c.id)
            .limit(most_events + 1)  # each has an event at least
        )
        wanted: list[int] = []
        more = False
        for head in heads:
            more = most_events <= 0 or most_bytes <= 0
            if more:
                break
            wanted.append(head.id)
            most_events -= head.events
            most_bytes -= head.bytes
        found: list[Packed] = []
        sealed: list[SealedPacket] = []
        for row in await self._rows(wanted):
            try:
                found += self._events(row)
            except KeyringError as error:
                missing = isinstance(error, KeyMissing)
                sealed.append(SealedPacket(row.id * _PLACES, row.events, str(error), taken_at(row.key), missing))
        return found, sealed, more

    async def set_aside(self, id_: int, problem: str) -> None:
        """The packet of an event, as it is, out of the way of the others."""
        await self._connection.execute(update(packet).where(packet.c.id == id_ // _PLACES).values(problem=problem))

    async def kept_aside(self, workspace_id: str, limit: int) -> list[SealedPacket]:
        """Packets that were set aside, oldest first."""
        rows = await self._connection.execute(
            select(packet.c.id, packet.c.events, packet.c.problem)
            .where(packet.c.workspace_id == workspace_id, packet.c.problem.is_not(None))
            .order_by(packet.c.id)
            .limit(limit)
        )
        return [SealedPacket(row.id * _PLACES, row.events, row.problem) for row in rows]

    async def replay(self, workspace_id: str, id_: int | None) -> list[int]:
        """Puts a packet that was set aside, or all of them, back in line: their events' shards."""
        wanted = (packet.c.workspace_id == workspace_id) & packet.c.problem.is_not(None)
        if id_ is not None:
            wanted &= packet.c.id * _PLACES == id_
        rows = await self._connection.execute(
            update(packet).where(wanted).values(problem=None).returning(packet.c.shard, packet.c.events)
        )
        return [row.shard for row in rows for _ in range(row.events)]

    async def discard(self, workspace_id: str, id_: int) -> int:
        """Drops for good a packet that was set aside: how many events."""
        done = await self._connection.execute(
            delete(packet)
            .where(packet.c.workspace_id == workspace_id, packet.c.problem.is_not(None), packet.c.id * _PLACES == id_)
            .returning(packet.c.events)
        )
        return sum(row.events for row in done)

    async def get(self, id_: int) -> Packed | None:
        """One event, unless it is gone. Raises `KeyringError` where its packet does not open."""
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
        """Takes events out of their packets for good, not only off the list; how many. A packet that does not open
        stays: nobody reads it without its key and, once that is back, the drain knows who was forgotten."""
        ids = list(await self._connection.scalars(select(packet.c.id).where(packet.c.workspace_id == workspace_id)))
        erased = 0
        for id_ in ids:
            for row in await self._rows([id_]):
                erased += await self._erase(row, concerns)
        return erased

    async def shards_waiting(self) -> set[tuple[str, int]]:
        """(workspace, shard) of everything that waits."""
        rows = await self._connection.execute(
            select(packet.c.workspace_id, packet.c.shard).where(packet.c.problem.is_(None)).distinct()
        )
        return {(row.workspace_id, row.shard) for row in rows}

    async def counts(self, workspace_id: str) -> tuple[int, int]:
        """Events that (wait, are set aside)."""
        events = func.sum(packet.c.events)
        waiting, aside = (
            await self._connection.execute(
                select(
                    func.coalesce(events.filter(packet.c.problem.is_(None)), 0),
                    func.coalesce(events.filter(packet.c.problem.is_not(None)), 0),
                ).where(packet.c.workspace_id == workspace_id)
            )
        ).one()
        return int(waiting), int(aside)

    async def _erase(self, row: Any, concerns: Callable[[bytes], bool]) -> int:
        try:
            events = self._events(row)
        except KeyringError:
            return 0
        left = [one.body for one in events if not concerns(one.body)]
        if len(left) < len(events):
            await self._delete([row.id])
            rows = pack({row.workspace_id: left}, row.shard, events[0].received_at, self._keyring)
            if left:
                await self._connection.execute(
                    insert(packet), [dict(zip(COLUMNS, values, strict=True)) for values in rows]
                )
        return len(events) - len(left)

    async def _rows(self, ids: Sequence[int]) -> Sequence[Any]:
        wanted = select(packet).where(self._one_of(packet.c.id, ids)).order_by(packet.c.id)
        return (await self._connection.execute(wanted)).all()

    async def _marks(self, ids: Sequence[int]) -> Sequence[Any]:
        """Locked, so that two who remove different events of a packet do not undo each other's mark."""
        rows = await self._connection.execute(
            select(packet.c.id, packet.c.size, packet.c.gone)
            .where(self._one_of(packet.c.id, ids))
            .order_by(packet.c.id)
            .with_for_update()
        )
        return rows.all()

    async def _delete(self, ids: Sequence[int]) -> None:
        await self._connection.execute(delete(packet).where(self._one_of(packet.c.id, ids)))

    def _events(self, row: Any) -> list[Packed]:
        return [
            Packed(row.id * _PLACES + place, row.shard, body, received_at)
            for place, body, received_at in unpack(row, self._keyring)
        ]
