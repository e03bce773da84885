"""SQLite takes one writer at a time: nobody keeps the others out for ever, and nobody is passed over."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from store import store as store_module
from store.engine import make_engine
from store.keyring import Keyring
from store.store import Store

SLOW = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) SELECT count(*) FROM n"
"""A second's work before the first row."""


@pytest.fixture
async def sqlite(sqlite_url: str, keyring: Keyring) -> AsyncGenerator[Store]:
    opened = await Store.open(sqlite_url, keyring)
    yield opened
    await opened.close()


async def test_a_postgresql_that_is_gone_without_a_word_is_noticed(postgres_url: str) -> None:
    for url, told in ((postgres_url, "20000"), (f"{postgres_url}?tcp_user_timeout=7000", "7000")):
        engine = make_engine(url)
        async with engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            asked = driver.info.get_parameters()
        await engine.dispose()
        assert (asked["tcp_user_timeout"], asked["connect_timeout"], asked["keepalives_idle"]) == (told, "10", "10")


async def test_a_transaction_that_was_cancelled_keeps_nobody_out(sqlite_url: str) -> None:
    engine = make_engine(sqlite_url)

    async def read_in_a_transaction() -> None:
        async with engine.begin() as connection:
            await connection.execute(text(SLOW))

    reading = asyncio.create_task(read_in_a_transaction())
    await asyncio.sleep(0.1)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError) as kept:  # its traceback holds the cursor
        await reading
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite+aiosqlite:///"), isolation_level=None, timeout=3)
    other.execute("BEGIN IMMEDIATE")
    other.close()
    assert kept.tb is not None
    await engine.dispose()


async def test_whoever_comes_first_writes_first(sqlite: Store) -> None:
    entered: list[int] = []

    async def enter(number: int) -> None:
        async with sqlite.begin():
            entered.append(number)
            await asyncio.sleep(0.001)

    await asyncio.gather(*(enter(number) for number in range(100)))
    assert entered == list(range(100))


async def test_nobody_waits_for_a_turn_for_ever(sqlite: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_PATIENCE_SECONDS", 0.1)
    async with sqlite.begin():
        with pytest.raises(SQLAlchemyError, match="no turn"):
            async with sqlite.begin():
                pass
    async with sqlite.begin():
        pass
