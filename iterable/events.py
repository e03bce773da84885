"""What happened to a user: `/api/events`."""

import json
from typing import Annotated, Any, TypeVar, cast

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from iterable.answer import AnswerModel
from iterable.calls import Calls
from iterable.dates import Moment
from iterable.request import Request, one_identity

EVENTS_MAX = 200
"""Events in one answer. Source: Swagger 1.8."""

T = TypeVar("T")


def _or_none(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    try:
        return handler(value)
    except ValidationError:
        return None


def _object(value: object) -> object:
    """An object as it is, or as the JSON text that exports have in its place."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


IfReadable = Annotated[T | None, WrapValidator(_or_none)]
"""One event that a project shaped in its own way must not make the others unreadable."""


class UserEvent(AnswerModel):
    """One event, with the fields that reconciling needs; `fields` has them all. What is missing or odd is None."""

    event_type: IfReadable[str] = None
    """`emailSend`, `emailSendSkip`, `emailBounce`, …; an open set."""
    created_at: IfReadable[Moment] = None
    message_id: IfReadable[str] = None
    campaign_id: IfReadable[int] = None
    template_id: IfReadable[int] = None
    transactional_data: Annotated[IfReadable[dict[str, Any]], BeforeValidator(_object), Field(repr=False)] = None
    """The `data_fields` of the send that it came from."""
    fields: Annotated[dict[str, Any], Field(repr=False)] = {}
    """The event as Iterable wrote it."""

    @model_validator(mode="before")
    @classmethod
    def _keep_all(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        fields = cast("dict[str, Any]", value)
        return {**fields, "fields": fields}


class _Events(AnswerModel):
    events: list[UserEvent]


class Events:
    """Limit: 100/s for the project (Swagger 1.8)."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def for_user(
        self, *, email: str | None = None, user_id: str | None = None, limit: int = EVENTS_MAX
    ) -> list[UserEvent]:
        """The user's latest events, at most 200, some seconds after they happened.

        The identity is in the path, percent-encoded: there is no form of this call that has it elsewhere. Where a user
        id is known, prefer it to the address.
        """
        if not 1 <= limit <= EVENTS_MAX:
            raise ValueError(f"a limit is 1 to {EVENTS_MAX}")
        name, value = one_identity(email, user_id)
        path = "/api/events/{email}" if name == "email" else "/api/events/byUserId/{userId}"
        request = Request("GET", path, {name: value}, (("limit", limit),))
        return (await self._calls.get(request, _Events)).events
