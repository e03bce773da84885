"""Signs that something is wrong between Iterable and us: counts for a look at a connector."""

from datetime import datetime

from sqlalchemy import ColumnElement, func, literal, select

from contracts.send import SendStatus
from store.repository import Repository
from store.tables import event, send, shadow

_COUNTED = 1_000
"""Counts end here: more would say nothing else, and an outage must not make every look a long one."""


class Signs(Repository):
    """Queries over sends and events that ought to have met."""

    async def silent_sends(self, workspace_id: str, since: datetime, before: datetime) -> int:
        """Messages that Iterable took between two moments and of which nothing was reported, 1,000 at most."""
        return await self._count(
            send.c.workspace_id == workspace_id,
            send.c.message_id.is_(None),
            send.c.accepted_at.between(since, before),
            send.c.status.in_([SendStatus.ACCEPTED.value, SendStatus.UNCONFIRMED.value]),
        )

    async def unmatched_of_ours(self, workspace_id: str, since: datetime, before: datetime) -> int:
        """Events of our own campaigns that came between two moments and belong to no send that we know of, 1,000 at
        most. Events of other campaigns of the project are nobody's fault."""
        ours = select(shadow.c.campaign_id).where(
            shadow.c.workspace_id == workspace_id, shadow.c.campaign_id.is_not(None)
        )
        return await self._count(
            event.c.workspace_id == workspace_id,
            event.c.firm.is_(False),
            event.c.send_id.is_(None),
            event.c.campaign_id.in_(ours),
            event.c.received_at.between(since, before),
        )

    async def under_way(self, workspace_id: str, since: datetime) -> int:
        """Sends claimed since a moment that Iterable has not taken and that have not ended either, 1,000 at most."""
        return await self._count(
            send.c.workspace_id == workspace_id,
            send.c.status.is_(None),
            send.c.accepted_at.is_(None),
            send.c.changed_at >= since,
        )

    async def _count(self, *conditions: ColumnElement[bool]) -> int:
        some = select(literal(1)).where(*conditions).limit(_COUNTED).subquery()
        return await self._connection.scalar(select(func.count()).select_from(some)) or 0
