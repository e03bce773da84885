"""The feed: the order in which a workspace's joined events are handed out.

Numbers that a database counts up by itself are handed out when a row is written and show when its transaction commits,
so on PostgreSQL a reader could see 7 before 6 is there, go on from 7, and never see 6. Here the numbers come from one
row of the workspace, which stays locked until the transaction that took them commits: what is seen is seen in order.
"""

from sqlalchemy import select, update

from store.repository import Repository
from store.tables import feed


class Feed(Repository):
    """Queries over the last cursors."""

    async def lock(self, workspace_id: str) -> None:
        """Waits for its turn, until the end of the transaction. Whoever joins events of a workspace holds it from
        before it looks at what is there: joins are rules over all events of a message, and two that do not see each
        other's events would both miss one."""
        await self._add(feed, workspace_id=workspace_id, last=0)
        await self._connection.execute(select(feed.c.last).where(feed.c.workspace_id == workspace_id).with_for_update())

    async def take(self, workspace_id: str, count: int) -> range:
        """The next `count` cursors; the caller holds the lock."""
        last = await self._connection.scalar(
            update(feed)
            .where(feed.c.workspace_id == workspace_id)
            .values(last=feed.c.last + count)
            .returning(feed.c.last)
        )
        if last is None:
            raise RuntimeError("cursors are taken by whoever holds the feed's lock")
        return range(last - count + 1, last + 1)

    async def last(self, workspace_id: str) -> int:
        """The newest cursor; 0 before there is one."""
        return await self._connection.scalar(select(feed.c.last).where(feed.c.workspace_id == workspace_id)) or 0
