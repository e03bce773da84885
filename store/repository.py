"""What every repository shares."""

import base64
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    BigInteger,
    ClauseElement,
    Column,
    ColumnElement,
    Insert,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

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

    async def _insert_rows(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds rows, which all have the same columns, with values as `_run_rows` wants them.

        PostgreSQL gets them as one parameter, in one statement: half the time of one statement a row. SQLite, which is
        in this process, gains nothing by that.
        """
        if not rows:
            return
        if self._connection.dialect.name == "sqlite":
            await self._run_rows(insert(table).values({name: bindparam(name) for name in rows[0]}), rows)
            return
        given = self._given(rows, {name: table.c[name].type for name in rows[0]})
        await self._connection.execute(insert(table).from_select(list(rows[0]), select(*given)))

    async def _update_rows(self, table: Table, keys: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        """Changes rows that are named by their keys; otherwise as `_insert_rows`."""
        if not rows:
            return
        names = [name for name in rows[0] if name not in keys]
        if self._connection.dialect.name == "sqlite":
            of: dict[str, Any] = {name: bindparam(f"to_{name}") for name in rows[0]}  # a column's name is taken
            statement = update(table).where(*(table.c[key] == of[key] for key in keys))
            statement = statement.values({name: of[name] for name in names})
            await self._run_rows(statement, [{f"to_{name}": value for name, value in row.items()} for row in rows])
            return
        types = {name: table.c[name].type for name in rows[0]}
        of = dict[str, Any](zip(types, self._given(rows, types), strict=True))
        statement = update(table).where(*(table.c[key] == of[key] for key in keys))
        await self._connection.execute(statement.values({name: of[name] for name in names}))

    def _given(
        self, rows: Sequence[Mapping[str, Any]], types: Mapping[str, TypeEngine[Any]]
    ) -> list[ColumnElement[Any]]:
        """Rows as columns of a table that a statement on PostgreSQL can read from."""
        text = orjson.dumps(rows, default=_base64).decode()
        plain = {name: String() if isinstance(type_, LargeBinary) else type_ for name, type_ in types.items()}
        table = (
            func.json_to_recordset(cast(bindparam(None, text, Text), JSON))
            .table_valued(*(column(name, type_) for name, type_ in plain.items()))
            .render_derived("given", with_types=True)
        )
        return [
            func.decode(table.c[name], "base64") if isinstance(type_, LargeBinary) else table.c[name]
            for name, type_ in types.items()
        ]

    def _one_of(self, what: Column[Any], values: Sequence[Any]) -> ColumnElement[bool]:
        """Whether a column has one of the values, which go as one parameter: the statement is the same however many
        there are, so it is neither written nor planned anew. As JSON, because PostgreSQL's driver takes ten times as
        long over an array; and as an array that PostgreSQL makes of it, because it looks such ones up in an index also
        while it has no statistics of a table."""
        text = orjson.dumps(values).decode()
        if self._connection.dialect.name == "sqlite":
            each = func.json_each(text).table_valued("value")
            return what.in_(select(each.c.value))
        one: ColumnElement[Any] = func.json_array_elements_text(cast(bindparam(None, text, Text), JSON)).column_valued()
        if isinstance(what.type, Integer):
            one = cast(one, BigInteger)
        return what == any_(func.array(select(one).scalar_subquery()))

    async def _add(self, table: Table, **values: Any) -> None:
        """Adds a row, unless it is there already."""
        await self._connection.execute(_unless_there(self._connection.dialect.name, table), values)

    async def _add_or_none(self, table: Table, **values: Any) -> Row[Any] | None:
        """Adds a row and returns it; None where it is there already."""
        added = await self._connection.execute(_unless_there(self._connection.dialect.name, table, back=True), values)
        return added.one_or_none()

    def _upsert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that knows ON CONFLICT in this engine's dialect."""
        return _upsert(self._connection.dialect.name, table)


def _upsert(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


@cache
def _unless_there(dialect: str, table: Table, *, back: bool = False) -> Insert:
    added = _upsert(dialect, table).on_conflict_do_nothing()
    return added.returning(table) if back else added


def _base64(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value).__name__)


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
