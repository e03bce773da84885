"""What a user wants to get: `/api/users/updateSubscriptions` and its bulk form."""

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from iterable.bulk import SubscriptionsBulkResult
from iterable.calls import Calls
from iterable.request import BULK_MAX, Body, Identity, Request


class SubscriptionUpdate(Body):
    """The new subscriptions of one user, by address or by user id.

    Every list that is given replaces the stored one whole; None leaves it. To add one id: read the user, merge, write.
    Two who do so at once may undo each other, as Iterable compares nothing.
    """

    email: Annotated[Identity | None, Field(repr=False)] = None
    user_id: Annotated[Identity | None, Field(repr=False)] = None
    email_list_ids: list[int] | None = None
    unsubscribed_channel_ids: list[int] | None = None
    unsubscribed_message_type_ids: list[int] | None = None
    subscribed_message_type_ids: list[int] | None = None
    """Only of message types that are opt-in."""
    campaign_id: int | None = None
    template_id: int | None = None
    validate_channel_alignment: bool | None = None
    """Iterable's default is true: it refuses message types whose channel does not fit."""

    @model_validator(mode="after")
    def _one_identity(self) -> Self:
        if (self.email is None) == (self.user_id is None):
            raise ValueError("give either an email or a user id")
        return self


class _Bulk(Body):
    update_subscriptions_requests: Annotated[list[SubscriptionUpdate], Field(min_length=1, max_length=BULK_MAX)]


class Subscriptions:
    """Limits: unknown."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def update(self, update: SubscriptionUpdate) -> None:
        """Replaces subscriptions of one user. May be repeated as long as nobody else writes."""
        await self._calls.take(Request("POST", "/api/users/updateSubscriptions", body=update.to_json()))

    async def bulk_update(self, updates: Sequence[SubscriptionUpdate]) -> SubscriptionsBulkResult:
        """As `update`, for up to 1,000 users. Look at `failures`: it is a 200."""
        body = _Bulk(update_subscriptions_requests=list(updates)).to_json()
        request = Request("POST", "/api/users/bulkUpdateSubscriptions", body=body)
        return await self._calls.get(request, SubscriptionsBulkResult)
