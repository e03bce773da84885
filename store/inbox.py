"""The inbox: events as they came, until they are drained.

What the endpoint takes comes in packets (`store/packets.py`); what came another way, or is kept apart, has a row of its
own. A reader of the inbox sees both as single events: an id below zero is one of a packet.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import delete, func, select, update

from store.keyring import KeyMissing, KeyringError
from store.packets import Packets
from store.repository import IN_BATCH, SealingRepository
from store.tables import inbox


@dataclass(frozen=True)
class Arrival:
    """One event that gets a row of its own: `event_id` names the occurrence, `body` is the JSON as reported."""

    workspace_id: str
    shard: int
    event_id: str
    body: bytes
    received_at: datetime


class Waiting(NamedTuple):
    """One event that waits to be drained."""

    id: int
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Unopened:
    """What no key of the ring opens: an event or, where events came together, all of them by one id. `reason` names the
    key that is missing. Where that is all (`key_missing`), another process may have it."""

    id: int
    events: int
    reason: str
    received_at: datetime | None
    key_missing: bool


class Passed(NamedTuple):
    """Up to where a reader has left events lying: an id of a single one, and that of a packet's turned round."""

    single: int
    packed: int

    def beyond(self, one: Unopened) -> "Passed":
        """With one more left lying."""
        return Passed(max(self.single, one.id), max(self.packed, -one.id))


NOTHING_PASSED = Passed(0, 0)


@dataclass(frozen=True)
class Batch:
    """The oldest of a shard. `more`: whether others wait behind them."""

    waiting: list[Waiting]
    unopened: list[Unopened]
    more: bool


@dataclass(frozen=True)
class Problem:
    """What was set aside, and why: an event or, where those that came together cannot be opened, all of them by one id.
    `reason` names parts and errors, never values. When they came is None where that is sealed with them."""

    id: int
    events: int
    reason: str
    received_at: datetime | None


