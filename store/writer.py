"""Takes arrived events into the store, over a connection of its own: one statement that is its own transaction.

There is no thread in here. A thread that commits needs the interpreter's lock while the loop is busy with the next
requests, and handing it to and fro costs both of them more than the commit does (docs/decisions/0010-intake.md). So
PostgreSQL is spoken to on the loop, and SQLite, which is a file, is written by the loop itself; it never waits for
another process's lock while it does.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from store.packing import COLUMNS

Rows = Sequence[tuple[Any, ...]]
"""Of the table `packet`."""

_ASK_AGAIN_SECONDS = 0.002
_PATIENCE_SECONDS = 10.0
"""How long another process may hold SQLite's write lock. A batch that is drained takes a fraction of a second."""


class PacketWriter(Protocol):
    """One commit at a time. Connects at its first."""

    async def write(self, rows: Rows) -> None:
        """Returns once the rows are committed; raises where they are not, or where that is not known."""
        ...

    async def close(self) -> None:
        """Ends its connection."""
        ...


class PostgresWriter:
    """`engine` must not begin transactions by itself (isolation level AUTOCOMMIT)."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._connection: AsyncConnection | None = None

    async def write(self, rows: Rows) -> None:
        """See `PacketWriter`. The driver's own call: a statement of SQLAlchemy's takes twice the time."""
        if self._connection is None:
            self._connection = await self._engine.connect()
        try:
            driver: Any = (await self._connection.get_raw_connection()).driver_connection
            await driver.execute(_insert(len(rows), "%s"), tuple(chain.from_iterable(rows)))
        except BaseException:
            await self._connection.invalidate()  # the next commit gets a sound one
            await self._disconnect()
            raise

    async def close(self) -> None:
        """See `PacketWriter`."""
        await self._disconnect()
        await self._engine.dispose()

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


class SqliteWriter:
    """A commit takes the loop's time: half a millisecond on a disk that is any good. `connect` gives a connection in
    autocommit mode that does not wait for locks."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._connection: sqlite3.Connection | None = None

    async def write(self, rows: Rows) -> None:
        """See `PacketWriter`."""
        if self._connection is None:
            self._connection = self._connect()
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                self._connection.execute(_insert(len(rows), "?"), tuple(chain.from_iterable(rows)))
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    await self.close()  # the next commit gets a sound one
                    raise
                await asyncio.sleep(_ASK_AGAIN_SECONDS)
            else:
                return

    async def close(self) -> None:
        """See `PacketWriter`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


@cache
def _insert(rows: int, mark: str) -> str:
    """One INSERT for all rows, so that all are there or none."""
    row = f"({', '.join([mark] * len(COLUMNS))})"
    return f"INSERT INTO packet ({', '.join(COLUMNS)}) VALUES {', '.join([row] * rows)}"  # noqa: S608 - our own names
