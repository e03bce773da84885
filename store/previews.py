"""Previews: what dry runs rendered, sealed, for a week."""

from datetime import timedelta

from sqlalchemy import delete, select

from contracts.preview import Preview
from store.repository import SealingRepository
from store.tables import preview

_KEPT = timedelta(days=7)


class Previews(SealingRepository):
    """Queries over previews."""

    async def put(self, made: Preview, recipient_hash: str) -> None:
        """Keeps a preview in place of an earlier one of the same send, and removes those that are older than a week."""
        await self._connection.execute(delete(preview).where(preview.c.made_at < self._clock() - _KEPT))
        values = {
            "recipient_hash": recipient_hash,
            "body": self._keyring.seal(made.model_dump_json().encode(), _place(made.workspace_id, made.send_id)),
            "made_at": made.made_at,
        }
        await self._connection.execute(
            self._upsert(preview)
            .values(workspace_id=made.workspace_id, send_id=made.send_id, **values)
            .on_conflict_do_update(index_elements=[preview.c.workspace_id, preview.c.send_id], set_=values)
        )

    async def get(self, workspace_id: str, send_id: str) -> Preview | None:
        """The preview of one dry run."""
        sealed = await self._connection.scalar(
            select(preview.c.body).where(preview.c.workspace_id == workspace_id, preview.c.send_id == send_id)
        )
        if sealed is None:
            return None
        return Preview.model_validate_json(self._keyring.open(sealed, _place(workspace_id, send_id)))


def _place(workspace_id: str, send_id: str) -> str:
    return f"preview.body.{workspace_id}/{send_id}"
