"""How each database is connected to."""

import asyncio
import contextlib
import sqlite3
from typing import Any

from sqlalchemy import Connection, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from store.writer import PacketWriter, PostgresWriter, SqliteWriter

_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-32768")
"""32 MiB, for a connection that needs them: what a batch of events changes lies all over the indexes, and would be
written to the log twice if it did not fit."""
_BUSY_MS = 10_000  # another process may hold the write lock for as long as a batch takes
_POSTGRES_PATIENCE = {
    "connect_timeout": 10,  # seconds
    "tcp_user_timeout": 20_000,  # milliseconds that what was sent may go unacknowledged
    "keepalives_idle": 10,  # seconds without a word until the server is asked whether it is there
    "keepalives_interval": 5,
    "keepalives_count": 2,
}
"""libpq itself waits as long as the kernel does, a quarter of an hour, and every connection of a pool with it."""
_rolling_back = set[asyncio.Task[None]]()


def make_engine(url: str) -> AsyncEngine:
    """An engine with each database's needs seen to."""
    if not url.startswith("sqlite"):
        return create_async_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=_patience(url))
    engine = create_async_engine(url, hide_parameters=True)  # an error must not quote what it was given
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    event.listen(engine.sync_engine, "invalidate", _roll_back_sqlite)
    return engine


def make_writer(url: str) -> PacketWriter:
    """What takes arrived events into the same database. Connects at its first use."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        engine = create_async_engine(
            url, isolation_level="AUTOCOMMIT", hide_parameters=True, connect_args=_patience(url)
        )
        return PostgresWriter(engine)

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(parsed.database or "", isolation_level=None, timeout=0)
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        return connection

    return SqliteWriter(connect)


def _patience(url: str) -> dict[str, int]:
    """How soon a server that is gone without a word is noticed; the URL may say otherwise."""
    return {name: value for name, value in _POSTGRES_PATIENCE.items() if name not in make_url(url).query}


def _prepare_sqlite(dbapi_connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    """WAL lets readers and the one writer work side by side; FULL keeps what was committed over a power cut."""
    del record
    connection: Any = dbapi_connection
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite`, not by the driver's guess
    cursor = dbapi_connection.cursor()
    for pragma in (*_PRAGMAS, f"busy_timeout={_BUSY_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """IMMEDIATE takes the write lock at once; a transaction that reads first and writes later could not wait for it."""
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _roll_back_sqlite(
    dbapi_connection: DBAPIConnection, record: ConnectionPoolEntry, why: BaseException | None
) -> None:
    """Before a connection is closed in the middle of a transaction, as it is where a task is cancelled. Closing alone
    is not enough: SQLite keeps a closed connection, and its write lock, until the last cursor is collected, and a
    cancelled task's traceback has one."""
    del record, why
    driver: Any = dbapi_connection.driver_connection
    task = asyncio.ensure_future(_roll_back(driver))  # its thread takes things in turn: this, and then the close
    _rolling_back.add(task)
    task.add_done_callback(_rolling_back.discard)


async def _roll_back(driver: Any) -> None:
    with contextlib.suppress(sqlite3.Error, ValueError):  # ValueError: it is closed
        await driver.rollback()
