"""Rows of an audience that were not simply sent or suppressed: bad ones, failed ones, and those whose end is open."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, bindparam, func, select, update

from contracts.broadcast import AudienceRow
from store.repository import IN_BATCH, SealingRepository
from store.tables import held_row, microseconds

State = Literal["bad", "duplicate", "used", "unknown", "waiting", "failed", "settled"]
"""`unknown`: an answer was lost. `waiting`: to be targeted (again) once due. `failed`: at rest until somebody asks for
another try. `settled`: over, its send says how. The first three are rows that never became a send."""
OPEN: tuple[State, ...] = ("unknown", "waiting")


@dataclass(frozen=True, slots=True)
class Held:
    """A row that is held. `row` is None where nothing needs it any more. `repeats` is how often its recipient was
    targeted again although an earlier attempt's outcome stayed unknown, and `excused` how many of its attempts are not
    held against another one for that. `answered_since` is from when on Iterable has answered every look for
    evidence."""

    audience_row: int
    send_id: str | None
    recipient_hash: str | None
    state: State
    counted_as: str
    reason: str | None
    row: AudienceRow | None
    due_at: datetime
    held_at: datetime
    repeats: int = 0
    excused: int = 0
    answered_since: datetime | None = None
    has_profile: bool = False


class HeldRows(SealingRepository):
    """Queries over held rows of one broadcast."""

    async def add(self, workspace_id: str, broadcast_id: str, rows: Iterable[Held]) -> None:
        """Holds rows; one that is held already stays as it is."""
        values = [
            {
                "workspace_id": workspace_id,
                "broadcast_id": broadcast_id,
                "audience_row": one.audience_row,
                "send_id": one.send_id,
                "recipient_hash": one.recipient_hash,
                "state": one.state,
                "counted_as": one.counted_as,
                "reason": one.reason,
                "row": self._seal(workspace_id, broadcast_id, one),
                "due_at": microseconds(one.due_at),
                "held_at": microseconds(one.held_at),
                "repeats": one.repeats,
                "excused": one.excused,
                "answered_since": one.answered_since and microseconds(one.answered_since),
                "has_profile": one.has_profile,
            }
            for one in rows
        ]
        if values:
            statement = self._upsert(held_row).values({name: bindparam(name) for name in values[0]})
            await self._run_rows(statement.on_conflict_do_nothing(), values)

    async def change(self, workspace_id: str, broadcast_id: str, rows: Iterable[Held]) -> None:
        """Moves rows on: state, reason, when they are due. What is settled loses its recipient and data."""
        values = [
            {
                "ws": workspace_id,
                "bc": broadcast_id,
                "no": one.audience_row,
                "now_state": one.state,
                "why": one.reason,
                "due": microseconds(one.due_at),
                "since": microseconds(one.held_at),
                "again": one.repeats,
                "not_held_against": one.excused,
                "answered": one.answered_since and microseconds(one.answered_since),
                "profile": one.has_profile,
            }
            for one in rows
        ]
        if not values:
            return
        await self._run_rows(
            update(held_row)
            .where(
                held_row.c.workspace_id == bindparam("ws"),
                held_row.c.broadcast_id == bindparam("bc"),
                held_row.c.audience_row == bindparam("no"),
            )
            .values(
                state=bindparam("now_state"),
                reason=bindparam("why"),
                due_at=bindparam("due"),
                held_at=bindparam("since"),
                repeats=bindparam("again"),
                excused=bindparam("not_held_against"),
                answered_since=bindparam("answered"),
                has_profile=bindparam("profile"),
            ),
            values,
        )
        settled = [value["no"] for value in values if value["now_state"] == "settled"]
        for start in range(0, len(settled), IN_BATCH):
            await self._connection.execute(
                update(held_row)
                .where(
                    _of(workspace_id, broadcast_id),
                    held_row.c.audience_row.in_(settled[start : start + IN_BATCH]),
                )
                .values(row=None)
            )

    async def among(self, workspace_id: str, broadcast_id: str, numbers: Sequence[int]) -> dict[int, str]:
        """How rows were counted, of those that are or were held."""
        found: dict[int, str] = {}
        for start in range(0, len(numbers), IN_BATCH):
            rows = await self._connection.execute(
                select(held_row.c.audience_row, held_row.c.counted_as).where(
                    _of(workspace_id, broadcast_id),
                    held_row.c.audience_row.in_(numbers[start : start + IN_BATCH]),
                )
            )
            found |= {row.audience_row: row.counted_as for row in rows}
        return found

    async def due(self, workspace_id: str, broadcast_id: str, states: Sequence[State], limit: int) -> list[Held]:
        """Rows that are due, the longest due first."""
        rows = await self._connection.execute(
            select(held_row)
            .where(
                _of(workspace_id, broadcast_id),
                held_row.c.state.in_(states),
                held_row.c.due_at <= self._clock(),
            )
            .order_by(held_row.c.due_at, held_row.c.audience_row)
            .limit(limit)
        )
        return [self._held(workspace_id, broadcast_id, row) for row in rows]

    async def in_state(
        self, workspace_id: str, broadcast_id: str, states: Sequence[State], after: int, limit: int
    ) -> list[Held]:
        """Rows in a state, in the audience's order, from after a row on. They stay locked until the transaction ends:
        who moves them at the same time does not count them twice."""
        rows = await self._connection.execute(
            select(held_row)
            .where(_of(workspace_id, broadcast_id), held_row.c.state.in_(states), held_row.c.audience_row > after)
            .order_by(held_row.c.audience_row)
            .limit(limit)
            .with_for_update()
        )
        return [self._held(workspace_id, broadcast_id, row) for row in rows]

    async def counts(self, workspace_id: str, broadcast_id: str) -> dict[str, tuple[int, datetime | None]]:
        """By open state: how many rows, and when the first of them is due."""
        rows = await self._connection.execute(
            select(held_row.c.state, func.count().label("rows"), func.min(held_row.c.due_at).label("first"))
            .where(_of(workspace_id, broadcast_id), held_row.c.state.in_(OPEN))
            .group_by(held_row.c.state)
        )
        return {row.state: (row.rows, row.first) for row in rows}

    def _seal(self, workspace_id: str, broadcast_id: str, one: Held) -> bytes | None:
        if one.row is None:
            return None
        place = _place(workspace_id, broadcast_id, one.audience_row)
        return self._keyring.seal(one.row.model_dump_json().encode(), place)

    def _held(self, workspace_id: str, broadcast_id: str, row: Row[Any]) -> Held:
        place = _place(workspace_id, broadcast_id, row.audience_row)
        opened = None if row.row is None else AudienceRow.model_validate_json(self._keyring.open(row.row, place))
        return Held(
            audience_row=row.audience_row,
            send_id=row.send_id,
            recipient_hash=row.recipient_hash,
            state=row.state,
            counted_as=row.counted_as,
            reason=row.reason,
            row=opened,
            due_at=row.due_at,
            held_at=row.held_at,
            repeats=row.repeats,
            excused=row.excused,
            answered_since=row.answered_since,
            has_profile=row.has_profile,
        )


def _of(workspace_id: str, broadcast_id: str) -> ColumnElement[bool]:
    return (held_row.c.workspace_id == workspace_id) & (held_row.c.broadcast_id == broadcast_id)


def _place(workspace_id: str, broadcast_id: str, number: int) -> str:
    return f"held_row.row.{workspace_id}/{broadcast_id}/{number}"
