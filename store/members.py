"""A broadcast's sends in the ledger, many at a time. What one send's row means is told in `store/sends.py`."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, func, insert, literal_column, select, update

from contracts.errors import ErrorCode
from contracts.send import SendStatus
from contracts.shadow import Shadow
from store.repository import IN_BATCH, Repository
from store.sends import ATTEMPT, MAY_HAVE_REACHED, UNKNOWN, Attempt
from store.tables import attempt, microseconds, send

# Written out, because `_run_rows` knows no parameters but those of its rows.
_UNKNOWN: ColumnElement[str] = literal_column(f"'{UNKNOWN}'")
_ACCEPTED: ColumnElement[str] = literal_column(f"'{SendStatus.ACCEPTED.value}'")


@dataclass(frozen=True, slots=True)
class Member:
    """A recipient of a broadcast as it enters the ledger; `status` is set where it ends there (suppressed)."""

    send_id: str
    recipient_hash: str
    audience_row: int
    status: SendStatus | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What the members of one broadcast share."""

    workspace_id: str
    broadcast_id: str
    run_id: str
    stream: str
    fingerprint: str
    template_ref: str
    shadow: Shadow


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A row of the ledger under a send id that a broadcast asked for; it may be another one's."""

    send_id: str
    broadcast_id: str | None
    audience_row: int | None
    recipient_hash: str
    campaign_id: int | None
    status: SendStatus | None
    reason: str | None
    accepted_at: datetime | None


