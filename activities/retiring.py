"""Uninstalling: stop, let what is under way end, archive, forget."""

import asyncio
from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities.connectors import FRESH_SECONDS
from activities.failures import failures
from contracts.connector import ConnectorState, ConnectorStatus
from contracts.errors import ConnectorError, ErrorCode
from contracts.install import Retirement
from store.store import Store

UNINSTALLED = (
    "Uninstalled by an admin: new sends are refused with connector_disabled. Switch the webhook off in Iterable, if "
    "one is set up there."
)
_POLL_SECONDS = 2.0
_LONGEST_ATTEMPT = timedelta(days=1)
"""A send that was claimed longer ago and has not ended waits for its `send_at`, and is refused when it wakes up."""


class RetiringActivities:
    """What `InstallWorkflow` does to the world when its connector is uninstalled."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @activity.defn
    async def retire_connector(self, workspace_id: str) -> ConnectorStatus:
        """Stops new sends: they fail with `connector_disabled`. When it returns, every worker knows. Safe to repeat."""
        async with self._store.begin() as tx:
            await tx.connectors.set_state(workspace_id, ConnectorState.UNINSTALLED, UNINSTALLED)
        await asyncio.sleep(FRESH_SECONDS)
        async with self._store.read() as tx:
            row = await tx.connectors.get(workspace_id)
        with failures():
            if row is None:
                raise ConnectorError(ErrorCode.CONNECTOR_NOT_INSTALLED, "This workspace has no connector")
        return row.status()

    @activity.defn
    async def await_sends(self, retirement: Retirement) -> int:
        """Waits until no send is under way, or for as long as was asked; how many still were. Safe to repeat: the time
        runs from the activity's first start."""
        until = activity.info().scheduled_time + timedelta(seconds=retirement.wait_seconds)
        while True:
            async with self._store.read() as tx:
                left = await tx.signs.under_way(retirement.workspace_id, datetime.now(UTC) - _LONGEST_ATTEMPT)
            if left == 0 or datetime.now(UTC) >= until:
                return left
            await asyncio.sleep(_POLL_SECONDS)

    @activity.defn
    async def mark_shadows(self, workspace_id: str) -> None:
        """Marks every shadow that no send is under way for, so that `retire_shadows` archives its campaign. Safe to
        repeat."""
        async with self._store.begin() as tx:
            await tx.shadows.mark_idle(workspace_id, datetime.now(UTC) + timedelta(hours=1))

    @activity.defn
    async def forget_connector(self, retirement: Retirement) -> ConnectorStatus | None:
        """Forgets the API key, and the webhook tokens with it, where that was asked for, and keeps how it went. Safe to
        repeat."""
        async with self._store.begin() as tx:
            reason = f"{UNINSTALLED} {retirement.told}".strip()
            await tx.connectors.set_state(retirement.workspace_id, ConnectorState.UNINSTALLED, reason)
            if retirement.forget_key:
                await tx.connectors.forget_secrets(retirement.workspace_id)
                await tx.webhooks.forget_tokens(retirement.workspace_id)
            row = await tx.connectors.get(retirement.workspace_id)
        return None if row is None else row.status()
