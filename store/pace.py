"""The shared pace of calls to one endpoint of one project: GCRA, one row, whoever asks and wherever they run."""

from datetime import datetime, timedelta

from sqlalchemy import select, update

from store.repository import Repository
from store.tables import pace


class Paces(Repository):
    """Queries over paces. `next_at` is the moment from which a further call keeps to the rate."""

    async def wait(self, workspace_id: str, operation: str, per_second: float) -> timedelta:
        """Zero, and the call is counted; or how long to wait before asking again, and it is not.

        The row is locked while it is looked at, so callers on any machine share one rate. No bursts: calls are spaced
        evenly.
        """
        now = self._clock()
        mine = (pace.c.workspace_id == workspace_id) & (pace.c.operation == operation)
        await self._connection.execute(
            self._upsert(pace)
            .values(workspace_id=workspace_id, operation=operation, next_at=now)
            .on_conflict_do_nothing()
        )
        next_at: datetime | None = await self._connection.scalar(select(pace.c.next_at).where(mine).with_for_update())
        if next_at is not None and next_at > now:
            return next_at - now
        await self._connection.execute(update(pace).where(mine).values(next_at=now + timedelta(seconds=1 / per_second)))
        return timedelta(0)
