"""Connectors: settings, state, what the last look found, and the sealed API key."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr, TypeAdapter
from sqlalchemy import case, null, select, update

from contracts.channel import Catalog
from contracts.connector import ConnectorSettings, ConnectorState, ConnectorStatus
from contracts.finding import Finding
from store.repository import SealingRepository
from store.tables import connector

WHICHEVER = "whichever"
_FINDINGS = TypeAdapter(list[Finding])


@dataclass(frozen=True)
class ConnectorRow:
    """One installation. `api_key` never leaves the process that read it."""

    workspace_id: str
    state: ConnectorState
    reason: str | None
    settings: ConnectorSettings
    api_key: SecretStr | None
    changed_at: datetime
    catalog: Catalog
    findings: list[Finding]
    checked_at: datetime | None
    last_webhook_at: datetime | None

    def status(self) -> ConnectorStatus:
        """As admins and GenieOS read it. Before the first settings came into force there are none to show."""
        return ConnectorStatus(
            workspace_id=self.workspace_id,
            state=self.state,
            refused=self.state is ConnectorState.VALIDATING and self.reason is not None,
            reason=self.reason,
            settings=None if self.state is ConnectorState.VALIDATING else self.settings,
            changed_at=self.changed_at,
            findings=self.findings,
            checked_at=self.checked_at,
            last_webhook_at=self.last_webhook_at,
        )


@dataclass(frozen=True)
class OfferedKey:
    """A key to check. `offer` names it where it is not in force yet."""

    api_key: SecretStr
    offer: str | None


class Connectors(SealingRepository):
    """Queries over connectors."""

    async def get(self, workspace_id: str) -> ConnectorRow | None:
        """The connector of a workspace, with the key in force."""
        row = (
            await self._connection.execute(select(connector).where(connector.c.workspace_id == workspace_id))
        ).one_or_none()
        if row is None:
            return None
        return ConnectorRow(
            workspace_id=row.workspace_id,
            state=ConnectorState(row.state),
            reason=row.reason,
            settings=ConnectorSettings.model_validate_json(self._open_text(row.settings, settings_place(workspace_id))),
            api_key=self._open(row.api_key, workspace_id),
            changed_at=row.changed_at,
            catalog=Catalog() if row.catalog is None else Catalog.model_validate_json(row.catalog),
            findings=[] if row.findings is None else _FINDINGS.validate_json(row.findings),
            checked_at=row.checked_at,
            last_webhook_at=row.last_webhook_at,
        )

    # ── keys and settings that are to come into force ─────────────────────────────────────────────────────────────

    async def offer(self, workspace_id: str, settings: ConnectorSettings, api_key: SecretStr) -> None:
        """Keeps a key that is still to be checked. A connector that is in force goes on with what it has; of one that
        never was, it is forgotten why it was refused."""
        values = {
            "workspace_id": workspace_id,
            "state": ConnectorState.VALIDATING,
            "settings": self._sealed(workspace_id, settings),
            "pending_api_key": self._keyring.seal(api_key.get_secret_value().encode(), _place(workspace_id)),
            "changed_at": self._clock(),
        }
        reason = case((connector.c.state == ConnectorState.VALIDATING.value, null()), else_=connector.c.reason)
        await self._connection.execute(
            self._upsert(connector)
            .values(values)
            .on_conflict_do_update(
                index_elements=[connector.c.workspace_id],
                set_={"pending_api_key": values["pending_api_key"], "reason": reason},
            )
        )

    async def offered_key(self, workspace_id: str) -> OfferedKey | None:
        """The key to check: the one on offer, else the one in force."""
        row = (
            await self._connection.execute(
                select(connector.c.pending_api_key, connector.c.api_key).where(connector.c.workspace_id == workspace_id)
            )
        ).one_or_none()
        if row is None:
            return None
        key = self._open(row.pending_api_key or row.api_key, workspace_id)
        return None if key is None else OfferedKey(key, _name(row.pending_api_key))

    async def withdraw_offer(self, workspace_id: str, offer: str | None, reason: str) -> None:
        """The key on offer, if it is still that one, was refused: what is in force stays, and no later change picks the
        refused key up. Without an `offer`, whichever is there. A connector that never was in force keeps the reason."""
        pending, _ = await self._sealed_keys(workspace_id)
        if offer in {None, _name(pending)}:
            await self._set(workspace_id, pending_api_key=None)
        await self._connection.execute(
            update(connector)
            .where(connector.c.workspace_id == workspace_id, connector.c.state == ConnectorState.VALIDATING.value)
            .values(reason=reason, changed_at=self._clock())
        )

    async def adopt(
        self,
        workspace_id: str,
        settings: ConnectorSettings,
        state: ConnectorState,
        *,
        offer: str | None = WHICHEVER,
        reason: str | None = None,
        findings: Sequence[Finding] = (),
    ) -> bool:
        """Puts checked settings, and the key on offer that was checked, into force; False where that one is neither on
        offer any more nor in force already. Without an `offer` (None) the key in force stays."""
        pending, current = await self._sealed_keys(workspace_id)
        if offer is not None and offer in {WHICHEVER, _name(pending)} and pending is not None:
            await self._set(workspace_id, api_key=pending, pending_api_key=None)
        elif offer not in {None, WHICHEVER, _name(current)}:
            return False
        await self._set(workspace_id, settings=self._sealed(workspace_id, settings), changed_at=self._clock())
        await self.note_look(workspace_id, state, reason, findings)
        return True

    # ── how it stands ─────────────────────────────────────────────────────────────────────────────────────────────

    async def set_state(self, workspace_id: str, state: ConnectorState, reason: str | None = None) -> None:
        """Records where the installation stands, and why."""
        await self._set(workspace_id, state=state, reason=reason, changed_at=self._clock())

    async def note_look(
        self, workspace_id: str, state: ConnectorState, reason: str | None, findings: Sequence[Finding]
    ) -> None:
        """What a look at the connector found. `changed_at` moves where the state does."""
        now = self._clock()
        await self._connection.execute(
            update(connector)
            .where(connector.c.workspace_id == workspace_id, connector.c.state != state.value)
            .values(changed_at=now)
        )
        kept = _FINDINGS.dump_json(list(findings)).decode()
        await self._set(workspace_id, state=state, reason=reason, findings=kept, checked_at=now)

    async def keep_catalog(self, workspace_id: str, catalog: Catalog) -> None:
        """The project's channels and message types as just read."""
        await self._set(workspace_id, catalog=catalog.model_dump_json())

    async def webhook_came(self, workspace_id: str) -> bool:
        """Notes the time. True for the first one that was awaited: `awaiting_webhook` becomes `active`."""
        now = self._clock()
        await self._set(workspace_id, last_webhook_at=now)
        done = await self._connection.execute(
            update(connector)
            .where(connector.c.workspace_id == workspace_id, connector.c.state == ConnectorState.AWAITING_WEBHOOK.value)
            .values(state=ConnectorState.ACTIVE, reason=None, changed_at=now)
            .returning(connector.c.workspace_id)
        )
        return done.one_or_none() is not None

    async def forget_secrets(self, workspace_id: str) -> None:
        """Drops the API key in force and the one on offer. Settings stay, for a reinstall to compare with."""
        await self._set(
            workspace_id, api_key=None, pending_api_key=None, pending_webhook_token=None, last_webhook_at=None
        )

    async def workspaces(self) -> list[str]:
        """Every workspace with a connector."""
        return list(await self._connection.scalars(select(connector.c.workspace_id).order_by("workspace_id")))

    async def _set(self, workspace_id: str, **values: object) -> None:
        await self._connection.execute(update(connector).where(connector.c.workspace_id == workspace_id).values(values))

    async def _sealed_keys(self, workspace_id: str) -> tuple[bytes | None, bytes | None]:
        """The one on offer and the one in force, locked until the transaction ends."""
        row = (
            await self._connection.execute(
                select(connector.c.pending_api_key, connector.c.api_key)
                .where(connector.c.workspace_id == workspace_id)
                .with_for_update()
            )
        ).one_or_none()
        return (None, None) if row is None else (row.pending_api_key, row.api_key)

    def _sealed(self, workspace_id: str, settings: ConnectorSettings) -> str:
        """Senders are addresses, of people it may be."""
        return self._seal_text(settings.model_dump_json(), settings_place(workspace_id))

    def _open(self, sealed: bytes | None, workspace_id: str) -> SecretStr | None:
        return None if sealed is None else SecretStr(self._keyring.open(sealed, _place(workspace_id)).decode())


def _name(sealed: bytes | None) -> str | None:
    """Names a key on offer without telling it: sealed values are different each time, the same key's too."""
    return None if sealed is None else hashlib.sha256(sealed).hexdigest()


def _place(workspace_id: str) -> str:
    return f"connector.api_key.{workspace_id}"


def settings_place(workspace_id: str) -> str:
    """Where settings are sealed for."""
    return f"connector.settings.{workspace_id}"
