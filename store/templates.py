"""Template contents that GenieOS handed over, by content hash."""

from sqlalchemy import bindparam, select

from contracts.template import Template
from store.repository import SealingRepository
from store.tables import template

_IS = (template.c.workspace_id == bindparam("of_workspace")) & (template.c.template_ref == bindparam("of_ref"))
_HELD = select(template.c.created_at).where(_IS)
_CONTENT = select(template.c.content).where(_IS)


class Templates(SealingRepository):
    """Queries over template contents. A content never changes: its ref is its hash."""

    async def put(self, workspace_id: str, template_ref: str, content: Template) -> None:
        """Keeps a content; one that is there already stays, and is not sealed and sent to the database again."""
        if await self.holds(workspace_id, template_ref):
            return
        sealed = self._keyring.seal(content.model_dump_json().encode(), _place(workspace_id, template_ref))
        await self._add(
            template, workspace_id=workspace_id, template_ref=template_ref, content=sealed, created_at=self._clock()
        )

    async def holds(self, workspace_id: str, template_ref: str) -> bool:
        """Whether a content is kept."""
        return await self._connection.scalar(_HELD, _of(workspace_id, template_ref)) is not None

    async def get(self, workspace_id: str, template_ref: str) -> Template | None:
        """The content under a ref."""
        sealed = await self._connection.scalar(_CONTENT, _of(workspace_id, template_ref))
        if sealed is None:
            return None
        return Template.model_validate_json(self._keyring.open(sealed, _place(workspace_id, template_ref)))


def _of(workspace_id: str, template_ref: str) -> dict[str, str]:
    return {"of_workspace": workspace_id, "of_ref": template_ref}


def _place(workspace_id: str, template_ref: str) -> str:
    return f"template.content.{workspace_id}/{template_ref}"
