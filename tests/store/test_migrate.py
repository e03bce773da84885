"""The schema, forward and back."""

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from store.migrate import head, migrate
from store.store import SCHEMA, make_engine
from store.tables import metadata


async def test_migrations_make_exactly_the_tables_of_the_code(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'a.db'}"
    await migrate(url)
    engine = make_engine(url)
    async with engine.connect() as connection:
        differences = await connection.run_sync(lambda c: compare_metadata(MigrationContext.configure(c), metadata))
    await engine.dispose()
    assert differences == []


async def test_migrating_twice_changes_nothing_and_back_leaves_nothing(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'a.db'}"
    await migrate(url)
    await migrate(url)
    await migrate(url, "base")
    engine = make_engine(url)
    async with engine.connect() as connection:
        left = await connection.run_sync(lambda c: inspect(c).get_table_names())
    await engine.dispose()
    assert set(left) <= {"alembic_version"}


def test_the_code_knows_the_newest_migration() -> None:
    assert head() == SCHEMA
