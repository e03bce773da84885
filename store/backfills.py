"""How far Iterable's export has been read, by workspace."""

from datetime import datetime

from sqlalchemy import func, select

from contracts.connector import ConnectorState
from store.repository import Repository
from store.tables import backfill, connector

_NOT_READ = (ConnectorState.VALIDATING.value, ConnectorState.UNINSTALLED.value)


class Backfills(Repository):
    """Queries over the marks."""

    async def until(self, workspace_id: str) -> datetime | None:
        """Everything that happened before this moment has been read; None before the first time."""
        return await self._connection.scalar(select(backfill.c.until).where(backfill.c.workspace_id == workspace_id))

    async def behind_since(self, workspace_id: str | None = None) -> datetime | None:
        """`until` of the connector in force that is furthest behind, or of one; where nothing was ever read, since when
        it stands as it does. None without a connector."""
        until = func.coalesce(backfill.c.until, connector.c.changed_at)
        wanted = (
            select(func.min(until))
            .select_from(connector)
            .outerjoin(backfill, backfill.c.workspace_id == connector.c.workspace_id)
            .where(connector.c.state.not_in(_NOT_READ))
        )
        if workspace_id is not None:
            wanted = wanted.where(connector.c.workspace_id == workspace_id)
        return await self._connection.scalar(wanted)

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
