"""Counts over all workspaces, for metrics."""

from datetime import datetime

from sqlalchemy import ColumnElement, func, or_, select

from store.packing import taken_at
from store.repository import Repository
from store.tables import WAITING, event, inbox, packet, suppression


class Tallies(Repository):
    """Queries that count. Those that read whole tables say so."""

    async def waiting(self) -> int:
        """Events taken and not yet drained."""
        return await self._count(packet.c.problem.is_(None), inbox.c.problem.is_(None))

    async def waiting_since(self) -> datetime | None:
        """When the oldest event that waits was taken, in whatever workspace; None where none does. One that an older
        release packed tells nothing."""
        key = await self._connection.scalar(select(packet.c.key).where(WAITING).order_by(packet.c.id).limit(1))
        alone = await self._connection.scalar(select(inbox.c.received_at).where(WAITING).order_by(inbox.c.id).limit(1))
        known = [moment for moment in (alone, key and taken_at(key)) if moment]
        return min(known, default=None)

    async def set_aside(self) -> int:
        """Events that could not be read."""
        return await self._count(packet.c.problem.is_not(None), inbox.c.problem.is_not(None))

    async def unmatched(self) -> int:
        """Events that belong to no send that is known. Reads all events that no name has joined yet."""
        loose = event.c.firm.is_(False) & event.c.send_id.is_(None)
        return await self._connection.scalar(select(func.count()).select_from(event).where(loose)) or 0

    async def suppressions(self) -> dict[str, int]:
        """Suppressions in force, by cause. Reads the whole table."""
        in_force = suppression.c.last_seen_at.is_not(None) & or_(
            suppression.c.lifted_at.is_(None), suppression.c.lifted_at <= suppression.c.last_seen_at
        )
        rows = await self._connection.execute(
            select(suppression.c.cause, func.count().label("entries")).where(in_force).group_by(suppression.c.cause)
        )
        return {row.cause: row.entries for row in rows}

    async def _count(self, packed: ColumnElement[bool], single: ColumnElement[bool]) -> int:
        in_packets = select(func.coalesce(func.sum(packet.c.events), 0)).where(packed).scalar_subquery()
        alone = select(func.count()).where(single).scalar_subquery()
        return int(await self._connection.scalar(select(in_packets + alone)) or 0)
