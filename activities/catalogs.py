"""The channels and message types of Iterable projects, kept with their connectors."""

from datetime import timedelta

import structlog

from activities.connectors import InstalledConnectors
from contracts.channel import Catalog, Channel, MessageType
from contracts.errors import ConnectorError
from iterable.client import IterableClient
from iterable.errors import IterableError
from store.store import Store

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_REFRESHES_PER_SECOND = 1 / 60
"""A project's events may name ids that do not exist any more: each would otherwise cost two calls."""


async def read_catalog(client: IterableClient) -> Catalog:
    """What Iterable has now. Raises `IterableError`."""
    channels = [
        Channel(id=one.id, name=one.name, medium=one.message_medium, kind=one.channel_type)
        for one in await client.channels.all()
    ]
    message_types = [
        MessageType(id=one.id, name=one.name, channel_id=one.channel_id) for one in await client.message_types.all()
    ]
    return Catalog(channels=channels, message_types=message_types)


class Catalogs:
    """Hands out catalogs, and reads one anew where it lacks what an event names."""

    def __init__(self, store: Store, connectors: InstalledConnectors) -> None:
        self._store = store
        self._connectors = connectors

    async def covering(self, workspace_id: str, channel_ids: set[int], message_type_ids: set[int]) -> Catalog:
        """The catalog, with these ids where Iterable has them. Read anew at most once a minute by all workers together;
        where Iterable cannot be asked, as it was: an event must not wait for that."""
        async with self._store.read() as tx:
            row = await tx.connectors.get(workspace_id)
        catalog = Catalog() if row is None else row.catalog
        if catalog.covers(channel_ids, message_type_ids):
            return catalog
        async with self._store.begin() as tx:
            _, now = await tx.paces.reserve(workspace_id, "catalog", _REFRESHES_PER_SECOND, timedelta(0))
        if not now:
            return catalog
        try:
            fresh = await read_catalog((await self._connectors.get(workspace_id)).iterable)
        except (IterableError, ConnectorError) as error:
            log.warning("catalog.not_read", workspace=workspace_id, error=type(error).__name__)
            return catalog
        async with self._store.begin() as tx:
            await tx.connectors.keep_catalog(workspace_id, fresh)
        return fresh
