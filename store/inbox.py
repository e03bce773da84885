"""The inbox: events as they came, until they are drained.

What the endpoint takes comes in packets (`store/packets.py`); what came another way, or is kept apart, has a row of its
own. A reader of the inbox sees both as single events: an id below zero is one of a packet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, update

from store.arrival import Arrival
from store.packets import Packets
from store.repository import IN_BATCH, SealingRepository
from store.tables import inbox

__all__ = ["Arrival", "Inbox", "Waiting"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """One event that waits to be drained."""

    id: int
    event_id: str
    body: bytes
    received_at: datetime


class Inbox(SealingRepository):
    """Queries over waiting events."""

    @property
    def _packets(self) -> Packets:
        return Packets(self._connection, self._keyring, self._clock)

    async def add(self, arrivals: Sequence[Arrival]) -> None:
        """Keeps events. One that waits already is not kept twice; one that was drained is recognised when drained."""
        values = [
            {
                "workspace_id": arrival.workspace_id,
                "shard": arrival.shard,
                "event_id": arrival.event_id,
                "body": self._keyring.seal(arrival.body, _place(arrival.workspace_id, arrival.event_id)),
                "received_at": arrival.received_at,
            }
            for arrival in arrivals
        ]
        if values:
            await self._connection.execute(self._upsert(inbox).on_conflict_do_nothing(), values)

    async def batch(self, workspace_id: str, shard: int, limit: int) -> list[Waiting]:
        """The oldest waiting events of a shard: single ones first, then whole packets until there are `limit` events,
        so a batch may be larger by a packet. Fewer than `limit` are all there are."""
        rows = await self._connection.execute(
            select(inbox.c.id, inbox.c.event_id, inbox.c.body, inbox.c.received_at)
            .where(inbox.c.workspace_id == workspace_id, inbox.c.shard == shard, inbox.c.problem.is_(None))
            .order_by(inbox.c.id)
            .limit(limit)
        )
        single = [
            Waiting(
                row.id, row.event_id, self._keyring.open(row.body, _place(workspace_id, row.event_id)), row.received_at
            )
            for row in rows
        ]
        if len(single) == limit:
            return single
        packed = await self._packets.batch(workspace_id, shard, limit - len(single))
        return single + [Waiting(-id_, a.event_id, a.body, a.received_at) for id_, a in packed]

    async def remove(self, ids: Sequence[int]) -> None:
        """Drained."""
        single = [id_ for id_ in ids if id_ > 0]
        for start in range(0, len(single), IN_BATCH):
            await self._connection.execute(delete(inbox).where(inbox.c.id.in_(single[start : start + IN_BATCH])))
        await self._packets.remove([-id_ for id_ in ids if id_ < 0])

    async def set_aside(self, id_: int, problem: str) -> None:
        """Keeps an event that could not be read, with the reason, out of the way of the others."""
        if id_ > 0:
            await self._connection.execute(update(inbox).where(inbox.c.id == id_).values(problem=problem))
            return
        arrival = await self._packets.get(-id_)
        if arrival is not None:
            await self.add([arrival])
            await self._connection.execute(
                update(inbox)
                .where(inbox.c.workspace_id == arrival.workspace_id, inbox.c.event_id == arrival.event_id)
                .values(problem=problem)
            )
            await self._packets.remove([-id_])

    async def unpack(self, workspace_id: str) -> None:
        """Gives every waiting event of a workspace a row of its own, for whoever must look at each of them."""
        await self.add(await self._packets.take_all(workspace_id))

    async def shards_waiting(self) -> list[tuple[str, int]]:
        """(workspace, shard) of everything that waits."""
        rows = await self._connection.execute(
            select(inbox.c.workspace_id, inbox.c.shard).where(inbox.c.problem.is_(None)).distinct()
        )
        return sorted({(row.workspace_id, row.shard) for row in rows} | await self._packets.shards_waiting())

    async def counts(self, workspace_id: str) -> tuple[int, int]:
        """(waiting, set aside)."""
        row = (
            await self._connection.execute(
                select(func.count().filter(inbox.c.problem.is_(None)), func.count(inbox.c.problem)).where(
                    inbox.c.workspace_id == workspace_id
                )
            )
        ).one()
        return row[0] + await self._packets.count(workspace_id), row[1]


def _place(workspace_id: str, event_id: str) -> str:
    return f"inbox.body.{workspace_id}/{event_id}"
