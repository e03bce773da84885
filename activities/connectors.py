"""Connectors in force, for activities: settings, and a client that holds the key."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import SecretStr

from contracts.channel import Catalog
from contracts.connector import ConnectorSettings, ConnectorState, DataCenter
from contracts.errors import ConnectorError, ErrorCode
from iterable.client import IterableClient
from store.store import Store

FRESH_SECONDS = 2.0
"""How long a process may go on with settings that were changed elsewhere; a lookup for every call would cost more."""

ClientFactory = Callable[[DataCenter, SecretStr], IterableClient]
_OFF = {
    ConnectorState.PAUSED: "The connector of this workspace is paused",
    ConnectorState.UNINSTALLED: "The connector of this workspace was uninstalled",
}


@dataclass(frozen=True)
class InForce:
    """A connector whose key may be used now. New sends need `state` to be none of the two that are off."""

    settings: ConnectorSettings
    iterable: IterableClient
    catalog: Catalog = field(default_factory=Catalog)
    state: ConnectorState = ConnectorState.ACTIVE


@dataclass
class _Entry:
    checked: float
    opened_with: tuple[DataCenter, str]
    in_force: InForce


class InstalledConnectors:
    """Hands out connectors by workspace, one client each, until its key changes."""

    def __init__(self, store: Store, make_client: ClientFactory) -> None:
        self._store = store
        self.make_client = make_client
        """For a key that is not in force yet."""
        self._entries: dict[str, _Entry] = {}
        self._retired: list[IterableClient] = []
        self._lock = asyncio.Lock()

    async def get_to_begin(self, workspace_id: str) -> InForce:
        """For a new send. As `get`, and raises `connector_disabled` where the connector is paused or uninstalled."""
        connector = await self.get(workspace_id)
        if connector.state in _OFF:
            raise ConnectorError(ErrorCode.CONNECTOR_DISABLED, _OFF[connector.state])
        return connector

    async def get(self, workspace_id: str) -> InForce:
        """For what is under way, which ends as it will, also while the connector is paused or being uninstalled. Raises
        `ConnectorError` where the workspace has no connector, or its key is forgotten."""
        entry = self._entries.get(workspace_id)
        if entry is not None and time.monotonic() - entry.checked < FRESH_SECONDS:
            return entry.in_force
        async with self._lock:
            return await self._refresh(workspace_id)

    async def _refresh(self, workspace_id: str) -> InForce:
        async with self._store.read() as tx:
            row = await tx.connectors.get(workspace_id)
        if row is not None and row.state is ConnectorState.UNINSTALLED and row.api_key is None:
            raise ConnectorError(ErrorCode.CONNECTOR_DISABLED, _OFF[row.state])
        if row is None or row.state is ConnectorState.VALIDATING or row.api_key is None:
            raise ConnectorError(ErrorCode.CONNECTOR_NOT_INSTALLED, "This workspace has no connector in force")
        wanted = (row.settings.data_center, row.api_key.get_secret_value())
        entry = self._entries.get(workspace_id)
        if entry is not None and entry.opened_with == wanted:
            client = entry.in_force.iterable
        else:
            if entry is not None:  # a call may be under way on it, so it is closed with the process
                self._retired.append(entry.in_force.iterable)
            client = self.make_client(row.settings.data_center, row.api_key)
        in_force = InForce(row.settings, client, row.catalog, row.state)
        self._entries[workspace_id] = _Entry(time.monotonic(), wanted, in_force)
        return in_force

    async def close(self) -> None:
        """Closes all clients. Call once no activity runs."""
        for client in [*self._retired, *(entry.in_force.iterable for entry in self._entries.values())]:
            await client.aclose()
        self._entries.clear()
        self._retired.clear()
