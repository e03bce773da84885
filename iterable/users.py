"""Users: `/api/users`.

Addresses travel in queries and bodies here, never in a path, which more proxies and logs would see:
`users/getByEmail?email=` instead of `users/{email}`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, cast

from pydantic import Field, JsonValue

from iterable.answer import AnswerModel
from iterable.calls import Calls
from iterable.dates import Moment, query_text
from iterable.errors import RecipientUnknown
from iterable.request import PAGE_MAX, Body, Identity, Request, one_identity


class User(AnswerModel):
    """A profile. Its data hold what the project put there, and Iterable's own fields."""

    email: Annotated[str | None, Field(repr=False)] = None
    user_id: Annotated[str | None, Field(repr=False)] = None
    data_fields: Annotated[dict[str, Any], Field(repr=False)] = {}

    @property
    def list_ids(self) -> list[int]:
        """Lists; the field's name depends on the kind of project."""
        return self._ids("emailListIds") or self._ids("userListIds")

    @property
    def unsubscribed_channel_ids(self) -> list[int]:
        """Channels of which the user wants nothing."""
        return self._ids("unsubscribedChannelIds")

    @property
    def unsubscribed_message_type_ids(self) -> list[int]:
        """Message types of which the user wants nothing."""
        return self._ids("unsubscribedMessageTypeIds")

    @property
    def subscribed_message_type_ids(self) -> list[int]:
        """Opt-in message types that the user asked for."""
        return self._ids("subscribedMessageTypeIds")

    def _ids(self, name: str) -> list[int]:
        value: Any = self.data_fields.get(name)
        items = cast("list[Any]", value) if isinstance(value, list) else []
        return [item for item in items if isinstance(item, int) and not isinstance(item, bool)]


class SentMessage(AnswerModel):
    """A message that was sent. Carries neither metadata nor data: two messages of one campaign look alike."""

    message_id: str
    campaign_id: int | None = None
    template_id: int | None = None
    created_at: Moment


class _Update(Body):
    email: Annotated[Identity | None, Field(repr=False)] = None
    user_id: Annotated[Identity | None, Field(repr=False)] = None
    data_fields: Annotated[dict[str, JsonValue] | None, Field(repr=False)] = None
    merge_nested_objects: bool | None = None
    prefer_user_id: bool | None = None
    create_new_fields: bool | None = None


class _Found(AnswerModel):
    user: User | None = None


class _Sent(AnswerModel):
    messages: list[SentMessage]


class Users:
    """Limits, for the project (Swagger 1.8): update 500/s, look-ups 100/s, sent messages 3/s."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def update(
        self,
        *,
        email: str | None = None,
        user_id: str | None = None,
        data_fields: dict[str, JsonValue] | None = None,
        merge_nested_objects: bool | None = None,
        prefer_user_id: bool | None = None,
        create_new_fields: bool | None = None,
    ) -> None:
        """Writes profile fields, creating the user where there is none. The same values may be written again.

        Wait at least 60 s before a call that depends on it, a send say (Iterable help centre). Both identities may be
        given; how they are matched depends on the kind of project (help centre). What is None is left to Iterable.
        """
        if not email and not user_id:
            raise ValueError("give an email, a user id or both")
        body = _Update(
            email=email,
            user_id=user_id,
            data_fields=data_fields,
            merge_nested_objects=merge_nested_objects,
            prefer_user_id=prefer_user_id,
            create_new_fields=create_new_fields,
        )
        await self._calls.take(Request("POST", "/api/users/update", body=body.to_json()))

    async def get_by_email(self, email: str) -> User | None:
        """The profile; None where there is none, which Iterable says with 200 and `{}` (seen in recorded traffic)."""
        return await self._get(Request("GET", "/api/users/getByEmail", query=(("email", email),)))

    async def get_by_user_id(self, user_id: str) -> User | None:
        """The profile; None where there is none, which Iterable says with a 400 (seen in recorded traffic)."""
        return await self._get(Request("GET", "/api/users/byUserId", query=(("userId", user_id),)))

    async def sent_messages(
        self,
        *,
        email: str | None = None,
        user_id: str | None = None,
        campaign_ids: Sequence[int] = (),
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 10,
    ) -> list[SentMessage]:
        """Email messages sent to one user, newest first, at most 1,000. A slow look-up: 3/s."""
        if not 1 <= limit <= PAGE_MAX:
            raise ValueError(f"a limit is 1 to {PAGE_MAX}")
        query: list[tuple[str, str | int]] = [
            one_identity(email, user_id),
            ("limit", limit),
            ("messageMedium", "Email"),
        ]
        query += [("campaignIds", campaign_id) for campaign_id in campaign_ids]
        query += [("startDateTime", query_text(start))] if start else []
        query += [("endDateTime", query_text(end))] if end else []
        request = Request("GET", "/api/users/getSentMessages", query=tuple(query))
        return (await self._calls.get(request, _Sent)).messages

    async def _get(self, request: Request) -> User | None:
        try:
            return (await self._calls.get(request, _Found)).user
        except RecipientUnknown:
            return None
