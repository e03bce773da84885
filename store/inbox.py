"""The inbox: events as they came, until they are drained.

A row holds every event that one commit took for a shard, sealed as one value: taking a hundred events costs one INSERT
and one encryption. Which of a row's events are gone already is a bitmap beside it, so that single events can be removed
or set aside; a row goes when its last event does.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, insert, select, update

from store.packing import Arrival, mark_gone, pack, unpack
from store.repository import IN_BATCH, SealingRepository
from store.tables import inbox

__all__ = ["Arrival", "Inbox", "Waiting"]

_PLACES = 4096
"""An event's id is its row's id times this, plus its place in the row; more than a row may hold."""


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
        rows = pack(arrivals, self._keyring)
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
        return [one for row in await self._rows(wanted) for one in self._waiting(row)]

    async def remove(self, ids: Sequence[int]) -> None:
        """Drained. An id that is gone already is no error."""
        places: dict[int, int] = defaultdict(int)
        for id_ in ids:
            row_id, place = divmod(id_, _PLACES)
            places[row_id] |= 1 << place
        empty: list[int] = []
        left: list[dict[str, Any]] = []
        for row in await self._marks(sorted(places)):
            gone, events = mark_gone(row, places[row.id])
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
        row_id = id_ // _PLACES
        for row in await self._rows([row_id]):
            waiting = self._waiting(row)
            if [one.id for one in waiting] == [id_]:  # alone already
                await self._connection.execute(update(inbox).where(inbox.c.id == row_id).values(problem=problem))
                return
            for one in waiting:
                if one.id == id_:
                    alone = Arrival(row.workspace_id, row.shard, one.event_id, one.body, one.received_at)
                    values = {**pack([alone], self._keyring)[0], "problem": problem}
                    await self._connection.execute(insert(inbox), [values])
                    await self.remove([id_])

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

    async def _rows(self, ids: Sequence[int]) -> list[Row[Any]]:
        found: list[Row[Any]] = []
        for start in range(0, len(ids), IN_BATCH):
            found.extend(
                await self._connection.execute(
                    select(inbox).where(inbox.c.id.in_(ids[start : start + IN_BATCH])).order_by(inbox.c.id)
                )
            )
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

    def _waiting(self, row: Row[Any]) -> list[Waiting]:
        return [Waiting(row.id * _PLACES + place, *rest) for place, *rest in unpack(row, self._keyring)]