class Members(Repository):
    """Bulk queries over sends and attempts; each is a few statements, whatever the number of rows."""

    async def claim(self, batch: Batch, members: Sequence[Member]) -> int:
        """Takes the send ids that are free, for people who are not in the broadcast yet; how many. Nobody follows these
        sends in a run of their own, so the inbox is told at once that there is none."""
        now = microseconds(self._clock())
        shared = {
            "workspace_id": batch.workspace_id,
            "broadcast_id": batch.broadcast_id,
            "run_id": batch.run_id,
            "stream": batch.stream,
            "fingerprint": batch.fingerprint,
            "template_ref": batch.template_ref,
            "template_id": batch.shadow.template_id,
            "campaign_id": batch.shadow.campaign_id,
            "run_ended_at": now,
            "created_at": now,
            "changed_at": now,
        }
        rows = [
            {
                **shared,
                "send_id": one.send_id,
                "recipient_hash": one.recipient_hash,
                "audience_row": one.audience_row,
                "status": one.status,
                "reason": one.reason,
            }
            for one in members
        ]
        if not rows:
            return 0
        statement = self._upsert(send).values({name: bindparam(name) for name in rows[0]}).on_conflict_do_nothing()
        return await self._run_rows(statement, rows)

    async def by_ids(self, workspace_id: str, send_ids: Sequence[str]) -> dict[str, MemberRow]:
        """Rows of the ledger by send id; free ids are absent."""
        columns = [send.c[name] for name in MemberRow.__dataclass_fields__]
        found: dict[str, MemberRow] = {}
        for start in range(0, len(send_ids), IN_BATCH):
            rows = await self._connection.execute(
                select(*columns).where(
                    send.c.workspace_id == workspace_id, send.c.send_id.in_(send_ids[start : start + IN_BATCH])
                )
            )
            for row in rows:
                found[row.send_id] = MemberRow(
                    send_id=row.send_id,
                    broadcast_id=row.broadcast_id,
                    audience_row=row.audience_row,
                    recipient_hash=row.recipient_hash,
                    campaign_id=row.campaign_id,
                    status=None if row.status is None else SendStatus(row.status),
                    reason=row.reason,
                    accepted_at=row.accepted_at,
                )
        return found

    async def attempts(self, workspace_id: str, send_ids: Sequence[str]) -> dict[str, list[Attempt]]:
        """Attempts by send, oldest first."""
        found: dict[str, list[Attempt]] = defaultdict(list)
        for start in range(0, len(send_ids), IN_BATCH):
            rows = await self._connection.execute(
                select(attempt.c.send_id, *ATTEMPT)
                .where(
                    attempt.c.workspace_id == workspace_id,
                    attempt.c.send_id.in_(send_ids[start : start + IN_BATCH]),
                )
                .order_by(attempt.c.number)
            )
            for send_id, *about in rows:
                found[send_id].append(Attempt(*about))
        return found

    async def begin_attempts(self, workspace_id: str, attempts: Iterable[tuple[str, int]], moved_to: Shadow) -> None:
        """Before the requests leave: (send id, number of the attempt). They may go to another campaign than the
        one that the send was claimed for. A number that was begun by somebody else makes all of them fail."""
        now = microseconds(self._clock())
        rows = [
            {
                "workspace_id": workspace_id,
                "send_id": send_id,
                "number": number,
                "campaign_id": moved_to.campaign_id,
                "started_at": now,
            }
            for send_id, number in attempts
        ]
        if not rows:
            return
        await self._run_rows(insert(attempt).values({name: bindparam(name) for name in rows[0]}), rows)
        send_ids = [row["send_id"] for row in rows]
        for start in range(0, len(send_ids), IN_BATCH):
            await self._connection.execute(
                update(send)
                .where(
                    send.c.workspace_id == workspace_id,
                    send.c.send_id.in_(send_ids[start : start + IN_BATCH]),
                    send.c.campaign_id.is_distinct_from(moved_to.campaign_id),
                )
                .values(template_id=moved_to.template_id, campaign_id=moved_to.campaign_id)
            )

    async def end_attempts(self, workspace_id: str, ends: Iterable[tuple[str, int, str]]) -> None:
        """Once the outcomes are known: (send id, number, end)."""
        now = microseconds(self._clock())
        rows = [{"ws": workspace_id, "id": id_, "no": no, "the_end": end, "now": now} for id_, no, end in ends]
        if rows:
            await self._run_rows(
                update(attempt)
                .where(
                    attempt.c.workspace_id == bindparam("ws"),
                    attempt.c.send_id == bindparam("id"),
                    attempt.c.number == bindparam("no"),
                )
                .values(end=bindparam("the_end"), ended_at=bindparam("now")),
                rows,
            )

    async def settle_attempts(self, workspace_id: str, proven: Iterable[tuple[str, str]]) -> None:
        """Gives every attempt without a known end the end that evidence has proven: (send id, end)."""
        now = microseconds(self._clock())
        rows = [{"ws": workspace_id, "id": id_, "the_end": end, "now": now} for id_, end in proven]
        if rows:
            await self._run_rows(
                update(attempt)
                .where(
                    attempt.c.workspace_id == bindparam("ws"),
                    attempt.c.send_id == bindparam("id"),
                    attempt.c.end.is_(None) | (attempt.c.end == _UNKNOWN),
                )
                .values(end=bindparam("the_end"), ended_at=bindparam("now")),
                rows,
            )

    async def accept(self, workspace_id: str, accepted: Iterable[tuple[str, datetime]]) -> None:
        """Iterable has these messages: (send id, since when). An event may have been faster: then only the moment is
        added."""
        rows = [{"ws": workspace_id, "id": id_, "at": microseconds(at)} for id_, at in accepted]
        if rows:
            await self._run_rows(
                update(send)
                .where(
                    send.c.workspace_id == bindparam("ws"),
                    send.c.send_id == bindparam("id"),
                    send.c.accepted_at.is_(None),
                )
                .values(
                    accepted_at=bindparam("at"),
                    changed_at=bindparam("at"),
                    status=func.coalesce(send.c.status, _ACCEPTED),
                ),
                rows,
            )

    async def close(self, workspace_id: str, ends: Iterable[tuple[str, SendStatus, str]]) -> None:
        """Records ends that no event tells of: (send id, status, reason). What an event has told stands."""
        now = microseconds(self._clock())
        rows = [
            {"ws": workspace_id, "id": id_, "now_status": status.value, "why": why, "now": now}
            for id_, status, why in ends
        ]
        if rows:
            its = (send.c.workspace_id == bindparam("ws")) & (send.c.send_id == bindparam("id"))
            end: dict[str, Any] = {"ended_status": bindparam("now_status"), "ended_reason": bindparam("why")}
            await self._run_rows(update(send).where(its).values(end), rows)
            await self._run_rows(
                update(send)
                .where(its, send.c.status.is_(None) | (send.c.status == _ACCEPTED))
                .values(status=bindparam("now_status"), reason=bindparam("why"), changed_at=bindparam("now")),
                rows,
            )

    async def reopen(self, workspace_id: str, send_ids: Sequence[str]) -> None:
        """Takes back ends of sends that failed, so that they may be tried again."""
        for start in range(0, len(send_ids), IN_BATCH):
            await self._connection.execute(
                update(send)
                .where(
                    send.c.workspace_id == workspace_id,
                    send.c.send_id.in_(send_ids[start : start + IN_BATCH]),
                    send.c.status == SendStatus.FAILED.value,
                )
                .values(status=None, reason=None, ended_status=None, ended_reason=None, changed_at=self._clock())
            )

    async def close_lost(self, workspace_id: str, broadcast_id: str) -> int:
        """Ends, as `outcome_unknown`, what may have reached Iterable and nobody has accounted for; how many. Call once
        nothing of the broadcast is under way."""
        return await self._close_claimed(
            workspace_id, broadcast_id, SendStatus.FAILED, ErrorCode.OUTCOME_UNKNOWN, tried=True
        )

    async def close_open(self, workspace_id: str, broadcast_id: str, reason: str) -> int:
        """Ends what was claimed and never targeted; how many. Call once nothing of the broadcast is under way."""
        return await self._close_claimed(workspace_id, broadcast_id, SendStatus.CANCELLED, reason, tried=False)

    async def _close_claimed(
        self, workspace_id: str, broadcast_id: str, status: SendStatus, reason: str, *, tried: bool
    ) -> int:
        was_tried = (
            select(attempt.c.send_id)
            .where(
                attempt.c.workspace_id == workspace_id,
                attempt.c.send_id == send.c.send_id,
                MAY_HAVE_REACHED,
            )
            .exists()
        )
        theirs = (send.c.workspace_id == workspace_id) & (send.c.broadcast_id == broadcast_id)
        theirs &= was_tried if tried else ~was_tried
        await self._connection.execute(
            update(send)
            .where(theirs, send.c.accepted_at.is_(None), send.c.ended_status.is_(None))
            .values(ended_status=status.value, ended_reason=reason)
        )
        done = await self._connection.execute(
            update(send)
            .where(theirs, send.c.status.is_(None))
            .values(status=status.value, reason=reason, changed_at=self._clock())
        )
        return done.rowcount
