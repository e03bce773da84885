"""The ledger: one row a send, for ever, and one row for every attempt to target its recipient."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import Row, bindparam, case, func, insert, select, update

from contracts.event import Event, in_order
from contracts.send import SendResult, SendStatus
from contracts.shadow import Shadow
from contracts.warning import SendWarning
from store.repository import Repository, by_campaign
from store.tables import attempt, microseconds, send

_WARNINGS = TypeAdapter(list[SendWarning])


_CLOSED = (SendStatus.FAILED.value, SendStatus.CANCELLED.value, SendStatus.SUPPRESSED.value)
"""Ends that say that nothing of ours is to go out any more."""


class SendIsOver(Exception):
    """A send was closed while somebody was about to target its recipient."""


@dataclass(frozen=True)
class SendRow:
    """A send as the ledger has it. `status` is None from the claim until Iterable took the message or it ended."""

    send_id: str
    run_id: str
    stream: str
    fingerprint: str
    template_ref: str
    recipient_hash: str
    template_id: int | None
    campaign_id: int | None
    message_id: str | None
    status: SendStatus | None
    reason: str | None
    accepted_at: datetime | None
    created_at: datetime
    warnings: list[SendWarning]

    def result(self, events: list[Event]) -> SendResult:
        """The send as GenieOS reads it."""
        return SendResult(
            status=self.status or SendStatus.SENDING,
            reason=self.reason,
            fingerprint=self.fingerprint,
            template_ref=self.template_ref,
            template_id=self.template_id,
            campaign_id=self.campaign_id,
            message_id=self.message_id,
            accepted_at=self.accepted_at,
            events=in_order(events),
            warnings=self.warnings,
        )


@dataclass(frozen=True)
class Claim:
    """What a claim needs to know of a send."""

    workspace_id: str
    send_id: str
    run_id: str
    stream: str
    fingerprint: str
    template_ref: str
    recipient_hash: str


class Standing(NamedTuple):
    """What a send's events say of it. `message_id` is that of the first of them: a repeated send has several."""

    send_id: str
    status: SendStatus
    reason: str | None
    message_id: str | None


class Known(NamedTuple):
    """What joining needs of a send of ours. `standing` is None before there is one; `run_ended`: nobody is to be told
    of its events."""

    campaign_id: int | None
    recipient_hash: str
    standing: Standing | None
    run_ended: bool

    @property
    def pair(self) -> tuple[int, str] | None:
        """(campaign, person), where it has a campaign."""
        return None if self.campaign_id is None else (self.campaign_id, self.recipient_hash)


@dataclass(frozen=True)
class Candidate:
    """A send that may have caused messages: as many as it had attempts that may have been taken, from `began_at` on."""

    send_id: str
    campaign_id: int
    recipient_hash: str
    began_at: datetime
    attempts: int


SendKey = tuple[str, str]
"""A send among those of all workspaces: (workspace id, send id)."""

TAKEN, NOT_TAKEN, UNKNOWN = "taken", "not_taken", "unknown"
"""Ends of an attempt. `unknown` is one whose answer was lost; an attempt without an end counts alike."""


@dataclass(frozen=True)
class Attempt:
    """One request to Iterable. `end` is None while it is under way, and where its worker died."""

    number: int
    campaign_id: int | None
    started_at: datetime
    ended_at: datetime | None
    end: str | None

    @property
    def may_have_reached(self) -> bool:
        """Whether Iterable has, or may have, the message: only a certain `not_taken` rules it out."""
        return self.end != NOT_TAKEN


ATTEMPT = [attempt.c[name] for name in Attempt.__dataclass_fields__]
MAY_HAVE_REACHED = attempt.c.end.is_(None) | (attempt.c.end != NOT_TAKEN)
"""`Attempt.may_have_reached` as a query says it."""

