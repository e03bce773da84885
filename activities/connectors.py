"""Connectors in force, for activities: settings, and a client that holds the key."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr

from contracts.connector import ConnectorSettings, ConnectorState, DataCenter
from contracts.errors import ConnectorError, ErrorCode
from iterable.client import IterableClient
from store.store import Store

_FRESH_SECONDS = 2.0
"""How long a process may go on with settings that were changed elsewhere; a lookup for every call would cost more."""

ClientFactory = Callable[[DataCenter, SecretStr], IterableClient]
_NOT_INSTALLED = frozenset({ConnectorState.VALIDATING, ConnectorState.UNINSTALLED})


@dataclass(frozen=True)
class InForce:
    """A connector that may be used now."""

    settings: ConnectorSettings
    iterable: IterableClient


@dataclass
class _Entry:
    changed_at: datetime
    checked: float
    in_force: InForce


class InstalledConnectors:
    """Hands out connectors by workspace, one client each, until the connector changes."""

    def __init__(self, store: Store, make_client: ClientFactory) -> None:
        self._store = store
        self._make_client = make_client
        self._entries: dict[str, _Entry] = {}
        self._lock = asyncio.Lock()

    async def get(self, workspace_id: str) -> InForce:
        """Raises `ConnectorError` where the workspace has no connector in force."""
        entry = self._entries.get(workspace_id)
        if entry is not None and time.monotonic() - entry.checked < _FRESH_SECONDS:
            return entry.in_force
        async with self._lock:
            return await self._refresh(workspace_id)

    async def _refresh(self, workspace_id: str) -> InForce:
        async with self._store.read() as tx:
            row = await tx.connectors.get(workspace_id)
        if row is None or row.state in _NOT_INSTALLED or row.api_key is None:
            raise ConnectorError(ErrorCode.CONNECTOR_NOT_INSTALLED, "This workspace has no connector in force")
        entry = self._entries.get(workspace_id)
        if entry is None or entry.changed_at != row.changed_at:
            # The old client is not closed: a call may be under way on it. Its idle connections expire by themselves.
            client = self._make_client(row.settings.data_center, row.api_key)
            entry = _Entry(row.changed_at, 0.0, InForce(row.settings, client))
            self._entries[workspace_id] = entry
        entry.checked = time.monotonic()
        return entry.in_force

    async def close(self) -> None:
        """Closes the clients in use. Call once no activity runs."""
        for entry in self._entries.values():
            await entry.in_force.iterable.aclose()
        self._entries.clear()
