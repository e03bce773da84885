"""Suppressions: who must not be sent to, as all reports together say.

A report is one occurrence: something suppressed a person, or lifted a suppression. Reports come in any order and more
than once, so a row holds only what does not depend on the order: the first and the last moment of suppressing, the last
moment of lifting, and the words of the newest report. What holds is decided when it is read: the newest occurrence
wins, and within the same second (Iterable reports whole ones) the suppression does.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    Row,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    update,
)

from contracts.masking import without_addresses
from contracts.suppression import OURS, WORKSPACE, Cause
from store.person import Kind, Person
from store.repository import IN_BATCH, SealingRepository
from store.tables import microseconds, suppression, suppression_feed

PushState = Literal["pushing", "pushed", "not_pushed", "withdrawing", "withdrawn", "not_withdrawn"]
"""Where Iterable stands. `pushing` and `withdrawing` are written before the request leaves: its echo may be faster than
its answer, and a worker that dies in between leaves them to be done again."""

_S = suppression.c
_INSTANT = timedelta(microseconds=1)
_PREFIX: dict[Kind, bytes] = {"email": b"e:", "user_id": b"u:"}
_NONE: ColumnElement[str] = literal_column("''")
_TOLD: tuple[PushState, ...] = ("pushing", "pushed", "withdrawing", "not_withdrawn")
UNCLEAR = "unclear"
"""The problem of who was pushed with others of whom Iterable did not take all, without saying whom."""
PUSHED_SCOPES = (WORKSPACE, "marketing")
"""What can be pushed takes a person off all marketing, so what blocks transactional mail alone is not pushed."""


@dataclass(slots=True)
class Report:
    """One occurrence. `source` says who told us, `reason` is Iterable's own word or an admin's. Not frozen, as
    `Person`."""

    person: Person
    cause: Cause
    scope: str
    at: datetime
    lifts: bool = False
    source: str | None = None
    reason: str | None = None
    event_id: str | None = None


@dataclass(frozen=True)
class Suppression:
    """What is known of one person, cause and scope. `person` is there only where it was asked for and is kept."""

    recipient_hash: str
    cause: Cause
    scope: str
    cursor: int
    source: str | None
    reason: str | None
    first_seen_at: datetime
    last_seen_at: datetime
    lifted_at: datetime | None
    push_state: str | None
    push_problem: str | None
    pushed_at: datetime | None
    person: Person | None = None

    @property
    def may_be_pushed(self) -> bool:
        """Whether Iterable has it, or may have it."""
        return self.push_state in _TOLD or (self.push_state == "not_pushed" and self.push_problem == UNCLEAR)

    @property
    def active(self) -> bool:
        """Whether it holds."""
        return self.lifted_at is None or self.lifted_at <= self.last_seen_at

    @property
    def since(self) -> datetime:
        """From when on it holds: after a lift, the last report is the earliest moment that is certain."""
        lifted_between = self.lifted_at is not None and self.lifted_at > self.first_seen_at
        return self.last_seen_at if lifted_between else self.first_seen_at


@dataclass(frozen=True)
class Told:
    """When Iterable was told of a person because of one suppression, and when that it holds no more. `removed_at` is
    when it was removed here after the push; None while it holds."""

    pushed_at: datetime | None = None
    removed_at: datetime | None = None
    withdrawn_at: datetime | None = None


class Suppressions(SealingRepository):
    """Queries over suppressions."""

    async def record(self, workspace_id: str, reports: Sequence[Report], *, only_new: bool = False) -> int:
        """Takes reports in; how many of them changed something. `only_new` leaves alone what holds already. Whoever was
        forgotten stays without a name, whoever reports them again.

        One writer of a workspace at a time: the feed's row is locked until the transaction ends, so that readers by
        cursor see changes in the order of their cursors.
        """
        if not reports:
            return 0
        cursor = await self._reserve(workspace_id, len(reports))
        forgotten = await self.are_forgotten(workspace_id, [one.person.recipient_hash for one in reports])
        values: list[dict[str, Any]] = []
        for number, one in enumerate(reports, start=cursor):
            person, at = one.person, microseconds(one.at)
            seen, lifted = (None, at) if one.lifts else (at, None)
            values.append(
                {
                    "workspace_id": workspace_id,
                    "recipient_hash": person.recipient_hash,
                    "cause": one.cause.value,
                    "scope": one.scope,
                    "cursor": number,
                    "identity": None if person.recipient_hash in forgotten else self._identity(workspace_id, person),
                    "source": None if one.lifts else one.source,
                    "reason": None if one.lifts else without_addresses(one.reason),
                    "event_id": None if one.lifts else one.event_id,
                    "first_seen_at": seen,
                    "last_seen_at": seen,
                    "lifted_at": lifted,
                }
            )
        return await self._run_rows(self._merging(list(values[0]), only_new=only_new), values)

    def _merging(self, columns: Sequence[str], *, only_new: bool) -> ClauseElement:
        """Minimum, maximum, and the newest report's words: the same whatever came first. A report that says nothing new
        changes nothing, not even the cursor."""
        insert = self._upsert(suppression).values({name: bindparam(name) for name in columns})
        new = insert.excluded
        newer = or_(
            _S.last_seen_at.is_(None),
            new.last_seen_at > _S.last_seen_at,
            and_(
                new.last_seen_at == _S.last_seen_at,
                func.coalesce(new.event_id, _NONE) > func.coalesce(_S.event_id, _NONE),
            ),
        )
        newest = and_(new.last_seen_at.is_not(None), newer)
        earlier = or_(_S.first_seen_at.is_(None), new.first_seen_at < _S.first_seen_at)
        later_lift = and_(new.lifted_at.is_not(None), or_(_S.lifted_at.is_(None), new.lifted_at > _S.lifted_at))
        says_more = or_(newest, new.first_seen_at < _S.first_seen_at, later_lift)
        return insert.on_conflict_do_update(
            index_elements=[_S.workspace_id, _S.recipient_hash, _S.cause, _S.scope],
            set_={
                "cursor": new.cursor,
                "identity": func.coalesce(_S.identity, new.identity),
                "source": case((newest, new.source), else_=_S.source),
                "reason": case((newest, new.reason), else_=_S.reason),
                "event_id": case((newest, new.event_id), else_=_S.event_id),
                "first_seen_at": case((earlier, new.first_seen_at), else_=_S.first_seen_at),
                "last_seen_at": case((newest, new.last_seen_at), else_=_S.last_seen_at),
                "lifted_at": case((later_lift, new.lifted_at), else_=_S.lifted_at),
            },
            where=and_(newest, or_(_S.last_seen_at.is_(None), ~_HOLDS)) if only_new else says_more,
        )

    async def lift(self, workspace_id: str, recipient_hash: str, causes: Sequence[Cause]) -> list[Suppression]:
        """Lifts what an admin removes: everything of these causes that holds now, which is returned."""
        held = [s for s in (await self.of(workspace_id, [recipient_hash]))[recipient_hash] if s.cause in causes]
        if held:
            cursor = await self._reserve(workspace_id, len(held))
            now = self._clock()
            for number, one in enumerate(held, start=cursor):
                await self._connection.execute(
                    update(suppression)
                    .where(_is(workspace_id, one))
                    .values(cursor=number, lifted_at=max(now, one.last_seen_at + _INSTANT))
                )
        return held

    async def forget(self, workspace_id: str, recipient_hashes: Sequence[str]) -> None:
        """Drops the names of people who asked to be forgotten; their hashes go on keeping mail from them."""
        await self._connection.execute(
            update(suppression)
            .where(_S.workspace_id == workspace_id, _S.recipient_hash.in_(recipient_hashes))
            .values(identity=None)
        )

    async def are_forgotten(self, workspace_id: str, recipient_hashes: Sequence[str]) -> set[str]:
        """Those of the hashes that belong to people who were forgotten, unless an admin has lifted that since."""
        rows = await self._connection.scalars(
            select(_S.recipient_hash).where(
                _S.workspace_id == workspace_id,
                _S.cause == Cause.FORGOTTEN.value,
                _HOLDS,
                self._one_of(_S.recipient_hash, recipient_hashes),
            )
        )
        return set(rows)

    async def of(
        self, workspace_id: str, recipient_hashes: Sequence[str], *, lifted: bool = False
    ) -> defaultdict[str, list[Suppression]]:
        """What holds for people, by hash, oldest first; on request with what was lifted. A few hashes or a batch of
        thousands: one query for every 500."""
        found: defaultdict[str, list[Suppression]] = defaultdict(list)
        for start in range(0, len(recipient_hashes), IN_BATCH):
            people = {"of_workspace": workspace_id, "of_people": recipient_hashes[start : start + IN_BATCH]}
            rows = await self._connection.execute(_OF if lifted else _HELD, people)
            for row in rows:
                found[row.recipient_hash].append(_suppression(row))
        for some in found.values():
            some.sort(key=lambda s: (s.since, s.cause, s.scope))
        return found

    async def page(
        self, workspace_id: str, after: int, limit: int, *, lifted: bool = True, cause: Cause | None = None
    ) -> list[Suppression]:
        """What changed after a cursor, oldest change first, with the people's names."""
        query = _SEEN.where(_S.cursor > after).order_by(_S.cursor).limit(limit)
        if not lifted:
            query = query.where(_HOLDS)
        if cause is not None:
            query = query.where(_S.cause == cause.value)
        rows = await self._connection.execute(query, {"of_workspace": workspace_id})
        return [self._with_person(workspace_id, row) for row in rows]

    # ── what Iterable is told of ──────────────────────────────────────────────────────────────────────────────────

    async def to_push(self, workspace_id: str, after: int, limit: int) -> list[Suppression]:
        """Our own suppressions that Iterable does not have yet, in order of their cursors."""
        return await self._ours(
            workspace_id,
            after,
            limit,
            _HOLDS,
            or_(_S.push_state.is_(None), _S.push_state != "pushed", _S.pushed_at < _S.last_seen_at),
        )

    async def to_withdraw(self, workspace_id: str, after: int, limit: int) -> list[Suppression]:
        """Our own suppressions that Iterable has, or may have, and that were removed here since."""
        return await self._ours(workspace_id, after, limit, ~_HOLDS, _MAY_BE_THERE)

    async def _ours(
        self, workspace_id: str, after: int, limit: int, *conditions: ColumnElement[bool]
    ) -> list[Suppression]:
        query = _SEEN.where(
            _S.cursor > after,
            _S.cause.in_([cause.value for cause in OURS]),
            _S.scope.in_(PUSHED_SCOPES),
            _S.identity.is_not(None),
            *conditions,
        )
        query = query.order_by(_S.cursor).limit(limit)
        rows = await self._connection.execute(query, {"of_workspace": workspace_id})
        return [self._with_person(workspace_id, row) for row in rows]

    async def mark(
        self, workspace_id: str, marks: Sequence[tuple[Suppression, PushState, str | None]], *, at: datetime | None
    ) -> None:
        """Records where Iterable stands: (suppression, state, problem). `at` is the moment the request leaves, of a
        push or of a withdrawal, as all the states say; without it the moments stay."""
        if not marks:
            return
        values: dict[str, Any] = {"push_state": bindparam("now_state"), "push_problem": bindparam("now_problem")}
        if at is not None:
            values["withdrawn_at" if marks[0][1] == "withdrawing" else "pushed_at"] = at
        await self._connection.execute(
            update(suppression)
            .where(
                _S.workspace_id == workspace_id,
                _S.recipient_hash == bindparam("of_hash"),
                _S.cause == bindparam("of_cause"),
                _S.scope == bindparam("of_scope"),
            )
            .values(values),
            [
                {
                    "of_hash": one.recipient_hash,
                    "of_cause": one.cause.value,
                    "of_scope": one.scope,
                    "now_state": state,
                    "now_problem": problem,
                }
                for one, state, problem in marks
            ],
        )

    async def told(self, workspace_id: str, recipient_hashes: Sequence[str]) -> dict[str, list[Told]]:
        """When Iterable was last told of people, by hash. Absent are those it was never told of, and pushes that it
        certainly did not take: no echo comes of them."""
        found: defaultdict[str, list[Told]] = defaultdict(list)
        for start in range(0, len(recipient_hashes), IN_BATCH):
            rows = await self._connection.execute(
                _SEEN.where(
                    _S.recipient_hash.in_(recipient_hashes[start : start + IN_BATCH]),
                    or_(_S.pushed_at.is_not(None), _S.withdrawn_at.is_not(None)),
                ),
                {"of_workspace": workspace_id},
            )
            for row in rows:
                told = _told(row)
                if told.pushed_at is not None or told.withdrawn_at is not None:
                    found[row.recipient_hash].append(told)
        return dict(found)

    # ── small things ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _reserve(self, workspace_id: str, count: int) -> int:
        """The first of `count` fresh cursors; locks the workspace's feed."""
        insert = self._upsert(suppression_feed).values(workspace_id=workspace_id, last_cursor=count)
        last = await self._connection.scalar(
            insert.on_conflict_do_update(
                index_elements=[suppression_feed.c.workspace_id],
                set_={"last_cursor": suppression_feed.c.last_cursor + count},
            ).returning(suppression_feed.c.last_cursor)
        )
        if last is None:
            raise RuntimeError("the cursors that were just reserved are not there")
        return last - count + 1

    def _identity(self, workspace_id: str, person: Person) -> bytes:
        return self._keyring.seal(_PREFIX[person.kind] + person.value.encode(), _place(workspace_id, person))

    def _with_person(self, workspace_id: str, row: Row[Any]) -> Suppression:
        if row.identity is None:
            return _suppression(row)
        opened = self._keyring.open(row.identity, _place(workspace_id, row))
        kind: Kind = "email" if opened.startswith(_PREFIX["email"]) else "user_id"
        return _suppression(row, Person(row.recipient_hash, kind, opened.removeprefix(_PREFIX[kind]).decode()))


