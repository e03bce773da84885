"""Who may post a workspace's webhooks: hashes of tokens, and how many requests were refused."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import SecretStr
from sqlalchemy import delete, func, select, type_coerce, update

from contracts.connector import ConnectorSettings
from store.connectors import settings_place
from store.repository import SealingRepository
from store.tables import Moment, connector, refused_webhook, webhook_token

RefusedBecause = Literal["wrong_token", "not_allowlisted"]


def token_hash(token: str | bytes) -> str:
    """What is kept. No salt: a random token of 256 bits cannot be guessed."""
    return hashlib.sha256(token if isinstance(token, bytes) else token.encode()).hexdigest()


@dataclass(frozen=True)
class Access:
    """What a request is checked against."""

    token_hashes: list[str]
    """Two of them while one is being rotated; none for an unknown workspace."""
    ip_allowlist: list[str]


@dataclass(frozen=True)
class RefusedWebhooks:
    """Requests that were refused for one reason since `first_at`."""

    reason: str
    count: int
    first_at: datetime
    last_at: datetime


class WebhookAccess(SealingRepository):
    """Queries over webhook tokens."""

    async def access(self, workspace_id: str) -> Access:
        """The tokens that are valid now, and the networks that are allowed."""
        sealed = await self._connection.scalar(
            select(connector.c.settings).where(connector.c.workspace_id == workspace_id)
        )
        networks: list[str] = []
        if sealed is not None:
            settings = ConnectorSettings.model_validate_json(self._open_text(sealed, settings_place(workspace_id)))
            networks = settings.ip_allowlist
        return Access(await self.token_hashes(workspace_id), networks)

    async def token_hashes(self, workspace_id: str) -> list[str]:
        """Hashes of the tokens that are valid now."""
        rows = await self._connection.scalars(
            select(webhook_token.c.token_hash).where(
                webhook_token.c.workspace_id == workspace_id,
                (webhook_token.c.expires_at.is_(None)) | (webhook_token.c.expires_at > self._clock()),
            )
        )
        return list(rows)

    async def add_token(self, workspace_id: str, hash_: str) -> None:
        """Makes a token valid, beside those that are. What was refused before counts no longer."""
        await self.forget_refused(workspace_id, self._clock() + timedelta(microseconds=1))
        await self._add(webhook_token, workspace_id=workspace_id, token_hash=hash_, created_at=self._clock())

    async def end_others(self, workspace_id: str, hash_: str, seconds: int) -> datetime:
        """Lets the tokens that the workspace had before this one expire in so many seconds, unless they do sooner;
        removes those that have. When the last of them does. A newer one stays: somebody rotates at the same time."""
        at = self._clock() + timedelta(seconds=seconds)
        mine = webhook_token.c.workspace_id == workspace_id
        made_at = select(webhook_token.c.created_at).where(mine, webhook_token.c.token_hash == hash_).scalar_subquery()
        others = mine & (webhook_token.c.created_at < made_at)
        await self._connection.execute(delete(webhook_token).where(others, webhook_token.c.expires_at <= self._clock()))
        later = webhook_token.c.expires_at.is_(None) | (webhook_token.c.expires_at > at)
        await self._connection.execute(update(webhook_token).where(others, later).values(expires_at=at))
        last = await self._connection.scalar(
            select(type_coerce(func.max(webhook_token.c.expires_at), Moment)).where(others)
        )
        return last or self._clock()

    async def hand_over(self, workspace_id: str, token: SecretStr) -> None:
        """Makes a token valid, and keeps it, sealed, until Iterable's webhook has been told to send it."""
        await self.add_token(workspace_id, token_hash(token.get_secret_value()))
        sealed = self._keyring.seal(token.get_secret_value().encode(), _place(workspace_id))
        await self._connection.execute(
            update(connector).where(connector.c.workspace_id == workspace_id).values(pending_webhook_token=sealed)
        )

    async def handed_over(self, workspace_id: str) -> SecretStr | None:
        """The token that Iterable's webhook is still to be told of."""
        sealed = await self._connection.scalar(
            select(connector.c.pending_webhook_token).where(connector.c.workspace_id == workspace_id)
        )
        return None if sealed is None else SecretStr(self._keyring.open(sealed, _place(workspace_id)).decode())

    async def comes_with(self, workspace_id: str, hash_: str) -> bool:
        """Whether webhooks have come since this token was made, and no other one is valid: somebody set it by hand."""
        made_at = await self._connection.scalar(
            select(webhook_token.c.created_at).where(
                webhook_token.c.workspace_id == workspace_id, webhook_token.c.token_hash == hash_
            )
        )
        last_at = await self._connection.scalar(
            select(connector.c.last_webhook_at).where(connector.c.workspace_id == workspace_id)
        )
        if made_at is None or last_at is None or last_at < made_at:
            return False
        return await self.token_hashes(workspace_id) == [hash_]

    async def withdraw(self, workspace_id: str, token: SecretStr) -> None:
        """Takes a token back that nobody has been shown, unless Iterable's webhook sends it by now. Until the
        transaction ends nobody can note that it does."""
        if not await self._still_waits(workspace_id, token):
            return
        await self._connection.execute(
            delete(webhook_token).where(
                webhook_token.c.workspace_id == workspace_id,
                webhook_token.c.token_hash == token_hash(token.get_secret_value()),
            )
        )
        await self._forget_pending(workspace_id)

    async def taken_over(self, workspace_id: str, token: SecretStr) -> None:
        """Iterable sends it: from here on only its hash is known. One that was handed over meanwhile waits on."""
        if await self._still_waits(workspace_id, token):
            await self._forget_pending(workspace_id)

    async def _still_waits(self, workspace_id: str, token: SecretStr) -> bool:
        """Whether it is this one that Iterable is to be told of, until the transaction ends."""
        await self._connection.execute(
            select(connector.c.workspace_id).where(connector.c.workspace_id == workspace_id).with_for_update()
        )
        return await self.handed_over(workspace_id) == token

    async def _forget_pending(self, workspace_id: str) -> None:
        await self._connection.execute(
            update(connector).where(connector.c.workspace_id == workspace_id).values(pending_webhook_token=None)
        )

    async def forget_tokens(self, workspace_id: str) -> None:
        """No webhook of the workspace is taken any more."""
        await self._connection.execute(delete(webhook_token).where(webhook_token.c.workspace_id == workspace_id))

    async def count_refused(self, counts: Mapping[tuple[str, RefusedBecause], int]) -> None:
        """Adds to the counts of (workspace, reason)."""
        now = self._clock()
        for (workspace_id, reason), count in counts.items():
            insert = self._upsert(refused_webhook).values(
                workspace_id=workspace_id, reason=reason, requests=count, first_at=now, last_at=now
            )
            await self._connection.execute(
                insert.on_conflict_do_update(
                    index_elements=[refused_webhook.c.workspace_id, refused_webhook.c.reason],
                    set_={"requests": refused_webhook.c.requests + count, "last_at": now},
                )
            )

    async def refused(self, workspace_id: str) -> list[RefusedWebhooks]:
        """What was refused, by reason."""
        rows = await self._connection.execute(
            select(refused_webhook)
            .where(refused_webhook.c.workspace_id == workspace_id)
            .order_by(refused_webhook.c.reason)
        )
        return [RefusedWebhooks(row.reason, row.requests, row.first_at, row.last_at) for row in rows]

    async def forget_refused(self, workspace_id: str, before: datetime) -> None:
        """Begins to count anew for reasons that have not been met since."""
        await self._connection.execute(
            delete(refused_webhook).where(
                refused_webhook.c.workspace_id == workspace_id, refused_webhook.c.last_at < before
            )
        )


def _place(workspace_id: str) -> str:
    return f"connector.webhook_token.{workspace_id}"
