"""Connectors: settings, state, the sealed API key and the hashes of webhook tokens."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr
from sqlalchemy import select, update

from contracts.connector import ConnectorSettings, ConnectorState
from store.repository import SealingRepository
from store.tables import connector, webhook_token


@dataclass(frozen=True)
class ConnectorRow:
    """One installation. `api_key` never leaves the process that read it."""

    workspace_id: str
    state: ConnectorState
    reason: str | None
    settings: ConnectorSettings
    api_key: SecretStr | None
    changed_at: datetime


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
            settings=ConnectorSettings.model_validate_json(row.settings),
            api_key=self._open(row.api_key, workspace_id),
            changed_at=row.changed_at,
        )

    async def offer(self, workspace_id: str, settings: ConnectorSettings, api_key: SecretStr) -> None:
        """Keeps a key that is still to be checked. A connector that is in force goes on with what it has."""
        values = {
            "workspace_id": workspace_id,
            "state": ConnectorState.VALIDATING,
            "settings": settings.model_dump_json(),
            "pending_api_key": self._keyring.seal(api_key.get_secret_value().encode(), _place(workspace_id)),
            "changed_at": self._clock(),
        }
        await self._connection.execute(
            self._upsert(connector)
            .values(values)
            .on_conflict_do_update(
                index_elements=[connector.c.workspace_id], set_={"pending_api_key": values["pending_api_key"]}
            )
        )

    async def offered_key(self, workspace_id: str) -> SecretStr | None:
        """The key to check: the one on offer, else the one in force."""
        row = (
            await self._connection.execute(
                select(connector.c.pending_api_key, connector.c.api_key).where(connector.c.workspace_id == workspace_id)
            )
        ).one_or_none()
        return None if row is None else self._open(row.pending_api_key or row.api_key, workspace_id)

    async def adopt(self, workspace_id: str, settings: ConnectorSettings, state: ConnectorState) -> None:
        """Puts checked settings, and the key on offer, into force."""
        pending = await self._connection.scalar(
            select(connector.c.pending_api_key).where(connector.c.workspace_id == workspace_id)
        )
        values: dict[str, object] = {
            "settings": settings.model_dump_json(),
            "state": state,
            "reason": None,
            "changed_at": self._clock(),
        }
        if pending is not None:
            values |= {"api_key": pending, "pending_api_key": None}
        await self._connection.execute(update(connector).where(connector.c.workspace_id == workspace_id).values(values))

    async def set_state(self, workspace_id: str, state: ConnectorState, reason: str | None = None) -> None:
        """Records where the installation stands, and why."""
        await self._connection.execute(
            update(connector)
            .where(connector.c.workspace_id == workspace_id)
            .values(state=state, reason=reason, changed_at=self._clock())
        )

    async def note_refusal(self, workspace_id: str, reason: str) -> None:
        """Why a first installation did not come into force; one that is in force keeps its own reason."""
        await self._connection.execute(
            update(connector)
            .where(connector.c.workspace_id == workspace_id, connector.c.state == ConnectorState.VALIDATING.value)
            .values(reason=reason, changed_at=self._clock())
        )

    async def first_webhook_came(self, workspace_id: str) -> None:
        """`awaiting_webhook` becomes `active`; any other state stays."""
        await self._connection.execute(
            update(connector)
            .where(connector.c.workspace_id == workspace_id, connector.c.state == ConnectorState.AWAITING_WEBHOOK.value)
            .values(state=ConnectorState.ACTIVE, changed_at=self._clock())
        )

    async def add_webhook_token(self, workspace_id: str, token_hash: str, expires_at: datetime | None = None) -> None:
        """Makes a token valid. Only its SHA-256 is kept: the token has 256 random bits, so no salt is needed."""
        await self._connection.execute(
            self._upsert(webhook_token)
            .values(workspace_id=workspace_id, token_hash=token_hash, created_at=self._clock(), expires_at=expires_at)
            .on_conflict_do_nothing()
        )

    async def webhook_token_hashes(self, workspace_id: str) -> list[str]:
        """Hashes of the tokens that are valid now; two of them while one is being rotated."""
        rows = await self._connection.scalars(
            select(webhook_token.c.token_hash).where(
                webhook_token.c.workspace_id == workspace_id,
                (webhook_token.c.expires_at.is_(None)) | (webhook_token.c.expires_at > self._clock()),
            )
        )
        return list(rows)

    async def workspaces(self) -> list[str]:
        """Every workspace with a connector."""
        return list(await self._connection.scalars(select(connector.c.workspace_id).order_by("workspace_id")))

    def _open(self, sealed: bytes | None, workspace_id: str) -> SecretStr | None:
        return None if sealed is None else SecretStr(self._keyring.open(sealed, _place(workspace_id)).decode())


def _place(workspace_id: str) -> str:
    return f"connector.api_key.{workspace_id}"
