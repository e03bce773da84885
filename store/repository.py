"""What every repository shares."""

import base64
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import ARRAY, ClauseElement, Column, ColumnElement, Table, any_, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from store.keyring import Keyring

_SEALED = "sealed:"
IN_BATCH = 500
"""How many values one `IN (…)` carries: below every engine's bound on parameters."""


def by_campaign(pairs: Sequence[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """(campaign, its people), so that a query has one campaign and some of its people: SQLite uses no index for pairs
    of values."""
    people: defaultdict[int, list[str]] = defaultdict(list)
    for campaign_id, person in pairs:
        people[campaign_id].append(person)
    yield from people.items()


class Repository:
    """Queries over one noun, inside the caller's transaction."""

    def __init__(self, connection: AsyncConnection, clock: Callable[[], datetime]) -> None:
        self._connection = connection
        self._clock = clock

    async def _run_rows(self, statement: ClauseElement, rows: Sequence[Mapping[str, Any]]) -> int:
        """Runs a statement once for each row of parameters; how many rows it changed in all.

        As `execute` with a list, at half the time: the statement is compiled once and the values are handed to the
        driver as they are, so they must be what it takes (a moment as `microseconds`), and all of the statement's
        parameters must be in each row.
        """
        compiled = statement.compile(dialect=self._connection.dialect)
        names: list[str] | None = getattr(compiled, "positiontup", None)  # None: its driver takes names
        given = rows if names is None else list(map(itemgetter(*names), rows))
        done = await self._connection.exec_driver_sql(
            str(compiled),
            given,  # pyright: ignore[reportArgumentType]
            execution_options={"preserve_rowcount": True},
        )
        return done.rowcount

    def _one_of(self, column: Column[Any], values: Sequence[Any]) -> ColumnElement[bool]:
        """Whether a column has one of the values, which go as one parameter: the statement is the same however many
        there are, so it is neither written nor planned anew."""
        if self._connection.dialect.name == "sqlite":
            each = func.json_each(orjson.dumps(values).decode()).table_valued("value")
            return column.in_(select(each.c.value))
        return column == any_(bindparam(None, values, ARRAY(column.type)))

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

    def _seal_text(self, value: str, place: str) -> str:
        """A sealed value for a column of text."""
        return _SEALED + base64.b64encode(self._keyring.seal(value.encode(), place)).decode()

    def _is_current_text(self, stored: str) -> bool:
        """Whether it is sealed, and under the newest key."""
        return stored.startswith(_SEALED) and self._keyring.is_current(base64.b64decode(stored.removeprefix(_SEALED)))

    def _open_text(self, stored: str, place: str) -> str:
        """What `_seal_text` sealed; text that an older release left in plain as it is."""
        if not stored.startswith(_SEALED):
            return stored
        return self._keyring.open(base64.b64decode(stored.removeprefix(_SEALED)), place).decode()