class Inbox(SealingRepository):
    """Queries over waiting events."""

    @property
    def _packets(self) -> Packets:
        return Packets(self._connection, self._keyring, self._clock)

    async def add(self, arrivals: Sequence[Arrival]) -> None:
        """Keeps events. One that waits already is not kept twice; one that was drained is recognised when drained."""
        values = [
            {
                "workspace_id": arrival.workspace_id,
                "shard": arrival.shard,
                "event_id": arrival.event_id,
                "body": self._keyring.seal(arrival.body, _place(arrival.workspace_id, arrival.event_id)),
                "received_at": arrival.received_at,
            }
            for arrival in arrivals
        ]
        if values:
            await self._connection.execute(self._upsert(inbox).on_conflict_do_nothing(), values)

    async def batch(
        self, workspace_id: str, shard: int, most_events: int, most_bytes: int, passed: Passed = NOTHING_PASSED
    ) -> Batch:
        """The oldest waiting events of a shard: single ones first, then whole packets, so that a batch may be larger
        by a packet (a megabyte at most). Those up to `passed` are left out.

        Ends before it has more than `most_bytes` of single bodies; one that alone is larger still comes, by itself.
        """
        rows, more = await self._singles(workspace_id, shard, most_events, most_bytes, passed.single)
        waiting: list[Waiting] = []
        unopened: list[Unopened] = []
        for row in rows:
            try:
                waiting.append(Waiting(row.id, self._open(workspace_id, row), row.received_at))
            except KeyringError as error:
                unopened.append(Unopened(row.id, 1, str(error), row.received_at, isinstance(error, KeyMissing)))
            most_bytes -= len(row.body)
        if more or len(rows) >= most_events:
            return Batch(waiting, unopened, True)
        packed, sealed, more = await self._packets.batch(
            workspace_id, shard, most_events - len(rows), most_bytes, passed.packed
        )
        waiting += [Waiting(-one.id, one.body, one.received_at) for one in packed]
        unopened += [Unopened(-one.id, one.events, one.reason, one.received_at, one.key_missing) for one in sealed]
        return Batch(waiting, unopened, more)

    async def _singles(
        self, workspace_id: str, shard: int, most_events: int, most_bytes: int, after: int
    ) -> tuple[Sequence[Any], bool]:
        sizes = await self._connection.execute(
            select(inbox.c.id, func.length(inbox.c.body).label("size"))
            .where(
                inbox.c.workspace_id == workspace_id,
                inbox.c.shard == shard,
                inbox.c.problem.is_(None),
                inbox.c.id > after,
            )
            .order_by(inbox.c.id)
            .limit(most_events + 1)
        )
        ids: list[int] = []
        total, more = 0, False
        for row in sizes:
            total += row.size
            if ids and (total > most_bytes or len(ids) == most_events):
                more = True
                break
            ids.append(row.id)
        if not ids:
            return [], False
        rows = await self._connection.execute(
            select(inbox.c.id, inbox.c.event_id, inbox.c.body, inbox.c.received_at)
            .where(
                inbox.c.workspace_id == workspace_id,
                inbox.c.shard == shard,
                inbox.c.problem.is_(None),
                inbox.c.id.between(ids[0], ids[-1]),
            )
            .order_by(inbox.c.id)
        )
        return rows.all(), more

    async def remove(self, ids: Sequence[int]) -> None:
        """Drained."""
        single = [id_ for id_ in ids if id_ > 0]
        for start in range(0, len(single), IN_BATCH):
            await self._connection.execute(delete(inbox).where(inbox.c.id.in_(single[start : start + IN_BATCH])))
        await self._packets.remove([-id_ for id_ in ids if id_ < 0])

    async def set_aside(self, workspace_id: str, id_: int, name: str, problem: str) -> None:
        """Keeps an event that could not be drained, with the reason, out of the way of the others. `name` is what it is
        called from now on, for one that comes in a packet: there it has none yet."""
        if id_ > 0:
            await self._connection.execute(update(inbox).where(inbox.c.id == id_).values(problem=problem))
            return
        one = await self._packets.get(-id_)
        if one is not None:
            await self.add([Arrival(workspace_id, one.shard, name, one.body, one.received_at)])
            await self._connection.execute(
                update(inbox)
                .where(inbox.c.workspace_id == workspace_id, inbox.c.event_id == name)
                .values(problem=problem)
            )
            await self._packets.remove([-id_])

    async def set_aside_unopened(self, one: Unopened) -> None:
        """As `set_aside`, for what nobody can see into."""
        if one.id > 0:
            await self._connection.execute(update(inbox).where(inbox.c.id == one.id).values(problem=one.reason))
        else:
            await self._packets.set_aside(-one.id, one.reason)

    async def erase(self, workspace_id: str, concerns: Callable[[bytes], bool]) -> int:
        """Erases events, waiting or set aside, of whose bodies `concerns` says so; how many. Every one of the workspace
        is opened, because outside of its body nothing says whose it is. What does not open stays as it is: nobody reads
        it without its key and, once that is back, the drain knows who was forgotten."""
        rows = await self._connection.execute(
            select(inbox.c.id, inbox.c.event_id, inbox.c.body).where(inbox.c.workspace_id == workspace_id)
        )
        mine: list[int] = []
        for row in rows:
            with contextlib.suppress(KeyringError):
                if concerns(self._open(workspace_id, row)):
                    mine.append(row.id)
        await self.remove(mine)
        return len(mine) + await self._packets.erase(workspace_id, concerns)

    async def problems(self, workspace_id: str, limit: int) -> list[Problem]:
        """What was set aside: single events first, oldest first."""
        rows = await self._connection.execute(
            select(inbox.c.id, inbox.c.problem, inbox.c.received_at)
            .where(inbox.c.workspace_id == workspace_id, inbox.c.problem.is_not(None))
            .order_by(inbox.c.id)
            .limit(limit)
        )
        single = [Problem(row.id, 1, row.problem, row.received_at) for row in rows]
        packets = await self._packets.kept_aside(workspace_id, limit - len(single))
        return single + [Problem(-one.id, one.events, one.reason, None) for one in packets]

    async def replay(self, workspace_id: str, id_: int | None) -> list[int]:
        """Puts what was set aside under an id, or all of it, back in line: the shard of each event that waits again."""
        wanted = (inbox.c.workspace_id == workspace_id) & inbox.c.problem.is_not(None)
        if id_ is not None:
            wanted &= inbox.c.id == id_
        single = await self._connection.scalars(
            update(inbox).where(wanted).values(problem=None).returning(inbox.c.shard)
        )
        return [*single, *await self._packets.replay(workspace_id, None if id_ is None else -id_)]

    async def discard(self, workspace_id: str, id_: int) -> int:
        """Drops for good what was set aside under an id: how many events."""
        if id_ < 0:
            return await self._packets.discard(workspace_id, -id_)
        done = await self._connection.execute(
            delete(inbox)
            .where(inbox.c.workspace_id == workspace_id, inbox.c.problem.is_not(None), inbox.c.id == id_)
            .returning(inbox.c.id)
        )
        return len(done.all())

    async def shards_waiting(self) -> list[tuple[str, int]]:
        """(workspace, shard) of everything that waits."""
        rows = await self._connection.execute(
            select(inbox.c.workspace_id, inbox.c.shard).where(inbox.c.problem.is_(None)).distinct()
        )
        return sorted({(row.workspace_id, row.shard) for row in rows} | await self._packets.shards_waiting())

    async def counts(self, workspace_id: str) -> tuple[int, int]:
        """(waiting, set aside)."""
        row = (
            await self._connection.execute(
                select(func.count().filter(inbox.c.problem.is_(None)), func.count(inbox.c.problem)).where(
                    inbox.c.workspace_id == workspace_id
                )
            )
        ).one()
        waiting, aside = await self._packets.counts(workspace_id)
        return row[0] + waiting, row[1] + aside

    def _open(self, workspace_id: str, row: Any) -> bytes:
        """Raises `KeyringError`."""
        return self._keyring.open(row.body, _place(workspace_id, row.event_id))


def _place(workspace_id: str, event_id: str) -> str:
    return f"inbox.body.{workspace_id}/{event_id}"
