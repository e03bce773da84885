"""Sealing everything anew under the newest master key, so that an older one can be thrown away."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, ColumnElement, Row, Table, select, tuple_, update

from store.connectors import settings_place
from store.keyring import KeyringError
from store.repository import SealingRepository
from store.tables import (
    broadcast,
    connector,
    event,
    held_row,
    inbox,
    packet,
    preview,
    push,
    secret,
    suppression,
    template,
)

_BATCH = 200
"""Values of one transaction: templates and packets are the largest, at some megabytes."""


@dataclass(frozen=True)
class SealedColumn:
    """A column of sealed values, and the place that each of them is sealed for."""

    table: Table
    column: str
    place: Callable[[Row[Any]], str]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.table.name}.{self.column}"

    @property
    def sealed(self) -> Column[Any]:
        """The column itself."""
        return self.table.c[self.column]

    @property
    def key(self) -> list[Column[Any]]:
        """What a row is found by."""
        return list(self.table.primary_key)


SEALED = (
    SealedColumn(secret, "sealed", lambda row: f"secret.sealed.{row.name}"),
    SealedColumn(connector, "settings", lambda row: settings_place(row.workspace_id)),
    SealedColumn(connector, "api_key", lambda row: f"connector.api_key.{row.workspace_id}"),
    SealedColumn(connector, "pending_api_key", lambda row: f"connector.api_key.{row.workspace_id}"),
    SealedColumn(connector, "pending_webhook_token", lambda row: f"connector.webhook_token.{row.workspace_id}"),
    SealedColumn(push, "url", lambda row: f"push.url.{row.workspace_id}"),
    SealedColumn(push, "secret", lambda row: f"push.secret.{row.workspace_id}"),
    SealedColumn(template, "content", lambda row: f"template.content.{row.workspace_id}/{row.template_ref}"),
    SealedColumn(preview, "body", lambda row: f"preview.body.{row.workspace_id}/{row.send_id}"),
    SealedColumn(broadcast, "request", lambda row: f"broadcast.request.{row.workspace_id}/{row.broadcast_id}"),
    SealedColumn(broadcast, "recipients", lambda row: f"broadcast.rows.{row.workspace_id}/{row.broadcast_id}"),
    SealedColumn(held_row, "row", lambda row: f"held_row.row.{row.workspace_id}/{row.broadcast_id}/{row.audience_row}"),
    SealedColumn(suppression, "identity", lambda row: f"suppression.identity.{row.workspace_id}/{row.recipient_hash}"),
    SealedColumn(packet, "body", lambda row: f"packet.body.{row.workspace_id}/{row.key}"),
    SealedColumn(inbox, "body", lambda row: f"inbox.body.{row.workspace_id}/{row.event_id}"),
    SealedColumn(event, "body", lambda row: f"event.body.{row.workspace_id}/{row.event_id}"),
)
"""Every one of them; a test holds this against the tables."""


@dataclass
class Resealed:
    """What was done. `unreadable` are values that no key of the ring opens: they stay as they are."""

    done: Counter[str] = field(default_factory=Counter[str])
    unreadable: Counter[str] = field(default_factory=Counter[str])


class Resealing(SealingRepository):
    """One batch a transaction, so that nobody waits for long. Broken off, begin again: what is done is passed over."""

    async def batch(self, column: SealedColumn, after: Sequence[Any] | None, tally: Resealed) -> Sequence[Any] | None:
        """The next rows in the order of their keys; the last one's key, and None at the end."""
        wanted: list[ColumnElement[bool]] = [column.sealed.is_not(None)]
        if after is not None:
            wanted.append(tuple_(*column.key) > tuple_(*after))
        rows = (
            await self._connection.execute(select(column.table).where(*wanted).order_by(*column.key).limit(_BATCH))
        ).all()
        for row in rows:
            stored: bytes | str = getattr(row, column.column)
            try:
                fresh = self._fresh(stored, column.place(row))
            except KeyringError:
                tally.unreadable[column.name] += 1
                continue
            if fresh is None:
                continue
            found_by = [part == getattr(row, part.name) for part in column.key]
            # Unless somebody has written it anew since it was read.
            done = await self._connection.execute(
                update(column.table).where(*found_by, column.sealed == stored).values({column.column: fresh})
            )
            tally.done[column.name] += done.rowcount
        return [getattr(rows[-1], part.name) for part in column.key] if rows else None

    def _fresh(self, stored: bytes | str, place: str) -> bytes | str | None:
        """The value under the newest key; None where it is already. Text that was plain is sealed on the way."""
        if isinstance(stored, str):
            return None if self._is_current_text(stored) else self._seal_text(self._open_text(stored, place), place)
        if self._keyring.is_current(stored):
            return None
        return self._keyring.seal(self._keyring.open(stored, place), place)
