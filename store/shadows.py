"""Shadows: the durable record of which (template, campaign) pair in Iterable stands for a fingerprint.

A shadow that nobody uses is retired in two steps, so that no send loses its campaign. It is *marked* first; a send that
looks it up takes the mark off again. Some time later, when every transaction that looked it up before has ended and
shows as an open send, it is *retired*, if the mark is still on: it leaves this table, the next send of its content
makes another one, and its campaign waits in `retired` to be archived.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, bindparam, delete, exists, func, select, update

from contracts.shadow import KnownShadow, Shadow
from store.broadcasts import ENDS
from store.repository import Repository
from store.tables import broadcast, retired, send, shadow

_USE_NOTED_EVERY = timedelta(hours=1)
"""A use is noted no more often: sends of one content must not wait for each other at its row."""
_OPEN_AT_MOST = timedelta(days=400)
"""A send may wait for a year. What is older and has no end was stopped from outside."""

_IS = (shadow.c.workspace_id == bindparam("of_workspace")) & (shadow.c.fingerprint == bindparam("of_fingerprint"))
_READY = select(shadow.c.template_id, shadow.c.campaign_id, shadow.c.last_used_at, shadow.c.retiring_at).where(
    _IS, shadow.c.ready_at.is_not(None)
)


@dataclass(frozen=True)
class Retired:
    """A campaign that no send will use any more."""

    campaign_id: int
    fingerprint: str


class Shadows(Repository):
    """Queries over shadows."""

    async def use(self, workspace_id: str, fingerprint: str) -> Shadow | None:
        """The shadow, where its campaign has been seen Running, for a send that goes out through it. Writes: the use is
        noted, a mark taken off. None where it was retired meanwhile."""
        row = (await self._connection.execute(_READY, _of(workspace_id, fingerprint))).one_or_none()
        if row is None:
            return None
        now = self._clock()
        if row.retiring_at is not None or row.last_used_at is None or row.last_used_at < now - _USE_NOTED_EVERY:
            done = await self._connection.execute(
                update(shadow).where(_IS, shadow.c.ready_at.is_not(None)).values(last_used_at=now, retiring_at=None),
                _of(workspace_id, fingerprint),
            )
            if not done.rowcount:
                return None
        return Shadow(template_id=row.template_id, campaign_id=row.campaign_id)

    async def ready(self, workspace_id: str, fingerprint: str) -> Shadow | None:
        """The shadow as `use` gives it, to look at: it may be retired at any moment."""
        row = (await self._connection.execute(_READY, _of(workspace_id, fingerprint))).one_or_none()
        return None if row is None else Shadow(template_id=row.template_id, campaign_id=row.campaign_id)

    async def create_over_by(self, workspace_id: str, fingerprint: str) -> datetime | None:
        """When the request for a campaign whose id is not known was over at the latest."""
        asked = select(shadow.c.create_tried_at).where(_IS)
        return await self._connection.scalar(asked, _of(workspace_id, fingerprint))

    async def note_create(self, workspace_id: str, fingerprint: str, template_id: int, over_by: datetime) -> None:
        """Before a campaign is asked for, by a request that is over by then: from here on one may exist. And again once
        its answer is lost, when it is over for certain."""
        now = self._clock()
        await self._connection.execute(
            self._upsert(shadow)
            .values(
                workspace_id=workspace_id,
                fingerprint=fingerprint,
                template_id=template_id,
                create_tried_at=over_by,
                created_at=now,
            )
            .on_conflict_do_update(
                index_elements=[shadow.c.workspace_id, shadow.c.fingerprint],
                set_={"template_id": template_id, "create_tried_at": over_by, "ready_at": None},
            )
        )

    async def clear_create(self, workspace_id: str, fingerprint: str) -> None:
        """The request was certainly not taken, or its campaign was found."""
        await self._connection.execute(
            update(shadow).where(_IS).values(create_tried_at=None), _of(workspace_id, fingerprint)
        )

    async def save_ready(self, workspace_id: str, fingerprint: str, found: Shadow) -> None:
        """The campaign runs: sends may be targeted at it."""
        now = self._clock()
        known = {
            "template_id": found.template_id,
            "campaign_id": found.campaign_id,
            "create_tried_at": None,
            "ready_at": now,
            "last_used_at": now,
            "retiring_at": None,
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

    # ── care ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def page(self, workspace_id: str, after: str, limit: int) -> list[KnownShadow]:
        """Shadows in the order of their fingerprints, from behind one on."""
        rows = await self._connection.execute(
            select(shadow)
            .where(shadow.c.workspace_id == workspace_id, shadow.c.fingerprint > after)
            .order_by(shadow.c.fingerprint)
            .limit(limit)
        )
        return [_known(row) for row in rows]

    async def get(self, workspace_id: str, fingerprint: str) -> KnownShadow | None:
        """One shadow, in whatever state."""
        row = (await self._connection.execute(select(shadow).where(_IS), _of(workspace_id, fingerprint))).one_or_none()
        return None if row is None else _known(row)

    async def beginning_with(self, workspace_id: str, beginning: str) -> list[KnownShadow]:
        """Up to two shadows whose fingerprint begins so: one is the one that is meant."""
        rows = await self._connection.execute(
            select(shadow)
            .where(shadow.c.workspace_id == workspace_id, shadow.c.fingerprint.startswith(beginning, autoescape=True))
            .limit(2)
        )
        return [_known(row) for row in rows]

    async def mark_idle(self, workspace_id: str, unused_since: datetime, only: Sequence[str] | None = None) -> int:
        """Marks what no send used since then and no open send stands for; how many."""
        wanted = [
            shadow.c.workspace_id == workspace_id,
            shadow.c.ready_at.is_not(None),
            shadow.c.retiring_at.is_(None),
            func.coalesce(shadow.c.last_used_at, shadow.c.created_at) < unused_since,
            ~self._in_use(),
            ~exists().where(
                send.c.workspace_id == shadow.c.workspace_id,
                send.c.campaign_id == shadow.c.campaign_id,
                send.c.changed_at >= unused_since,
            ),
        ]
        if only is not None:
            wanted.append(shadow.c.fingerprint.in_(only))
        done = await self._connection.execute(update(shadow).where(*wanted).values(retiring_at=self._clock()))
        return done.rowcount

    async def retire(self, workspace_id: str, marked_before: datetime) -> tuple[int, int]:
        """Retires what was marked before then and is still marked: how many, and how many turned out to be in use,
        which lose their mark."""
        marked = [shadow.c.workspace_id == workspace_id, shadow.c.retiring_at < marked_before]
        kept = await self._connection.execute(update(shadow).where(*marked, self._in_use()).values(retiring_at=None))
        rows = (await self._connection.execute(select(shadow).where(*marked))).all()
        done = 0
        for row in rows:
            gone = await self._connection.execute(  # unless a send takes the mark off in this very moment
                delete(shadow).where(_IS, shadow.c.retiring_at == row.retiring_at), _of(workspace_id, row.fingerprint)
            )
            if gone.rowcount:
                done += 1
                await self._note_retired(workspace_id, row.fingerprint, row.campaign_id)
        return done, kept.rowcount

    async def _note_retired(self, workspace_id: str, fingerprint: str, campaign_id: int) -> None:
        await self._add(
            retired,
            workspace_id=workspace_id,
            campaign_id=campaign_id,
            fingerprint=fingerprint,
            retired_at=self._clock(),
        )

    def _in_use(self) -> ColumnElement[bool]:
        """Whether an open send stands for the shadow's content, an open broadcast goes out through it, or another
        workspace of the same Iterable project uses its campaign and has not marked it too."""
        other = shadow.alias()
        open_send = exists().where(
            send.c.workspace_id == shadow.c.workspace_id,
            send.c.fingerprint == shadow.c.fingerprint,
            send.c.status.is_(None),
            send.c.changed_at > self._clock() - _OPEN_AT_MOST,
        )
        shared = exists().where(
            other.c.campaign_id == shadow.c.campaign_id,
            other.c.workspace_id != shadow.c.workspace_id,
            other.c.retiring_at.is_(None),
        )
        open_broadcast = exists().where(
            broadcast.c.workspace_id == shadow.c.workspace_id,
            broadcast.c.campaign_id == shadow.c.campaign_id,
            broadcast.c.status.not_in(ENDS),
            broadcast.c.changed_at > self._clock() - _OPEN_AT_MOST,
        )
        return open_send | open_broadcast | shared

    async def to_archive(self, workspace_id: str, limit: int) -> list[Retired]:
        """Retired campaigns that Iterable was not told of yet, oldest first."""
        rows = await self._connection.execute(
            select(retired.c.campaign_id, retired.c.fingerprint)
            .where(retired.c.workspace_id == workspace_id, retired.c.archived_at.is_(None))
            .order_by(retired.c.retired_at, retired.c.campaign_id)
            .limit(limit)
        )
        return [Retired(row.campaign_id, row.fingerprint) for row in rows]

    async def archived(self, workspace_id: str, campaign_ids: Sequence[int]) -> None:
        """Iterable has archived them."""
        await self._connection.execute(
            update(retired)
            .where(retired.c.workspace_id == workspace_id, retired.c.campaign_id.in_(campaign_ids))
            .values(archived_at=self._clock())
        )

    async def retired_of(self, fingerprint: str) -> set[int]:
        """Campaigns of a content that must not be used again, of whatever workspace: they may share a project."""
        return set(
            await self._connection.scalars(select(retired.c.campaign_id).where(retired.c.fingerprint == fingerprint))
        )

    async def count_retired(self, workspace_id: str) -> tuple[int, int]:
        """How many campaigns are archived, and how many wait for it."""
        row = (
            await self._connection.execute(
                select(func.count(retired.c.archived_at), func.count()).where(retired.c.workspace_id == workspace_id)
            )
        ).one()
        return row[0], row[1] - row[0]


def _of(workspace_id: str, fingerprint: str) -> dict[str, Any]:
    return {"of_workspace": workspace_id, "of_fingerprint": fingerprint}


def _known(row: Row[tuple[object, ...]]) -> KnownShadow:
    return KnownShadow(
        fingerprint=row.fingerprint,
        template_id=row.template_id,
        campaign_id=row.campaign_id,
        state="retiring" if row.retiring_at else "ready" if row.ready_at else "making",
        created_at=row.created_at,
        last_used_at=row.last_used_at,
    )
