"""How far Iterable's export has been read, by workspace."""

from datetime import datetime

from sqlalchemy import func, select

from store.repository import Repository
from store.tables import backfill


class Backfills(Repository):
    """Queries over the marks."""

    async def until(self, workspace_id: str) -> datetime | None:
        """Everything that happened before this moment has been read; None before the first time."""
        return await self._connection.scalar(select(backfill.c.until).where(backfill.c.workspace_id == workspace_id))

    async def advance(self, workspace_id: str, until: datetime) -> None:
        """Moves the mark forward; never back."""
        insert = self._upsert(backfill).values(workspace_id=workspace_id, until=until)
        later = func.max if self._connection.dialect.name == "sqlite" else func.greatest
        await self._connection.execute(
            insert.on_conflict_do_update(
                index_elements=[backfill.c.workspace_id],
                set_={"until": later(backfill.c.until, insert.excluded.until)},
            )
        )
