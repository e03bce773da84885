"""The shared pace of calls to one endpoint of one project: GCRA, one row, whoever asks and wherever they run."""

from datetime import datetime, timedelta

from sqlalchemy import select, update

from store.repository import Repository
from store.tables import pace


class Paces(Repository):
    """Queries over paces. `next_at` is the moment from which a further call keeps to the rate."""

    async def reserve(
        self, workspace_id: str, operation: str, per_second: float, at_most: timedelta
    ) -> tuple[timedelta, bool]:
        """(how long to wait, whether the turn after that wait is the caller's).

        A turn within `at_most` is reserved: wait, then call. A later one is not: ask again after the wait. The row is
        locked while it is looked at, so callers on any machine share one rate; calls are spaced evenly, first come
        first served.
        """
        now = self._clock()
        mine = (pace.c.workspace_id == workspace_id) & (pace.c.operation == operation)
        await self._connection.execute(
            self._upsert(pace)
            .values(workspace_id=workspace_id, operation=operation, next_at=now)
            .on_conflict_do_nothing()
        )
        next_at: datetime | None = await self._connection.scalar(select(pace.c.next_at).where(mine).with_for_update())
        turn = max(now, next_at or now)
        if turn - now > at_most:
            return turn - now, False
        await self._connection.execute(
            update(pace).where(mine).values(next_at=turn + timedelta(seconds=1 / per_second))
        )
        return turn - now, True
