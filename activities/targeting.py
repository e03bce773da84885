"""One message to one recipient, as Iterable is asked for it, and what its answer means. Single sends and broadcasts
share it."""

from datetime import timedelta

from pydantic import JsonValue

from contracts.connector import ConnectorSettings, ProjectType
from contracts.send import RESERVED_DATA_KEY, Recipient
from contracts.template import Stream
from iterable.email import TargetEmail
from iterable.errors import IterableError, Refused

TARGET = "email/target"
"""The name of the pace that all messages of a project share."""
_MARGIN = 0.985
"""The part of the rate that is used: departures are spaced, arrivals jitter, and no second may see more than the
rate."""
_PATIENCE: dict[Stream, timedelta] = {"transactional": timedelta(seconds=2), "marketing": timedelta(seconds=1)}
BROADCAST_PATIENCE = timedelta(milliseconds=100)
"""How far ahead turns are reserved. Who looks less far ahead gives way, so a broadcast gives way to marketing sends,
and both to transactional ones. A turn that is reserved is not taken back, so this is also the longest that a single
send waits for a broadcast's."""


def paced(settings: ConnectorSettings) -> float:
    """Turns a second that all senders of a project share."""
    return settings.sends_per_second * _MARGIN


def patience(stream: Stream) -> timedelta:
    """How long a single send waits for its turn within its activity; for later ones it comes back."""
    return _PATIENCE[stream]


def below(rate: float) -> float:
    """Departures a second that keep arrivals to `rate`."""
    return rate * _MARGIN


def target_email(
    *,
    workspace_id: str,
    send_id: str,
    campaign_id: int,
    recipient: Recipient,
    data: dict[str, JsonValue],
    metadata: dict[str, JsonValue],
    project_type: ProjectType,
    broadcast_id: str | None = None,
) -> TargetEmail:
    """The correlation goes into the data, which comes back as `transactionalData` on the `emailSend` event, and into
    the metadata, which the API description promises to pass to webhooks without saying where."""
    correlation: dict[str, JsonValue] = {"workspace": workspace_id, "send": send_id}
    if broadcast_id is not None:
        correlation["broadcast"] = broadcast_id
    email, user_id = recipient.identity(project_type)
    return TargetEmail(
        campaign_id=campaign_id,
        recipient_email=email,
        recipient_user_id=user_id,
        data_fields={RESERVED_DATA_KEY: correlation, **data},  # first: what is too long is cut at its end
        metadata={RESERVED_DATA_KEY: correlation, **metadata},
    )


def campaign_is_gone(error: IterableError) -> bool:
    """Whether Iterable takes no sends for the campaign any more: it says which parameter it does not like."""
    return isinstance(error, Refused) and "campaignId" in error.invalid_params
