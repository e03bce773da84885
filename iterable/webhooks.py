"""System webhooks: `/api/webhooks`.

They can be listed and changed here, but neither made nor deleted, and most of the events they report can only be
ticked in Iterable's UI.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from iterable.answer import AnswerModel
from iterable.calls import Calls
from iterable.request import Body, Request


class Webhook(AnswerModel):
    """A webhook, without the secrets it sends. Whether it reports bounces, complaints, unsubscribes, opens and clicks
    is not shown."""

    id: int
    endpoint: str
    enabled: bool
    auth_type: str | None = None
    blast_send_enabled: bool = False
    triggered_send_enabled: bool = False
    channel_ids: list[int] = []
    """Only of these channels; of all where it is empty [inferred]."""
    message_type_ids: list[int] = []


class _Header(Body):
    key: str
    value: Annotated[str, Field(repr=False)]


class _Change(Body):
    id: int
    endpoint: str | None
    enabled: bool | None
    auth_type: Literal["NoAuth", "Basic", "OAuth2"] | None
    auth_token: Annotated[str | None, Field(repr=False)]
    headers: list[_Header] | None
    blast_send_enabled: bool | None
    triggered_send_enabled: bool | None


class _Webhooks(AnswerModel):
    webhooks: list[Webhook]


class Webhooks:
    """Limits: unknown."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def all(self) -> list[Webhook]:
        """All webhooks. Read-only keys may not call this, so it proves a key that may also write (help centre)."""
        return (await self._calls.get(Request("GET", "/api/webhooks"), _Webhooks)).webhooks

    async def update(
        self,
        webhook_id: int,
        *,
        endpoint: str | None = None,
        enabled: bool | None = None,
        auth_type: Literal["NoAuth", "Basic", "OAuth2"] | None = None,
        auth_token: SecretStr | None = None,
        headers: Mapping[str, SecretStr] | None = None,
        blast_send_enabled: bool | None = None,
        triggered_send_enabled: bool | None = None,
    ) -> Webhook:
        """Changes what is given and leaves the rest; the webhook as it is then. May be repeated.

        `headers` are sent along with every event. It takes a while until a change is in force everywhere (help centre).
        """
        change = _Change(
            id=webhook_id,
            endpoint=endpoint,
            enabled=enabled,
            auth_type=auth_type,
            auth_token=None if auth_token is None else auth_token.get_secret_value(),
            headers=None
            if headers is None
            else [_Header(key=key, value=value.get_secret_value()) for key, value in headers.items()],
            blast_send_enabled=blast_send_enabled,
            triggered_send_enabled=triggered_send_enabled,
        )
        return await self._calls.get(Request("POST", "/api/webhooks", body=change.to_json()), Webhook)
