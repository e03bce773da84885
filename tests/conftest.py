"""Fixtures that every room's tests may use."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from store.keyring import Keyring, new_key_text, parse_keys
from store.migrate import migrate
from store.store import Store


@pytest.fixture
def keyring() -> Keyring:
    """A ring with one fresh key."""
    return Keyring(parse_keys(new_key_text()))


@pytest.fixture
async def store(tmp_path: Path, keyring: Keyring) -> AsyncGenerator[Store]:
    """An empty store on a real database."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'connector.db'}"
    await migrate(url)
    opened = await Store.open(url, keyring)
    yield opened
    await opened.close()