# `Suppression.may_be_pushed`, as a query says it.
_MAY_BE_THERE = or_(
    _S.push_state.in_(_TOLD),
    and_(_S.push_state == "not_pushed", _S.push_problem == UNCLEAR),
)
_HOLDS: ColumnElement[bool] = or_(_S.lifted_at.is_(None), _S.lifted_at <= _S.last_seen_at)


_SEEN = select(suppression).where(_S.workspace_id == bindparam("of_workspace"), _S.last_seen_at.is_not(None))
"""Rows that are more than a lift which waits for what it overrules."""
_OF = _SEEN.where(_S.recipient_hash.in_(bindparam("of_people", expanding=True)))
_HELD = _OF.where(_HOLDS)


def _is(workspace_id: str, one: Suppression) -> ColumnElement[bool]:
    return and_(
        _S.workspace_id == workspace_id,
        _S.recipient_hash == one.recipient_hash,
        _S.cause == one.cause.value,
        _S.scope == one.scope,
    )


def _place(workspace_id: str, of: Person | Row[Any]) -> str:
    return f"suppression.identity.{workspace_id}/{of.recipient_hash}"


def _suppression(row: Row[Any], person: Person | None = None) -> Suppression:
    return Suppression(
        recipient_hash=row.recipient_hash,
        cause=Cause(row.cause),
        scope=row.scope,
        cursor=row.cursor,
        source=row.source,
        reason=row.reason,
        first_seen_at=row.first_seen_at,
        last_seen_at=row.last_seen_at,
        lifted_at=row.lifted_at,
        push_state=row.push_state,
        push_problem=row.push_problem,
        pushed_at=row.pushed_at,
        person=person,
    )


def _told(row: Row[Any]) -> Told:
    was_taken = row.push_state != "not_pushed" or row.push_problem == UNCLEAR
    pushed_at = row.pushed_at if was_taken else None
    lifted_at = row.lifted_at
    is_removed = lifted_at is not None and (
        lifted_at > row.last_seen_at or (pushed_at is not None and lifted_at > pushed_at)
    )
    return Told(pushed_at, lifted_at if is_removed else None, row.withdrawn_at)
