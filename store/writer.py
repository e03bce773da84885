"""Takes arrived events into the store: on a thread of its own, over a connection of its own.

The asynchronous drivers hop between threads at every statement, and each hop waits for a loop that is busy with the
next requests. Here a commit is one hop there and one back, and one statement that is its own transaction: the thread
needs the interpreter's lock as seldom as can be.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from sqlalchemy import Connection, Engine

from store.arrival import Arrival
from store.keyring import Keyring
from store.packing import pack

_COLUMNS = ("workspace_id", "shard", "key", "size", "events", "body")


class PacketWriter:
    """One commit at a time. `engine` must not begin transactions by itself (isolation level AUTOCOMMIT)."""

    def __init__(self, engine: Engine, keyring: Keyring) -> None:
        self._engine = engine
        self._keyring = keyring
        self._connection: Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="packet-writer")

    async def write(self, arrivals: Sequence[Arrival]) -> None:
        """Returns once the events are committed; raises where they are not, or where that is not known."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, arrivals)

    def close(self) -> None:
        """Waits for a commit that is under way."""
        self._thread.submit(self._disconnect).result()
        self._thread.shutdown()
        self._engine.dispose()

    def _commit(self, arrivals: Sequence[Arrival]) -> None:
        rows = pack(arrivals, self._keyring)
        values: tuple[Any, ...] = tuple(row[column] for row in rows for column in _COLUMNS)
        if self._connection is None:
            self._connection = self._engine.connect()
        try:
            self._connection.exec_driver_sql(_statement(len(rows), self._engine.dialect.paramstyle), values)
            self._connection.commit()
        except BaseException:
            self._disconnect()  # the next commit gets a sound one
            raise

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@cache
def _statement(rows: int, paramstyle: str) -> str:
    """One INSERT for all rows, so that all are there or none."""
    mark = "?" if paramstyle == "qmark" else "%s"
    row = f"({', '.join([mark] * len(_COLUMNS))})"
    return f"INSERT INTO packet ({', '.join(_COLUMNS)}) VALUES {', '.join([row] * rows)}"  # noqa: S608 - our own names
