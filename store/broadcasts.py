"""Broadcasts: what was asked for, what is wanted now, and how far its lanes have come."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, case, func, select, update

from contracts.broadcast import BroadcastProgress, BroadcastRequest, BroadcastStatus, Tally
from contracts.broadcasting import Wanted
from store.repository import SealingRepository
from store.tables import broadcast, lane

LaneName = Literal["audience", "held"]
ENDS = (BroadcastStatus.COMPLETED, BroadcastStatus.CANCELLED, BroadcastStatus.EXPIRED, BroadcastStatus.FAILED)


@dataclass(frozen=True)
class BroadcastRow:
    """A broadcast. `request` has neither its template nor recipients that stood in it."""

    run_id: str
    request: BroadcastRequest
    wanted: Wanted
    rate: float | None
    status: BroadcastStatus
    reason: str | None
    campaign_id: int | None
    template_ref: str | None
    created_at: datetime
    ended_at: datetime | None
    ended_as: BroadcastStatus | None
    ended_because: str | None

    @property
    def end(self) -> tuple[BroadcastStatus, str | None] | None:
        """How it ended and why, though it may be gone over again; None for one that never has."""
        if self.ended_as is not None:
            return self.ended_as, self.ended_because
        return (self.status, self.reason) if self.status in ENDS else None

    def progress(self, lanes: Iterable["LaneRow"]) -> BroadcastProgress:
        """The broadcast as GenieOS reads it."""
        return BroadcastProgress(
            status=self.status,
            reason=self.reason,
            tally=total(lanes),
            campaign_id=self.campaign_id,
            template_ref=self.template_ref,
        )


@dataclass(frozen=True)
class LaneRow:
    """How far a lane has come, as of its last transaction."""

    position: str | None
    tally: Tally


def total(lanes: Iterable[LaneRow]) -> Tally:
    """What all lanes have counted."""
    found = Tally()
    for one in lanes:
        found = found.plus(one.tally)
    return found


@dataclass(frozen=True)
class Orders:
    """What is wanted now. `mine` is false for who is not the lane's holder any more."""

    wanted: Wanted
    rate: float | None
    mine: bool


