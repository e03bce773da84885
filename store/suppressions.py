"""Suppressions: who must not be sent to."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import select

from store.repository import Repository
from store.tables import suppression

Cause = Literal["hard_bounce", "complaint", "forgotten"]


class Suppressions(Repository):
    """Queries over suppressions. Both causes known here block both streams of the whole workspace."""

    async def cause_of(self, workspace_id: str, recipient_hashes: Sequence[str]) -> Cause | None:
        """Why a person must not be sent to, the oldest cause first; None where nothing forbids it."""
        return await self._connection.scalar(
            select(suppression.c.cause)
            .where(suppression.c.workspace_id == workspace_id, suppression.c.recipient_hash.in_(recipient_hashes))
            .order_by(suppression.c.since)
            .limit(1)
        )

    async def add(
        self, workspace_id: str, recipient_hash: str, cause: Cause, since: datetime, event_id: str | None
    ) -> None:
        """Suppresses a person; a second report of the same cause changes nothing."""
        await self._connection.execute(
            self._upsert(suppression)
            .values(
                workspace_id=workspace_id, recipient_hash=recipient_hash, cause=cause, since=since, event_id=event_id
            )
            .on_conflict_do_nothing()
        )
