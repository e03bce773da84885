"""The inbox: events as they came, until they are drained."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, update

from store.repository import SealingRepository
from store.tables import inbox


@dataclass(frozen=True)
class Arrival:
    """One event as it came in: `event_id` names the occurrence, `body` is the JSON as posted."""

    workspace_id: str
    shard: int
    event_id: str
    body: bytes
    received_at: datetime


@dataclass(frozen=True)
class Waiting:
    """One event that waits to be drained."""

    id: int
    event_id: str
    body: bytes
    received_at: datetime


class Inbox(SealingRepository):
    """Queries over waiting events."""

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
        """The oldest waiting events of a shard."""
        rows = await self._connection.execute(
            select(inbox.c.id, inbox.c.event_id, inbox.c.body, inbox.c.received_at)
            .where(inbox.c.workspace_id == workspace_id, inbox.c.shard == shard, inbox.c.problem.is_(None))
            .order_by(inbox.c.id)
            .limit(limit)
        )
        return [
            Waiting(
                row.id, row.event_id, self._keyring.open(row.body, _place(workspace_id, row.event_id)), row.received_at
            )
            for row in rows
        ]

    async def remove(self, ids: Sequence[int]) -> None:
        """Drained."""
        if ids:
            await self._connection.execute(delete(inbox).where(inbox.c.id.in_(ids)))

    async def set_aside(self, id_: int, problem: str) -> None:
        """Keeps an event that could not be read, with the reason, out of the way of the others."""
        await self._connection.execute(update(inbox).where(inbox.c.id == id_).values(problem=problem))

    async def shards_waiting(self) -> list[tuple[str, int]]:
        """(workspace, shard) of everything that waits."""
        rows = await self._connection.execute(
            select(inbox.c.workspace_id, inbox.c.shard).where(inbox.c.problem.is_(None)).distinct()
        )
        return [(row.workspace_id, row.shard) for row in rows]

    async def counts(self, workspace_id: str) -> tuple[int, int]:
        """(waiting, set aside)."""
        row = (
            await self._connection.execute(
                select(func.count().filter(inbox.c.problem.is_(None)), func.count(inbox.c.problem)).where(
                    inbox.c.workspace_id == workspace_id
                )
            )
        ).one()
        return row[0], row[1]


def _place(workspace_id: str, event_id: str) -> str:
    return f"inbox.body.{workspace_id}/{event_id}"