# What every send asks is put together once: SQLAlchemy takes as long over that as over asking.
_IS = (send.c.workspace_id == bindparam("of_workspace")) & (send.c.send_id == bindparam("of_send"))
_ITS = (attempt.c.workspace_id == bindparam("of_workspace")) & (attempt.c.send_id == bindparam("of_send"))
_GET = select(send).where(_IS)
_WITH_ATTEMPTS = (
    select(send, *(column.label(f"attempt_{column.name}") for column in ATTEMPT))
    .outerjoin(attempt, (attempt.c.workspace_id == send.c.workspace_id) & (attempt.c.send_id == send.c.send_id))
    .where(_IS)
    .order_by(attempt.c.number)
)
_ATTEMPTS = select(*ATTEMPT).where(_ITS).order_by(attempt.c.number)
_TARGET = (
    update(send)
    .where(_IS, send.c.status.is_(None) | send.c.status.not_in(_CLOSED))
    .values(template_id=bindparam("to_template"), campaign_id=bindparam("to_campaign"))
)
_NEW_ATTEMPT = insert(attempt)
_END_ATTEMPT = (
    update(attempt)
    .where(_ITS, attempt.c.number == bindparam("of_number"))
    .values(end=bindparam("to_end"), ended_at=bindparam("at"))
)
_ACCEPT = (
    update(send)
    .where(_IS, send.c.accepted_at.is_(None))
    .values(
        accepted_at=bindparam("at"),
        changed_at=bindparam("at"),
        status=func.coalesce(send.c.status, SendStatus.ACCEPTED.value),
    )
)


