"""Where a workspace's feed is pushed to, how far, and what could not be delivered."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr
from sqlalchemy import delete, select, update

from store.repository import SealingRepository
from store.tables import dead_letter, event, feed, push


@dataclass(frozen=True)
class PushRow:
    """One receiver. `cursor` is the last one that is dealt with; `disabled` says why nothing is sent, if so. `round`
    changes with every replay, so that what is sent again has ids of its own."""

    url: str
    secret: SecretStr
    cursor: int
    disabled: str | None
    round: int


@dataclass(frozen=True)
class DeadLetter:
    """A batch that was given up: cursors `first` to `last`, both inclusive."""

    first: int
    last: int
    problem: str
    given_up_at: datetime


class Pushes(SealingRepository):
    """Queries over receivers."""

    async def get(self, workspace_id: str) -> PushRow | None:
        """The receiver of a workspace."""
        row = (await self._connection.execute(select(push).where(push.c.workspace_id == workspace_id))).one_or_none()
        if row is None:
            return None
        secret = SecretStr(self._keyring.open(row.secret, _place(workspace_id)).decode())
        url = self._open_text(row.url, _url_place(workspace_id))
        return PushRow(url, secret, row.cursor, row.disabled, int(row.changed_at.timestamp() * 1_000_000))

    async def is_behind(self, workspace_id: str) -> bool:
        """Whether there is a receiver that is on and has not got all of the feed."""
        found = await self._connection.scalar(
            select(push.c.workspace_id)
            .join(feed, feed.c.workspace_id == push.c.workspace_id)
            .where(push.c.workspace_id == workspace_id, push.c.disabled.is_(None), feed.c.last > push.c.cursor)
        )
        return found is not None

    async def behind_since(self, workspace_id: str | None = None) -> datetime | None:
        """Since when the oldest event waits that a receiver has not got, of one workspace or of all; None where none
        does. One that was switched off is behind too. What is sent again waits since it was asked for."""
        first = (
            select(event.c.received_at)
            .where(event.c.workspace_id == push.c.workspace_id, event.c.cursor > push.c.cursor)
            .order_by(event.c.cursor)
            .limit(1)
            .scalar_subquery()
        )
        wanted = select(first.label("received_at"), push.c.changed_at)
        if workspace_id is not None:
            wanted = wanted.where(push.c.workspace_id == workspace_id)
        rows = await self._connection.execute(wanted)
        return min((max(row.received_at, row.changed_at) for row in rows if row.received_at), default=None)

    async def set_receiver(self, workspace_id: str, url: str, secret: SecretStr, cursor: int) -> None:
        """Pushes to `url` from now on. A new receiver begins after `cursor`; a changed one goes on where it was."""
        sealed = self._keyring.seal(secret.get_secret_value().encode(), _place(workspace_id))
        sealed_url = self._seal_text(url, _url_place(workspace_id))  # it may have a token in it
        insert = self._upsert(push).values(
            workspace_id=workspace_id, url=sealed_url, secret=sealed, cursor=cursor, changed_at=self._clock()
        )
        await self._connection.execute(
            insert.on_conflict_do_update(
                index_elements=[push.c.workspace_id],
                set_={"url": sealed_url, "secret": sealed, "disabled": None, "changed_at": self._clock()},
            )
        )

    async def advance(self, workspace_id: str, before: int, after: int) -> None:
        """Everything up to `after` is dealt with, unless a replay has moved the cursor since it was `before`."""
        await self._connection.execute(
            update(push).where(push.c.workspace_id == workspace_id, push.c.cursor == before).values(cursor=after)
        )

    async def rewind(self, workspace_id: str, cursor: int) -> bool:
        """Sends again what came after `cursor`, also where the push was switched off; False without a receiver."""
        done = await self._connection.execute(
            update(push)
            .where(push.c.workspace_id == workspace_id)
            .values(cursor=cursor, disabled=None, changed_at=self._clock())
            .returning(push.c.workspace_id)
        )
        return done.one_or_none() is not None

    async def disable(self, workspace_id: str, why: str) -> None:
        """Sends nothing until somebody sets the receiver again."""
        await self._connection.execute(
            update(push).where(push.c.workspace_id == workspace_id).values(disabled=why, changed_at=self._clock())
        )

    async def remove(self, workspace_id: str) -> bool:
        """Forgets the receiver; False without one. What was given up stays noted."""
        done = await self._connection.execute(
            delete(push).where(push.c.workspace_id == workspace_id).returning(push.c.workspace_id)
        )
        return done.one_or_none() is not None

    async def give_up(self, workspace_id: str, first: int, last: int, problem: str) -> None:
        """Notes a batch that was not delivered. Safe to repeat."""
        await self._add(
            dead_letter,
            workspace_id=workspace_id,
            first=first,
            last=last,
            problem=problem,
            given_up_at=self._clock(),
        )

    async def dead_letters(self, workspace_id: str) -> list[DeadLetter]:
        """What was given up, oldest first."""
        rows = await self._connection.execute(
            select(dead_letter).where(dead_letter.c.workspace_id == workspace_id).order_by(dead_letter.c.first)
        )
        return [DeadLetter(row.first, row.last, row.problem, row.given_up_at) for row in rows]


def _place(workspace_id: str) -> str:
    return f"push.secret.{workspace_id}"


def _url_place(workspace_id: str) -> str:
    return f"push.url.{workspace_id}"
