"""The shared pace of calls to one endpoint of one project: GCRA, one row, whoever asks and wherever they run."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, select, update

from store.repository import Repository
from store.tables import pace

_SLOWER = 0.5
"""What a 429 leaves of the rate."""
_RECOVERY = timedelta(seconds=60)
"""How long the rate takes from nothing to full again, evenly."""
_SAME_REFUSAL = timedelta(seconds=1)
"""429s that come so close together answer one burst, and slow down once."""
_LEAST_SHARE = 0.01

_MINE = (pace.c.workspace_id == bindparam("of_workspace")) & (pace.c.operation == bindparam("of_operation"))
_LOCKED = select(pace.c.next_at, pace.c.share, pace.c.slowed_at).where(_MINE).with_for_update()
_GO_ON = update(pace).where(_MINE).values(next_at=bindparam("to"))


@dataclass(frozen=True, slots=True)
class Turns:
    """`count` turns, the first after `wait`, then one every `interval`. With no turn, `wait` is when to ask again."""

    wait: timedelta
    count: int
    interval: timedelta


class Paces(Repository):
    """Queries over paces. `next_at` is the moment from which a further call keeps to the rate."""

    async def reserve(
        self, workspace_id: str, operation: str, per_second: float, at_most: timedelta
    ) -> tuple[timedelta, bool]:
        """(how long to wait, whether the turn after that wait is the caller's): one turn of `reserve_some`. Where it is
        not: ask again after the wait."""
        turns = await self.reserve_some(workspace_id, operation, per_second, at_most, 1)
        return (turns.wait, True) if turns.count else (turns.wait + at_most, False)

    async def reserve_some(
        self, workspace_id: str, operation: str, per_second: float, at_most: timedelta, most: int
    ) -> Turns:
        """Up to `most` turns that come within `at_most`.

        Turns are reserved: wait, then call. Later ones are not: ask again after the wait. The row is locked while it
        is looked at, so callers on any machine share one rate; calls are spaced evenly, first come first served. Who
        looks less far ahead gives way: once others have reserved beyond its `at_most` it gets nothing.
        """
        now = self._clock()
        mine = {"of_workspace": workspace_id, "of_operation": operation}
        row = (await self._connection.execute(_LOCKED, mine)).one_or_none()
        if row is None:
            await self._add(pace, workspace_id=workspace_id, operation=operation, next_at=now)
            row = (await self._connection.execute(_LOCKED, mine)).one()
        turn = max(now, row.next_at)
        interval = timedelta(seconds=1 / (per_second * share_now(row.share, row.slowed_at, now)))
        beyond = now + at_most - turn
        if beyond < timedelta(0):
            return Turns(-beyond, 0, interval)
        count = min(most, beyond // interval + 1) if interval else most
        await self._connection.execute(_GO_ON, mine | {"to": turn + count * interval})
        return Turns(turn - now, count, interval)

    async def slow_down(self, workspace_id: str, operation: str, wait: timedelta) -> None:
        """After a 429: no call before `wait` is over, then half the rate, which grows back within half a minute. Turns
        that are reserved already stay reserved."""
        now = self._clock()
        mine = {"of_workspace": workspace_id, "of_operation": operation}
        row = (await self._connection.execute(_LOCKED, mine)).one_or_none()
        if row is None:
            return
        share = share_now(row.share, row.slowed_at, now)
        if row.slowed_at is None or now - row.slowed_at > _SAME_REFUSAL:
            share = max(_LEAST_SHARE, share * _SLOWER)
        await self._connection.execute(
            update(pace).where(_MINE).values(next_at=max(row.next_at, now + wait), share=share, slowed_at=now), mine
        )


def share_now(share: float | None, slowed_at: datetime | None, now: datetime) -> float:
    """The part of the full rate that may be used now."""
    if share is None or slowed_at is None:
        return 1.0
    return min(1.0, share + max(now - slowed_at, timedelta(0)) / _RECOVERY)
