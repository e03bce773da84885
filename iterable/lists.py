"""Lists of users: `/api/lists`."""

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field, JsonValue, model_validator

from iterable.answer import AnswerModel
from iterable.bulk import BulkResult
from iterable.calls import Calls
from iterable.dates import Moment
from iterable.request import BULK_MAX, Body, Identity, Request


class MailingList(AnswerModel):
    """A list, without its users."""

    id: int
    name: str
    list_type: str
    """`Standard`, `Dynamic`, `Suppression`, `Internal` (Swagger 1.8)."""
    description: str | None = None
    created_at: Moment | None = None
    is_global_suppression_enabled: bool | None = None


class Unsubscriber(Body):
    """A user to take off a list, by address or by user id."""

    email: Annotated[Identity | None, Field(repr=False)] = None
    user_id: Annotated[Identity | None, Field(repr=False)] = None

    @model_validator(mode="after")
    def _identified(self) -> Self:
        if self.email is None and self.user_id is None:
            raise ValueError("give an email or a user id")
        return self


class Subscriber(Unsubscriber):
    """A user to put onto a list; created where there is none."""

    data_fields: Annotated[dict[str, JsonValue] | None, Field(repr=False)] = None
    prefer_user_id: bool | None = None
    merge_nested_objects: bool | None = None


class _Subscribe(Body):
    list_id: int
    subscribers: Annotated[list[Subscriber], Field(min_length=1, max_length=BULK_MAX)]
    update_existing_users_only: bool


class _Unsubscribe(Body):
    list_id: int
    subscribers: Annotated[list[Unsubscriber], Field(min_length=1, max_length=BULK_MAX)]
    campaign_id: int | None
    channel_unsubscribe: bool


class _Lists(AnswerModel):
    lists: list[MailingList]


class Lists:
    """Limits: 100 reads/s for the project (Swagger 1.8); subscribe and unsubscribe: unknown."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def all(self) -> list[MailingList]:
        """All lists of the project."""
        return (await self._calls.get(Request("GET", "/api/lists"), _Lists)).lists

    async def subscribe(
        self, list_id: int, subscribers: Sequence[Subscriber], *, update_existing_users_only: bool = False
    ) -> BulkResult:
        """Puts up to 1,000 users onto a list. May be repeated. Look at `failures`: it is a 200."""
        body = _Subscribe(
            list_id=list_id, subscribers=list(subscribers), update_existing_users_only=update_existing_users_only
        )
        return await self._calls.get(Request("POST", "/api/lists/subscribe", body=body.to_json()), BulkResult)

    async def unsubscribe(
        self,
        list_id: int,
        subscribers: Sequence[Unsubscriber],
        *,
        channel_unsubscribe: bool = False,
        campaign_id: int | None = None,
    ) -> BulkResult:
        """Takes up to 1,000 users off a list; with `channel_unsubscribe` they get nothing of the list's channel any
        more.

        May be repeated. Look at `failures`: it is a 200. `campaign_id` says which campaign it is put down to.
        """
        body = _Unsubscribe(
            list_id=list_id,
            subscribers=list(subscribers),
            campaign_id=campaign_id,
            channel_unsubscribe=channel_unsubscribe,
        )
        return await self._calls.get(Request("POST", "/api/lists/unsubscribe", body=body.to_json()), BulkResult)
