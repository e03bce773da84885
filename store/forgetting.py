"""Forgetting a person: what the store keeps of somebody who asked to be forgotten."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import delete, or_, select, update

from store.repository import SealingRepository
from store.tables import event, held_row, preview, send

BODY = orjson.dumps({"forgotten": True})
"""What stands in place of an event's body."""


@dataclass(frozen=True)
class Forgotten:
    """How many of each were changed."""

    events: int
    waiting: int
    sends: int


class Forgetting(SealingRepository):
    """Queries that erase. The event's kind, time and campaign stay: they say nothing about a person any more."""

    async def all_hashes(self, workspace_id: str, hashes: Sequence[str]) -> set[str]:
        """These and all other hashes that events give to the same person: the user id beside an address, another
        address beside that user id, and so on."""
        known, new = set[str](), set(hashes)
        while new:
            known |= new
            new = await self._hashes_beside(workspace_id, sorted(new)) - known
        return known

    async def _hashes_beside(self, workspace_id: str, hashes: Sequence[str]) -> set[str]:
        rows = await self._connection.execute(
            select(event.c.recipient_hash, event.c.user_hash)
            .where(
                event.c.workspace_id == workspace_id,
                or_(event.c.recipient_hash.in_(hashes), event.c.user_hash.in_(hashes)),
            )
            .distinct()
        )
        return {one for row in rows for one in (row.recipient_hash, row.user_hash) if one is not None}

    async def forget(
        self, workspace_id: str, hashes: Sequence[str], pseudonym: Callable[[str], str]
    ) -> tuple[int, int]:
        """Erases bodies and hashes of a person: how many events and sends were theirs. `pseudonym` gives the stand-in
        for the recipient of a send: nothing else has it, so the ledger keeps its row and loses the person."""
        await self._connection.execute(
            delete(preview).where(preview.c.workspace_id == workspace_id, preview.c.recipient_hash.in_(hashes))
        )
        events = await self._forget_events(workspace_id, hashes)
        sends = list(
            await self._connection.scalars(
                select(send.c.send_id).where(send.c.workspace_id == workspace_id, send.c.recipient_hash.in_(hashes))
            )
        )
        for send_id in sends:
            await self._connection.execute(
                update(send)
                .where(send.c.workspace_id == workspace_id, send.c.send_id == send_id)
                .values(recipient_hash=pseudonym(send_id))
            )
        await self._connection.execute(
            update(held_row)
            .where(held_row.c.workspace_id == workspace_id, held_row.c.recipient_hash.in_(hashes))
            .values(row=None, recipient_hash=None)
        )
        return events, len(sends)

    async def _forget_events(self, workspace_id: str, hashes: Sequence[str]) -> int:
        mine = (event.c.workspace_id == workspace_id) & or_(
            event.c.recipient_hash.in_(hashes), event.c.user_hash.in_(hashes)
        )
        rows = (await self._connection.execute(select(event.c.id, event.c.event_id).where(mine))).all()
        for row in rows:
            changes: dict[str, Any] = {
                "recipient_hash": None,
                "user_hash": None,
                "url": None,
                "body": self._keyring.seal(BODY, f"event.body.{workspace_id}/{row.event_id}"),
            }
            await self._connection.execute(update(event).where(event.c.id == row.id).values(changes))
        return len(rows)