class Broadcasts(SealingRepository):
    """Queries over broadcasts and their lanes."""

    async def open(self, request: BroadcastRequest, run_id: str, recipients: bytes | None) -> None:
        """Keeps a broadcast, unless its id is used. `recipients` are those that stood in the request, as JSON Lines."""
        now = self._clock()
        place = _place(request.workspace_id, request.broadcast_id)
        await self._add(
            broadcast,
            workspace_id=request.workspace_id,
            broadcast_id=request.broadcast_id,
            run_id=run_id,
            request=self._keyring.seal(request.model_dump_json().encode(), f"broadcast.request.{place}"),
            recipients=None if recipients is None else self._keyring.seal(recipients, f"broadcast.rows.{place}"),
            wanted="go",
            rate=request.rate,
            status=BroadcastStatus.PREPARING.value,
            template_ref=request.template_ref,
            created_at=now,
            changed_at=now,
        )

    async def get(self, workspace_id: str, broadcast_id: str) -> BroadcastRow | None:
        """One broadcast."""
        row = (await self._connection.execute(select(broadcast).where(_is(workspace_id, broadcast_id)))).one_or_none()
        if row is None:
            return None
        sealed = self._keyring.open(row.request, f"broadcast.request.{_place(workspace_id, broadcast_id)}")
        return BroadcastRow(
            run_id=row.run_id,
            request=BroadcastRequest.model_validate_json(sealed),
            wanted=row.wanted,
            rate=row.rate,
            status=BroadcastStatus(row.status),
            reason=row.reason,
            campaign_id=row.campaign_id,
            template_ref=row.template_ref,
            created_at=row.created_at,
            ended_at=row.ended_at,
            ended_as=None if row.ended_as is None else BroadcastStatus(row.ended_as),
            ended_because=row.ended_because,
        )

    async def recipients(self, workspace_id: str, broadcast_id: str) -> bytes | None:
        """The recipients that stood in the request, until the broadcast has ended."""
        sealed = await self._connection.scalar(select(broadcast.c.recipients).where(_is(workspace_id, broadcast_id)))
        if sealed is None:
            return None
        return self._keyring.open(sealed, f"broadcast.rows.{_place(workspace_id, broadcast_id)}")

    async def take_over(self, workspace_id: str, broadcast_id: str, run_id: str) -> None:
        """Gives a broadcast whose run is gone to another run. What was wanted still is."""
        await self._connection.execute(
            update(broadcast)
            .where(_is(workspace_id, broadcast_id))
            .values(run_id=run_id, ended_at=None, changed_at=self._clock())
        )

    async def reopen(self, workspace_id: str, broadcast_id: str) -> None:
        """One that has ended is gone over again: whoever was reached no more by then may be. How it ended is kept, lest
        another run, where this one is lost, take it for one whose audience is to be read on."""
        ended_before = broadcast.c.ended_as.is_not(None)
        await self._connection.execute(
            update(broadcast)
            .where(_is(workspace_id, broadcast_id))
            .values(
                wanted="go",
                ended_as=func.coalesce(broadcast.c.ended_as, broadcast.c.status),
                ended_because=case((ended_before, broadcast.c.ended_because), else_=broadcast.c.reason),
            )
        )

    async def move_audience(self, request: BroadcastRequest) -> None:
        """Keeps a request whose audience is the same file under another URI."""
        place = _place(request.workspace_id, request.broadcast_id)
        sealed = self._keyring.seal(request.model_dump_json().encode(), f"broadcast.request.{place}")
        await self._connection.execute(
            update(broadcast)
            .where(_is(request.workspace_id, request.broadcast_id))
            .values(request=sealed, changed_at=self._clock())
        )

    async def want(self, workspace_id: str, broadcast_id: str, wanted: Wanted) -> None:
        """From the commit on no attempt begins that this forbids: every attempt looks here within its transaction. A
        cancelled broadcast stays cancelled."""
        await self._connection.execute(
            update(broadcast)
            .where(_is(workspace_id, broadcast_id), broadcast.c.wanted != "cancel")
            .values(wanted=wanted, changed_at=self._clock())
        )

    async def set_rate(self, workspace_id: str, broadcast_id: str, rate: float | None) -> None:
        """From the next turn on."""
        await self._connection.execute(
            update(broadcast).where(_is(workspace_id, broadcast_id)).values(rate=rate, changed_at=self._clock())
        )

    async def show(
        self,
        workspace_id: str,
        broadcast_id: str,
        status: BroadcastStatus,
        reason: str | None,
        *,
        campaign_id: int | None = None,
        template_ref: str | None = None,
    ) -> None:
        """How it stands. An end drops the recipients that stood in the request, and stands until it is taken over."""
        values: dict[str, object] = {"status": status.value, "reason": reason, "changed_at": self._clock()}
        if campaign_id is not None:
            values["campaign_id"] = campaign_id
        if template_ref is not None:
            values["template_ref"] = template_ref
        where = _is(workspace_id, broadcast_id)
        if status in ENDS:
            values |= {"ended_at": self._clock(), "recipients": None, "ended_as": None, "ended_because": None}
        else:
            where &= broadcast.c.ended_at.is_(None)
        await self._connection.execute(update(broadcast).where(where).values(values))

    # ── lanes ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def hold(self, workspace_id: str, broadcast_id: str, name: LaneName, holder: str) -> LaneRow:
        """Takes a lane over from whoever had it, who finds out at its next transaction. Where it stands."""
        await self._connection.execute(
            self._upsert(lane)
            .values(
                workspace_id=workspace_id,
                broadcast_id=broadcast_id,
                name=name,
                holder=holder,
                tally=Tally().model_dump_json(),
            )
            .on_conflict_do_update(
                index_elements=[lane.c.workspace_id, lane.c.broadcast_id, lane.c.name], set_={"holder": holder}
            )
        )
        return (await self.lanes(workspace_id, broadcast_id))[name]

    async def lanes(self, workspace_id: str, broadcast_id: str) -> dict[str, LaneRow]:
        """How far the lanes have come, by name."""
        rows = await self._connection.execute(
            select(lane.c.name, lane.c.position, lane.c.tally).where(
                lane.c.workspace_id == workspace_id, lane.c.broadcast_id == broadcast_id
            )
        )
        return {row.name: LaneRow(row.position, Tally.model_validate_json(row.tally)) for row in rows}

    async def orders(self, workspace_id: str, broadcast_id: str, name: LaneName, holder: str) -> Orders:
        """What is wanted now. The rows stay locked until the transaction ends: a wish that comes meanwhile waits for
        what this transaction begins, and is seen by the next one."""
        row = (
            await self._connection.execute(
                select(broadcast.c.wanted, broadcast.c.rate, lane.c.holder)
                .select_from(broadcast.join(lane))
                .where(_is(workspace_id, broadcast_id), lane.c.name == name)
                .with_for_update(read=True)
            )
        ).one()
        return Orders(row.wanted, row.rate, row.holder == holder)

    async def advance(
        self, workspace_id: str, broadcast_id: str, name: LaneName, position: str | None, tally: Tally
    ) -> None:
        """In the transaction that writes what happened, so that neither is ahead of the other."""
        await self._connection.execute(
            update(lane)
            .where(lane.c.workspace_id == workspace_id, lane.c.broadcast_id == broadcast_id, lane.c.name == name)
            .values(position=position, tally=tally.model_dump_json())
        )


def _is(workspace_id: str, broadcast_id: str) -> ColumnElement[bool]:
    return (broadcast.c.workspace_id == workspace_id) & (broadcast.c.broadcast_id == broadcast_id)


def _place(workspace_id: str, broadcast_id: str) -> str:
    return f"{workspace_id}/{broadcast_id}"
