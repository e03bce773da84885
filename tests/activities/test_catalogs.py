"""Catalogs: read anew where an event names what is not in them, and at most once a minute."""

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from pydantic import SecretStr

from activities import catalogs as module
from activities.catalogs import Catalogs
from activities.connectors import InstalledConnectors
from contracts.channel import Catalog, Channel
from contracts.connector import ConnectorSettings, ConnectorState
from iterable.client import IterableClient
from iterable.errors import NotConnected
from store.keyring import Keyring
from store.store import Store

SETTINGS = ConnectorSettings(data_center="us")
FRESH = Catalog(channels=[Channel(id=2, name="news", medium="Email", kind="Marketing")])


class Iterable:
    """Stands for the project: counts how often its catalog is read."""

    def __init__(self) -> None:
        self.reads = 0
        self.away = False

    async def read(self, client: IterableClient) -> Catalog:
        self.reads += 1
        if self.away:
            raise NotConnected("GET /api/channels")
        return FRESH


@pytest.fixture
def iterable(monkeypatch: pytest.MonkeyPatch) -> Iterable:
    one = Iterable()
    monkeypatch.setattr(module, "read_catalog", one.read)
    return one


async def test_an_unknown_channel_has_it_read_anew_at_most_once_a_minute(
    sqlite_url: str, keyring: Keyring, iterable: Iterable
) -> None:
    now = [datetime(2026, 1, 2, tzinfo=UTC)]
    store = await Store.open(sqlite_url, keyring, lambda: now[0])
    connectors = InstalledConnectors(store, lambda data_center, key: cast("IterableClient", None))
    async with store.begin() as tx:
        await tx.connectors.offer("acme", SETTINGS, SecretStr("key"))
        await tx.connectors.adopt("acme", SETTINGS, ConnectorState.ACTIVE)
    catalogs = Catalogs(store, connectors)

    iterable.away = True
    assert await catalogs.covering("acme", {2}, set()) == Catalog()  # an event does not wait for Iterable
    iterable.away = False
    assert await catalogs.covering("acme", {2}, set()) == Catalog()
    assert iterable.reads == 1
    now[0] += timedelta(seconds=61)
    assert await catalogs.covering("acme", {2}, set()) == FRESH
    assert await catalogs.covering("acme", {2}, set()) == FRESH
    assert iterable.reads == 2
    now[0] += timedelta(seconds=30)
    assert await catalogs.covering("acme", {99}, set()) == FRESH
    assert iterable.reads == 2
    await store.close()
