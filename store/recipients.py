"""What became of a broadcast's recipients, row by row, as GenieOS reads it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from contracts.broadcast import RecipientEntry
from contracts.send import SendStatus
from store.held import State
from store.repository import Repository
from store.tables import held_row, send

_NO_SEND: tuple[State, ...] = ("bad", "duplicate", "used")
"""States of rows that never became a send of this broadcast."""
_OPEN: tuple[State, ...] = ("unknown", "waiting")
"""States of rows whose send has no status yet."""
STATUSES = (*(status.value for status in SendStatus), *_NO_SEND, *_OPEN)


class Recipients(Repository):
    """Queries over sends and held rows of one broadcast."""

    async def page(
        self, workspace_id: str, broadcast_id: str, after: int, limit: int, status: str | None = None
    ) -> list[RecipientEntry]:
        """Rows behind a row, in the audience's order. Filtering by a status of sends looks at every row."""
        found: list[RecipientEntry] = []
        if status is None or status not in (*_NO_SEND, *_OPEN):
            found += await self._sends(workspace_id, broadcast_id, after, limit, status)
        if status is None or status in (*_NO_SEND, *_OPEN):
            states = _NO_SEND if status is None else (status,)
            found += await self._held(workspace_id, broadcast_id, after, limit, states)
        return sorted(found, key=lambda one: one.row)[:limit]

    async def _sends(
        self, workspace_id: str, broadcast_id: str, after: int, limit: int, status: str | None
    ) -> list[RecipientEntry]:
        query = self._mine(workspace_id, broadcast_id, after, limit)
        if status == SendStatus.SENDING:
            query = query.where(send.c.status.is_(None))
        elif status is not None:
            query = query.where(send.c.status == status)
        rows = (await self._connection.execute(query)).all()
        unsettled = [row.audience_row for row in rows if row.status is None]
        states = await self._states(workspace_id, broadcast_id, unsettled)
        return [
            RecipientEntry(
                row=row.audience_row,
                send_id=row.send_id,
                recipient_hash=row.recipient_hash,
                status=row.status or states.get(row.audience_row, SendStatus.SENDING.value),
                reason=row.reason,
                message_id=row.message_id,
                accepted_at=row.accepted_at,
            )
            for row in rows
        ]

    def _mine(self, workspace_id: str, broadcast_id: str, after: int, limit: int) -> Any:
        return (
            select(
                send.c.audience_row,
                send.c.send_id,
                send.c.recipient_hash,
                send.c.status,
                send.c.reason,
                send.c.message_id,
                send.c.accepted_at,
            )
            .where(
                send.c.workspace_id == workspace_id,
                send.c.broadcast_id == broadcast_id,
                send.c.audience_row > after,
            )
            .order_by(send.c.audience_row)
            .limit(limit)
        )

    async def _states(self, workspace_id: str, broadcast_id: str, numbers: Sequence[int]) -> dict[int, str]:
        if not numbers:
            return {}
        rows = await self._connection.execute(
            select(held_row.c.audience_row, held_row.c.state).where(
                held_row.c.workspace_id == workspace_id,
                held_row.c.broadcast_id == broadcast_id,
                held_row.c.audience_row.between(min(numbers), max(numbers)),
                held_row.c.state.in_(_OPEN),
            )
        )
        return {row.audience_row: row.state for row in rows}

    async def _held(
        self, workspace_id: str, broadcast_id: str, after: int, limit: int, states: Sequence[str]
    ) -> list[RecipientEntry]:
        rows = await self._connection.execute(
            select(
                held_row.c.audience_row,
                held_row.c.send_id,
                held_row.c.recipient_hash,
                held_row.c.state,
                held_row.c.reason,
            )
            .where(
                held_row.c.workspace_id == workspace_id,
                held_row.c.broadcast_id == broadcast_id,
                held_row.c.audience_row > after,
                held_row.c.state.in_(states),
            )
            .order_by(held_row.c.audience_row)
            .limit(limit)
        )
        return [
            RecipientEntry(
                row=row.audience_row,
                send_id=row.send_id,
                recipient_hash=row.recipient_hash,
                status=row.state,
                reason=row.reason,
                message_id=None,
                accepted_at=None,
            )
            for row in rows
        ]
