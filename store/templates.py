"""Template contents that GenieOS handed over, by content hash."""

from sqlalchemy import select

from contracts.template import Template
from store.repository import SealingRepository
from store.tables import template


class Templates(SealingRepository):
    """Queries over template contents. A content never changes: its ref is its hash."""

    async def put(self, workspace_id: str, template_ref: str, content: Template) -> None:
        """Keeps a content; one that is there already stays."""
        sealed = self._keyring.seal(content.model_dump_json().encode(), _place(workspace_id, template_ref))
        await self._connection.execute(
            self._upsert(template)
            .values(workspace_id=workspace_id, template_ref=template_ref, content=sealed, created_at=self._clock())
            .on_conflict_do_nothing()
        )

    async def holds(self, workspace_id: str, template_ref: str) -> bool:
        """Whether a content is kept."""
        found = await self._connection.scalar(
            select(template.c.created_at).where(
                template.c.workspace_id == workspace_id, template.c.template_ref == template_ref
            )
        )
        return found is not None

    async def get(self, workspace_id: str, template_ref: str) -> Template | None:
        """The content under a ref."""
        sealed = await self._connection.scalar(
            select(template.c.content).where(
                template.c.workspace_id == workspace_id, template.c.template_ref == template_ref
            )
        )
        if sealed is None:
            return None
        return Template.model_validate_json(self._keyring.open(sealed, _place(workspace_id, template_ref)))


def _place(workspace_id: str, template_ref: str) -> str:
    return f"template.content.{workspace_id}/{template_ref}"
