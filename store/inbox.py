"""The inbox: events as they came, until they are drained.

What the endpoint takes comes in packets (`store/packets.py`); what came another way, or is kept apart, has a row of its
own. A reader of the inbox sees both as single events: an id below zero is one of a packet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, update

from store.keyring import KeyringError
from store.packets import Packets
from store.repository import IN_BATCH, SealingRepository
from store.tables import inbox


@dataclass(frozen=True)
class Arrival:
    """One event that gets a row of its own: `event_id` names the occurrence, `body` is the JSON as reported."""

    workspace_id: str
    shard: int
    event_id: str
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """One event that waits to be drained. `body` is None where it does not open: its key is gone from the ring."""

    id: int
    body: bytes | None
    received_at: datetime


@dataclass(frozen=True)
class Problem:
    """One event that was set aside, and why. `reason` names parts and errors, never values."""

    id: int
    reason: str
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

    async def batch(
        self, workspace_id: str, shard: int, most_events: int, most_bytes: int
    ) -> tuple[list[Waiting], bool]:
        """The oldest waiting events of a shard, and whether more may wait behind them: single ones first, then whole
        packets, so that a batch may be larger by a packet.

        Ends before it has more than `most_bytes` of single bodies; one that alone is larger still comes, by itself.
        """
        single, more = await self._singles(workspace_id, shard, most_events, most_bytes)
        if more or len(single) >= most_events:
            return single, True
        packed = await self._packets.batch(workspace_id, shard, most_events - len(single))
        found = single + [Waiting(-one.id, one.body, one.received_at) for one in packed]
        return found, len(found) >= most_events

    async def _singles(
        self, workspace_id: str, shard: int, most_events: int, most_bytes: int
    ) -> tuple[list[Waiting], bool]:
        sizes = await self._connection.execute(
            select(inbox.c.id, func.length(inbox.c.body).label("size"))
            .where(inbox.c.workspace_id == workspace_id, inbox.c.shard == shard, inbox.c.problem.is_(None))
            .order_by(inbox.c.id)
            .limit(most_events + 1)
        )
        ids: list[int] = []
        total, more = 0, False
        for row in sizes:
            total += row.size
            if ids and (total > most_bytes or len(ids) == most_events):
                more = True
                break
            ids.append(row.id)
        if not ids:
            return [], False
        rows = await self._connection.execute(
            select(inbox.c.id, inbox.c.event_id, inbox.c.body, inbox.c.received_at)
            .where(
                inbox.c.workspace_id == workspace_id,
                inbox.c.shard == shard,
                inbox.c.problem.is_(None),
                inbox.c.id.between(ids[0], ids[-1]),
            )
            .order_by(inbox.c.id)
        )
        return [
            Waiting(row.id, self._opened(workspace_id, row.event_id, row.body), row.received_at) for row in rows
        ], more

    async def remove(self, ids: Sequence[int]) -> None:
        """Drained."""
        single = [id_ for id_ in ids if id_ > 0]
        for start in range(0, len(single), IN_BATCH):
            await self._connection.execute(delete(inbox).where(inbox.c.id.in_(single[start : start + IN_BATCH])))
        await self._packets.remove([-id_ for id_ in ids if id_ < 0])

    async def set_aside(self, workspace_id: str, id_: int, name: str, problem: str) -> None:
        """Keeps an event that could not be drained, with the reason, out of the way of the others. `name` is its
        occurrence's, for one that comes in a packet: there it has none yet."""
        if id_ > 0:
            await self._connection.execute(update(inbox).where(inbox.c.id == id_).values(problem=problem))
            return
        one = await self._packets.get(-id_)
        if one is not None:
            await self.add([Arrival(workspace_id, one.shard, name, one.body, one.received_at)])
            await self._connection.execute(
                update(inbox)
                .where(inbox.c.workspace_id == workspace_id, inbox.c.event_id == name)
                .values(problem=problem)
            )
            await self._packets.remove([-id_])

    async def erase(self, workspace_id: str, concerns: Callable[[bytes], bool]) -> int:
        """Erases events, waiting or set aside, of whose bodies `concerns` says so; how many. Every one of the workspace
        is opened, because outside of its body nothing says whose it is."""
        rows = await self._connection.execute(
            select(inbox.c.id, inbox.c.event_id, inbox.c.body).where(inbox.c.workspace_id == workspace_id)
        )
        opened = [(row.id, self._opened(workspace_id, row.event_id, row.body)) for row in rows]
        mine = [id_ for id_, body in opened if body is not None and concerns(body)]
        await self.remove(mine)
        return len(mine) + await self._packets.erase(workspace_id, concerns)

    async def problems(self, workspace_id: str, limit: int) -> list[Problem]:
        """Events that were set aside, oldest first."""
        rows = await self._connection.execute(
            select(inbox.c.id, inbox.c.problem, inbox.c.received_at)
            .where(inbox.c.workspace_id == workspace_id, inbox.c.problem.is_not(None))
            .order_by(inbox.c.id)
            .limit(limit)
        )
        return [Problem(row.id, row.problem, row.received_at) for row in rows]

    async def replay(self, workspace_id: str, id_: int | None) -> list[int]:
        """Puts an event that was set aside, or all of them, back in line: the shards that have work now."""
        wanted = (inbox.c.workspace_id == workspace_id) & inbox.c.problem.is_not(None)
        if id_ is not None:
            wanted &= inbox.c.id == id_
        return list(
            await self._connection.scalars(update(inbox).where(wanted).values(problem=None).returning(inbox.c.shard))
        )

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

    def _opened(self, workspace_id: str, event_id: str, sealed: bytes) -> bytes | None:
        try:
            return self._keyring.open(sealed, _place(workspace_id, event_id))
        except KeyringError:
            return None


def _place(workspace_id: str, event_id: str) -> str:
    return f"inbox.body.{workspace_id}/{event_id}"
