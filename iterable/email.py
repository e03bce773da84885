"""Sending: `/api/email`."""

from dataclasses import dataclass
from typing import Annotated, Any, Self, cast

from pydantic import Field, JsonValue, model_validator

from iterable.answer import Answer
from iterable.calls import Calls
from iterable.dates import SendAt
from iterable.request import Body, Identity, Request


class TargetEmail(Body):
    """One message of one running triggered campaign to one recipient, who is named by address or by user id, not by
    both.

    There is no field for a subject, HTML, attachments or an idempotency key: those of the campaign's template are sent.
    """

    campaign_id: int
    recipient_email: Annotated[Identity | None, Field(repr=False)] = None
    recipient_user_id: Annotated[Identity | None, Field(repr=False)] = None
    data_fields: Annotated[dict[str, JsonValue] | None, Field(repr=False)] = None
    """For the template; they beat the profile's fields of the same name. Webhooks give them back as
    `transactionalData`, cut at 12,000 characters (help centre). Size limit of the request: unknown."""
    metadata: Annotated[dict[str, JsonValue] | None, Field(repr=False)] = None
    """Passed to webhooks and not used for rendering (Swagger 1.8); where in a webhook is unknown."""
    allow_repeat_marketing_sends: bool = True
    """False makes Iterable skip what it holds for a repeat of a marketing message. No idempotency: marketing only, and
    the window is nobody's promise (help centre)."""
    send_at: SendAt | None = None
    """At most 365 days ahead; what is past is sent now (Swagger 1.8)."""

    @model_validator(mode="after")
    def _one_recipient(self) -> Self:
        if (self.recipient_email is None) == (self.recipient_user_id is None):
            raise ValueError("give either recipient_email or recipient_user_id")
        return self


@dataclass(frozen=True, slots=True)
class Taken:
    """Iterable has accepted the message. Whether it was sent or skipped (suppressed, capped, not renderable) comes
    later, as an event. There is no message id in the answer; the event brings it."""

    request_id: str | None
    scheduled_message_id: int | None
    """Only with `send_at`; seen in recorded traffic of other media, for email unknown."""


class Email:
    """Limit: unknown."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def target(self, message: TargetEmail) -> Taken:
        """Sends. Any 2xx is taken, whatever the body.

        A `NotTaken` may be sent again. After an `OutcomeUnknown` a repeat may reach the recipient twice: find out
        first. In a project that knows people by address an unknown address becomes a user; otherwise
        `RecipientUnknown`.
        """
        answer = await self._calls.take(Request("POST", "/api/email/target", body=message.to_json()))
        return Taken(answer.request_id, _scheduled_message_id(answer))


def _scheduled_message_id(answer: Answer) -> int | None:
    params: Any = answer.fields().get("params")
    if not isinstance(params, dict):
        return None
    number = cast("dict[str, Any]", params).get("scheduledMessageId")
    return number if isinstance(number, int) and not isinstance(number, bool) else None
