"""What every repository shares."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from store.keyring import Keyring

IN_BATCH = 500
"""How many values one `IN (…)` carries: below every engine's bound on parameters."""


class Repository:
    """Queries over one noun, inside the caller's transaction."""

    def __init__(self, connection: AsyncConnection, clock: Callable[[], datetime]) -> None:
        self._connection = connection
        self._clock = clock

    def _upsert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that knows ON CONFLICT in this engine's dialect."""
        if self._connection.dialect.name == "sqlite":
            return sqlite.insert(table)
        return postgresql.insert(table)


class SealingRepository(Repository):
    """A repository whose table has sealed columns."""

    def __init__(self, connection: AsyncConnection, keyring: Keyring, clock: Callable[[], datetime]) -> None:
        super().__init__(connection, clock)
        self._keyring = keyring
