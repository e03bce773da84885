"""Every way in which the Iterable API writes a moment. None of them is ISO 8601, so the standard parsers do not do.

| where | form | source |
|---|---|---|
| `sendAt` of a request | `2026-01-31 18:05:00`, always UTC, without an offset | Swagger 1.8 |
| `startDateTime`, `endDateTime` of a query | `2026-01-31 18:05:00 +00:00` | Swagger 1.8 |
| `createdAt` of messages, events, webhooks | `2026-01-31 18:05:00 +00:00` | seen in recorded traffic |
| `createdAt`, `updatedAt` of campaigns, templates, lists | milliseconds since 1970 | seen in recorded traffic |

Whole seconds throughout, except for the milliseconds. The Swagger calls some of these `date-time`, which they are not.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, PlainSerializer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def send_at_text(moment: datetime) -> str:
    """As `sendAt` wants it. Fractions of a second are dropped, which makes it at most one second early.

    Raises `ValueError` for a moment without an offset: whose midnight would it be?
    """
    if moment.tzinfo is None:
        raise ValueError("a moment needs an offset")
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def query_text(moment: datetime) -> str:
    """As `startDateTime` and `endDateTime` want it. Raises `ValueError` for a moment without an offset."""
    return f"{send_at_text(moment)} +00:00"


def parse_event_time(text: str) -> datetime:
    """A moment of an event, an export or a webhook; aware. ISO 8601 with an offset is taken too, should Iterable ever
    write it. Raises `ValueError`, which does not quote the text."""
    with suppress(ValueError, OverflowError):  # the first and the last day there are have no moment in UTC
        moment = datetime.fromisoformat(text.replace(" +", "+").replace(" -", "-"))  # a tenth of the time of `strptime`
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    raise ValueError("not a moment with an offset")


def parse_epoch_ms(milliseconds: float) -> datetime:
    """A moment of a campaign, a template or a list; aware. Raises `ValueError`."""
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except (OverflowError, ValueError):
        raise ValueError("not a moment in milliseconds") from None


def _parse(value: object) -> object:
    match value:
        case bool():
            return value
        case str():
            return parse_event_time(value)
        case int() | float():
            return parse_epoch_ms(value)
        case _:
            return value


Moment = Annotated[AwareDatetime, BeforeValidator(_parse)]
"""A field of an answer, in whichever of the two forms it comes. Pydantic by itself takes small numbers for seconds."""

SendAt = Annotated[AwareDatetime, PlainSerializer(send_at_text)]
"""A field of a request. Refuses a moment without an offset."""
