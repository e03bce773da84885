"""The schema, forward and back."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from store.engine import make_engine
from store.keyring import Keyring
from store.migrate import MigrationRefused, head, migrate
from store.store import SCHEMA, OlderSchema, Store
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


def test_revisions_compare_as_text() -> None:
    names = sorted(path.name for path in (Path(__file__).parents[2] / "store/migrations/versions").glob("[0-9]*.py"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))


async def test_a_schema_of_a_newer_release_is_left_as_it_is_and_used(database_url: str, keyring: Keyring) -> None:
    engine = make_engine(database_url)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await engine.dispose()
    assert await migrate(database_url) == "9999"
    with pytest.raises(MigrationRefused, match="9999"):
        await migrate(database_url, "0013")
    store = await Store.open(database_url, keyring)
    assert not await store.is_current()
    await store.close()


@pytest.mark.parametrize(("revision", "told"), [("base", "no tables"), ("0010", "0010")])
async def test_an_older_schema_is_refused_before_anything_fails_on_it(
    database_url: str, keyring: Keyring, revision: str, told: str
) -> None:
    await migrate(database_url, revision)
    with pytest.raises(OlderSchema, match=told):
        await Store.open(database_url, keyring)
    with pytest.raises(MigrationRefused, match="9999"):
        await migrate(database_url, "9999")


async def test_suppressions_of_the_first_schema_live_on_and_survive_the_way_back(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'a.db'}"
    await migrate(url, "0001")
    engine = make_engine(url)
    async with engine.begin() as connection:
        for number, cause in enumerate(("hard_bounce", "complaint")):
            await connection.execute(
                text("INSERT INTO suppression VALUES ('acme', :hash, :cause, :since, 'e')"),
                {"hash": "a" * 64, "cause": cause, "since": number},
            )
    await migrate(url)
    async with engine.begin() as connection:
        rows = await connection.execute(
            text("SELECT cause, scope, cursor, first_seen_at, last_seen_at FROM suppression ORDER BY cursor")
        )
        assert [tuple(row) for row in rows] == [
            ("hard_bounce", "workspace", 1, 0, 0),
            ("complaint", "workspace", 2, 1, 1),
        ]
        assert await connection.scalar(text("SELECT last_cursor FROM suppression_feed")) == 2
        await connection.execute(text("UPDATE suppression SET lifted_at = 5 WHERE cause = 'hard_bounce'"))
    await migrate(url, "0001")
    async with engine.begin() as connection:
        rows = await connection.execute(text("SELECT cause, since FROM suppression"))
        assert [tuple(row) for row in rows] == [("complaint", 1)]
    await engine.dispose()


async def test_moments_of_withdrawals_go_into_a_place_of_their_own_and_back(database_url: str) -> None:
    await migrate(database_url, "0013")
    engine = make_engine(database_url)
    rows = {"withdrawn": 7, "pushed": 8}
    insert = text(
        "INSERT INTO suppression (workspace_id, recipient_hash, cause, scope, cursor, push_state, pushed_at)"
        " VALUES ('acme', :state, 'manual', 'workspace', :moment, :state, :moment)"
    )
    moments = text("SELECT push_state, pushed_at, withdrawn_at FROM suppression ORDER BY cursor")
    async with engine.begin() as connection:
        for state, moment in rows.items():
            await connection.execute(insert, {"state": state, "moment": moment})
    await migrate(database_url)
    async with engine.begin() as connection:
        assert [tuple(row) for row in await connection.execute(moments)] == [("withdrawn", 7, 7), ("pushed", 8, None)]
        await connection.execute(text("UPDATE suppression SET pushed_at = 3 WHERE push_state = 'withdrawn'"))
    await migrate(database_url, "0013")
    async with engine.begin() as connection:
        found = await connection.execute(text("SELECT push_state, pushed_at FROM suppression ORDER BY cursor"))
        assert {row.push_state: row.pushed_at for row in found} == rows
    await engine.dispose()
