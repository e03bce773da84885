"""Shadows: the durable record of which (template, campaign) pair in Iterable stands for a fingerprint."""

from datetime import datetime

from sqlalchemy import ColumnElement, delete, select, update

from contracts.shadow import Shadow
from store.repository import Repository
from store.tables import shadow


class Shadows(Repository):
    """Queries over shadows."""

    async def ready(self, workspace_id: str, fingerprint: str) -> Shadow | None:
        """The shadow, where its campaign has been seen Running."""
        row = (
            await self._connection.execute(
                select(shadow.c.template_id, shadow.c.campaign_id).where(
                    _is(workspace_id, fingerprint), shadow.c.ready_at.is_not(None)
                )
            )
        ).one_or_none()
        return None if row is None else Shadow(template_id=row.template_id, campaign_id=row.campaign_id)

    async def create_tried_at(self, workspace_id: str, fingerprint: str) -> datetime | None:
        """When a campaign was asked for whose id is not known."""
        return await self._connection.scalar(select(shadow.c.create_tried_at).where(_is(workspace_id, fingerprint)))

    async def note_create(self, workspace_id: str, fingerprint: str, template_id: int) -> None:
        """Before a campaign is asked for: from here on one may exist."""
        now = self._clock()
        await self._connection.execute(
            self._upsert(shadow)
            .values(
                workspace_id=workspace_id,
                fingerprint=fingerprint,
                template_id=template_id,
                create_tried_at=now,
                created_at=now,
            )
            .on_conflict_do_update(
                index_elements=[shadow.c.workspace_id, shadow.c.fingerprint],
                set_={"template_id": template_id, "create_tried_at": now, "ready_at": None},
            )
        )

    async def clear_create(self, workspace_id: str, fingerprint: str) -> None:
        """The request was certainly not taken, or its campaign was found."""
        await self._connection.execute(
            update(shadow).where(_is(workspace_id, fingerprint)).values(create_tried_at=None)
        )

    async def save_ready(self, workspace_id: str, fingerprint: str, found: Shadow) -> None:
        """The campaign runs: sends may be targeted at it."""
        now = self._clock()
        known = {
            "template_id": found.template_id,
            "campaign_id": found.campaign_id,
            "create_tried_at": None,
            "ready_at": now,
        }
        await self._connection.execute(
            self._upsert(shadow)
            .values(workspace_id=workspace_id, fingerprint=fingerprint, created_at=now, **known)
            .on_conflict_do_update(index_elements=[shadow.c.workspace_id, shadow.c.fingerprint], set_=known)
        )

    async def drop(self, workspace_id: str, campaign_id: int) -> None:
        """Iterable no longer has the campaign: the next send makes it anew."""
        await self._connection.execute(
            delete(shadow).where(shadow.c.workspace_id == workspace_id, shadow.c.campaign_id == campaign_id)
        )


def _is(workspace_id: str, fingerprint: str) -> ColumnElement[bool]:
    return (shadow.c.workspace_id == workspace_id) & (shadow.c.fingerprint == fingerprint)
