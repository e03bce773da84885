"""The store: an engine, and transactions that hand out repositories.

The transaction belongs to the task, not to the query: a caller opens one, does all that must happen together, and it
commits when the block ends.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Self

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import TimeoutError as NoTurnError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from store.backfills import Backfills
from store.broadcasts import Broadcasts
from store.connectors import Connectors
from store.engine import make_engine, make_writer
from store.events import Events
from store.feed import Feed
from store.forgetting import Forgetting
from store.held import HeldRows
from store.inbox import Inbox
from store.keyring import KeyedHasher, Keyring
from store.members import Members
from store.pace import Paces
from store.packing import pack
from store.previews import Previews
from store.pushes import Pushes
from store.recipients import Recipients
from store.resealing import SEALED, Resealed, Resealing
from store.secrets import Secrets
from store.sends import Sends
from store.shadows import Shadows
from store.signs import Signs
from store.suppressions import Suppressions
from store.tallies import Tallies
from store.templates import Templates
from store.webhooks import WebhookAccess
from store.writer import PacketWriter

SCHEMA = "0015"
"""The newest migration; a test holds it equal to the folder's."""

Clock = Callable[[], datetime]


class OlderSchema(Exception):
    """The database lacks what this release needs: `found` says how."""

    def __init__(self, found: str) -> None:
        super().__init__(f"the database {found}: run `connector migrate`")
        self.found = found


_PATIENCE_SECONDS = 30
"""How long a transaction waits for its turn: as long as for a connection of the pool."""


def utc_now() -> datetime:
    """The clock used outside tests."""
    return datetime.now(UTC)


class Transaction:
    """One transaction's view of the store."""

    def __init__(self, connection: AsyncConnection, keyring: Keyring, clock: Clock) -> None:
        self.connectors = Connectors(connection, keyring, clock)
        self.webhooks = WebhookAccess(connection, keyring, clock)
        self.templates = Templates(connection, keyring, clock)
        self.previews = Previews(connection, keyring, clock)
        self.shadows = Shadows(connection, clock)
        self.sends = Sends(connection, clock)
        self.members = Members(connection, clock)
        self.broadcasts = Broadcasts(connection, keyring, clock)
        self.held = HeldRows(connection, keyring, clock)
        self.recipients = Recipients(connection, clock)
        self.signs = Signs(connection, clock)
        self.inbox = Inbox(connection, keyring, clock)
        self.events = Events(connection, keyring, clock)
        self.feed = Feed(connection, clock)
        self.backfills = Backfills(connection, clock)
        self.pushes = Pushes(connection, keyring, clock)
        self.forgetting = Forgetting(connection, keyring, clock)
        self.paces = Paces(connection, clock)
        self.suppressions = Suppressions(connection, keyring, clock)
        self.tallies = Tallies(connection, clock)


class Store:
    """Opens transactions. `url` is an SQLAlchemy URL (`sqlite+aiosqlite:///…`, `postgresql+psycopg://…`)."""

    def __init__(
        self, engine: AsyncEngine, writer: PacketWriter, keyring: Keyring, hasher: KeyedHasher, clock: Clock
    ) -> None:
        self.hasher = hasher
        self._engine = engine
        self._writer = writer
        self._keyring = keyring
        self._clock = clock
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, url: str, keyring: Keyring, clock: Clock = utc_now) -> Self:
        """Connects. Raises `OlderSchema`; a newer one will do, because migrations only add."""
        engine = make_engine(url)
        try:
            async with engine.begin() as connection:
                _refuse_older(await connection.run_sync(_revision))
                pepper = await Secrets(connection, keyring, clock).recipient_pepper()
        except BaseException:
            await engine.dispose()
            raise
        return cls(engine, make_writer(url), keyring, KeyedHasher(pepper), clock)

    def now(self) -> datetime:
        """By the clock that every row is written with."""
        return self._clock()

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[Transaction]:
        """A transaction that may write; commits at the end of the block, rolls back where it raises."""
        async with self._write() as connection:
            yield Transaction(connection, self._keyring, self._clock)

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[Transaction]:
        """A transaction that only reads: on SQLite it neither waits for a writer nor makes one wait."""
        async with self._engine.connect() as connection:
            reading = await connection.execution_options(reading=True)
            yield Transaction(reading, self._keyring, self._clock)

    async def keep(self, bodies: Mapping[str, Sequence[bytes]], shard: int) -> None:
        """Adds events, by workspace and as they were posted, to the inbox of a shard, in a transaction of its own:
        committed when it returns."""
        await self._writer.write(pack(bodies, shard, self._clock(), self._keyring))

    async def reseal(self) -> Resealed:
        """Seals everything anew that an older master key sealed, batch by batch. Safe to repeat and to break off;
        processes that have the newest key in their ring may run meanwhile."""
        tally = Resealed()
        for column in SEALED:
            after: Sequence[Any] | None = None
            while True:
                async with self._write() as connection:
                    after = await Resealing(connection, self._keyring, self._clock).batch(column, after, tally)
                if after is None:
                    break
        return tally

    async def is_current(self) -> bool:
        """Whether the database has the schema that this code was written for, and not a newer one."""
        async with self._engine.connect() as connection:
            reading = await connection.execution_options(reading=True)
            return await reading.run_sync(_revision) == SCHEMA

    async def ping(self) -> None:
        """Raises where the database does not answer."""
        async with self._engine.connect() as connection:
            reading = await connection.execution_options(reading=True)
            await reading.execute(text("SELECT 1"))

    @asynccontextmanager
    async def _write(self) -> AsyncGenerator[AsyncConnection]:
        """On SQLite, where one may write at a time, those of a process go in turn. SQLite's own waiting is asking again
        and again, whoever comes first: of two hundred at once on a slow disk some never got the lock
        (docs/decisions/0023-turns.md)."""
        if self._engine.dialect.name != "sqlite":
            async with self._engine.begin() as connection:
                yield connection
            return
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            raise NoTurnError("The database is busy: no turn to write in time") from None
        try:
            async with self._engine.begin() as connection:
                yield connection
        finally:
            self._turn.release()

    async def close(self) -> None:
        """Closes all connections."""
        await self._writer.close()
        await self._engine.dispose()


def _refuse_older(revision: str | None) -> None:
    """Revisions are numbers of four digits, so they compare as text."""
    if revision is None:
        raise OlderSchema("has no tables yet")
    if revision < SCHEMA:
        raise OlderSchema(f"has a schema ({revision}) older than this release's ({SCHEMA})")


def _revision(connection: Connection) -> str | None:
    """What Alembic notes of its migrations; Alembic itself is an eighth of a process's start."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(text("SELECT version_num FROM alembic_version"))