class Sends(Repository):
    """Queries over sends and their attempts."""

    async def claim(self, wanted: Claim) -> SendRow:
        """Takes the send id, unless it is taken. The row that holds it now: the caller's own where `run_id` is."""
        now = self._clock()
        mine = await self._add_or_none(send, **asdict(wanted), created_at=now, changed_at=now)
        if mine is not None:
            return _send(mine)
        row = await self.get(wanted.workspace_id, wanted.send_id)
        if row is None:
            raise RuntimeError("the row that holds the id is not there")
        return row

    async def take_over(self, workspace_id: str, send_id: str, run_id: str) -> None:
        """Gives a send whose run is gone to another run, which finds anew what is to be told of it."""
        await self._connection.execute(
            update(send).where(_IS).values(run_id=run_id, warnings=None, ended_status=None, ended_reason=None),
            _of(workspace_id, send_id),
        )

    async def warn(self, workspace_id: str, send_id: str, warnings: list[SendWarning]) -> None:
        """Remembers what was found before the send went out."""
        kept = _WARNINGS.dump_json(warnings).decode()
        await self._connection.execute(update(send).where(_IS).values(warnings=kept), _of(workspace_id, send_id))

    async def get(self, workspace_id: str, send_id: str) -> SendRow | None:
        """One send."""
        row = (await self._connection.execute(_GET, _of(workspace_id, send_id))).one_or_none()
        return None if row is None else _send(row)

    async def with_attempts(self, workspace_id: str, send_id: str) -> tuple[SendRow | None, list[Attempt]]:
        """One send and every attempt so far, oldest first, in one round trip."""
        rows = (await self._connection.execute(_WITH_ATTEMPTS, _of(workspace_id, send_id))).all()
        if not rows:
            return None, []
        return _send(rows[0]), [Attempt(*row[-len(ATTEMPT) :]) for row in rows if row.attempt_number is not None]

    async def by_ids(self, workspace_id: str, send_ids: Sequence[str]) -> dict[str, SendRow]:
        """Sends by id; unknown ids are absent."""
        return {row.send_id: row for row in await self._among(workspace_id, send.c.send_id, send_ids)}

    async def known(self, workspace_id: str, send_ids: Sequence[str], followed_since: datetime) -> dict[str, Known]:
        """Those of the ids that are sends of ours. One that Iterable took before `followed_since` has no run."""
        if not send_ids:
            return {}
        run_ended = send.c.run_ended_at.is_not(None) | (send.c.accepted_at < followed_since)
        standing = (send.c.send_id, send.c.status, send.c.reason, send.c.message_id)
        columns = (send.c.campaign_id, send.c.recipient_hash, run_ended, *standing)
        rows = await self._connection.execute(
            select(*columns).where(send.c.workspace_id == workspace_id, self._one_of(send.c.send_id, send_ids))
        )
        return {
            send_id: Known(
                campaign_id,
                recipient_hash,
                None if status is None else Standing(send_id, SendStatus(status), reason, message_id),
                bool(ended),
            )
            for campaign_id, recipient_hash, ended, send_id, status, reason, message_id in rows.all()
        }

    async def candidates(self, workspace_id: str, pairs: Sequence[tuple[int, str]]) -> list[Candidate]:
        """Sends of (campaign, recipient hash) that may have caused messages, with when and how many."""
        found: list[Candidate] = []
        theirs = (
            (attempt.c.workspace_id == send.c.workspace_id) & (attempt.c.send_id == send.c.send_id) & MAY_HAVE_REACHED
        )
        for campaign_id, people in by_campaign(pairs):
            rows = await self._connection.execute(
                select(
                    send.c.send_id,
                    send.c.campaign_id,
                    send.c.recipient_hash,
                    # Not a join: SQLite would begin it with the attempts, all of the workspace's.
                    select(func.min(attempt.c.started_at)).where(theirs).scalar_subquery().label("began_at"),
                    select(func.count()).select_from(attempt).where(theirs).scalar_subquery().label("attempts"),
                ).where(
                    send.c.workspace_id == workspace_id,
                    send.c.campaign_id == campaign_id,
                    self._one_of(send.c.recipient_hash, people),
                )
            )
            found.extend(
                Candidate(row.send_id, row.campaign_id, row.recipient_hash, row.began_at, row.attempts)
                for row in rows
                if row.attempts
            )
        return found

    async def set_standings(self, workspace_id: str, standings: Sequence[Standing]) -> None:
        """Records what events say of sends."""
        now = microseconds(self._clock())
        await self._update_rows(
            send,
            ("workspace_id", "send_id"),
            [
                {
                    "workspace_id": workspace_id,
                    "send_id": one.send_id,
                    "status": one.status.value,
                    "reason": one.reason,
                    "message_id": one.message_id,
                    "changed_at": now,
                }
                for one in standings
            ],
        )

    async def stand_alone(self, workspace_id: str, send_ids: Sequence[str]) -> None:
        """Of sends that have lost their only events to others: they stand as they did without any."""
        if not send_ids:
            return
        accepted = case((send.c.accepted_at.is_not(None), SendStatus.ACCEPTED.value))
        await self._connection.execute(
            update(send)
            .where(send.c.workspace_id == workspace_id, self._one_of(send.c.send_id, send_ids))
            .values(
                status=func.coalesce(send.c.ended_status, accepted),
                reason=send.c.ended_reason,
                message_id=None,
                changed_at=self._clock(),
            )
        )

    async def close(self, workspace_id: str, send_id: str, status: SendStatus, reason: str | None) -> None:
        """Records an end that no event tells of. What an event has told stands, as long as the event is the send's."""
        it = _of(workspace_id, send_id)
        await self._connection.execute(update(send).where(_IS).values(ended_status=status, ended_reason=reason), it)
        await self._connection.execute(
            update(send)
            .where(_IS, send.c.status.is_(None) | (send.c.status == SendStatus.ACCEPTED.value))
            .values(status=status, reason=reason, changed_at=self._clock()),
            it,
        )

    async def run_ended(self, workspace_id: str, send_ids: Sequence[str]) -> None:
        """Remembers that sends have no open run, so that nobody is told of their events any more."""
        await self._connection.execute(
            update(send)
            .where(send.c.workspace_id == workspace_id, self._one_of(send.c.send_id, send_ids))
            .values(run_ended_at=self._clock())
        )

    async def attempts(self, workspace_id: str, send_id: str) -> list[Attempt]:
        """Every attempt so far, oldest first."""
        rows = await self._connection.execute(_ATTEMPTS, _of(workspace_id, send_id))
        return [Attempt(*row) for row in rows]

    async def begin_attempt(self, workspace_id: str, send_id: str, number: int, target: Shadow) -> None:
        """Before the request leaves. Two workers that begin the same number collide here: one of them fails. Raises
        `SendIsOver` where the send was closed while this worker was held up: nobody would hear of the attempt."""
        to = {"to_template": target.template_id, "to_campaign": target.campaign_id}
        begun = await self._connection.execute(_TARGET, _of(workspace_id, send_id) | to)
        if not begun.rowcount:
            raise SendIsOver
        await self._connection.execute(
            _NEW_ATTEMPT,
            {
                "workspace_id": workspace_id,
                "send_id": send_id,
                "number": number,
                "campaign_id": target.campaign_id,
                "started_at": self._clock(),
            },
        )

    async def end_attempt(self, workspace_id: str, send_id: str, number: int, end: str) -> datetime:
        """Once the outcome is known."""
        now = self._clock()
        to = {"of_number": number, "to_end": end, "at": now}
        await self._connection.execute(_END_ATTEMPT, _of(workspace_id, send_id) | to)
        return now

    async def settle_attempts(self, workspace_id: str, send_id: str, end: str) -> None:
        """Gives every attempt without a known end the end that evidence has proven."""
        await self._connection.execute(
            update(attempt)
            .where(_ITS, attempt.c.end.is_(None) | (attempt.c.end == UNKNOWN))
            .values(end=end, ended_at=self._clock()),
            _of(workspace_id, send_id),
        )

    async def rivals(
        self, campaign_ids: Collection[int], hashes: Collection[str], since: datetime
    ) -> dict[SendKey, int]:
        """Sends that tried, since a moment, to reach a person through campaigns, with how many of their attempts there
        may have caused a message. Of every workspace: several may use one project of Iterable's, and so a campaign."""
        rows = await self._connection.execute(
            select(attempt.c.workspace_id, attempt.c.send_id, func.count())
            .join(send, (send.c.workspace_id == attempt.c.workspace_id) & (send.c.send_id == attempt.c.send_id))
            .where(send.c.recipient_hash.in_(hashes), attempt.c.campaign_id.in_(campaign_ids), MAY_HAVE_REACHED)
            .group_by(attempt.c.workspace_id, attempt.c.send_id)
            .having(func.max(attempt.c.started_at) >= since)
        )
        return {(workspace_id, send_id): attempts for workspace_id, send_id, attempts in rows}

    async def accept(self, workspace_id: str, send_id: str, accepted_at: datetime) -> None:
        """Iterable has taken the message. An event may have been faster: then only the moment is added."""
        await self._connection.execute(_ACCEPT, _of(workspace_id, send_id) | {"at": accepted_at})

    async def _among(self, workspace_id: str, column: Any, values: Sequence[str]) -> list[SendRow]:
        rows = await self._connection.execute(
            select(send).where(send.c.workspace_id == workspace_id, self._one_of(column, values))
        )
        return [_send(row) for row in rows]


def _of(workspace_id: str, send_id: str) -> dict[str, Any]:
    return {"of_workspace": workspace_id, "of_send": send_id}


def _send(row: Row[Any]) -> SendRow:
    return SendRow(
        send_id=row.send_id,
        run_id=row.run_id,
        stream=row.stream,
        fingerprint=row.fingerprint,
        template_ref=row.template_ref,
        recipient_hash=row.recipient_hash,
        template_id=row.template_id,
        campaign_id=row.campaign_id,
        message_id=row.message_id,
        status=None if row.status is None else SendStatus(row.status),
        reason=row.reason,
        accepted_at=row.accepted_at,
        created_at=row.created_at,
        warnings=[] if row.warnings is None else _WARNINGS.validate_json(row.warnings),
    )
