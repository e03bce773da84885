"""What the tests of commands share: a database that a command finds in its environment."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from store.keyring import Keyring, new_key_text, parse_keys
from store.store import Store

T = TypeVar("T")
InStore = Callable[[Callable[[Store], Awaitable[T]]], T]


@pytest.fixture
def in_store(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> InStore[T]:
    """Does something in the store that commands open, and closes it: a command runs in a loop of its own."""
    key = new_key_text().strip()
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("CONNECTOR_MASTER_KEY", key)

    async def do(work: Callable[[Store], Awaitable[T]]) -> T:
        store = await Store.open(sqlite_url, Keyring(parse_keys(key)))
        try:
            return await work(store)
        finally:
            await store.close()

    return lambda work: asyncio.run(do(work))
