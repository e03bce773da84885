"""From Iterable's events to ours."""

from contracts.event import Event, EventKind
from contracts.masking import without_addresses
from iterable.webhook_event import WebhookEvent

_KIND_OF_NAME = {
    "emailSend": EventKind.SENT,
    "emailSendSkip": EventKind.SKIPPED,
    "emailDelivered": EventKind.DELIVERED,  # not sent by Iterable today; this is the name Segment gives its send event
    "emailBounce": EventKind.BOUNCED,
    "emailComplaint": EventKind.COMPLAINED,
    "emailSubscribe": EventKind.RESUBSCRIBED,
    "emailUnSubscribe": EventKind.UNSUBSCRIBED,
    "emailOpen": EventKind.OPENED,
    "emailClick": EventKind.CLICKED,
    "hostedUnsubscribeClick": EventKind.CLICKED,  # a visit to the unsubscribe page, not an unsubscribe
}
HARD_BOUNCE = "HardBounce"
"""The only `recipientState` that is permanent; every other one, known or not, is taken as passing."""


def kind_of(event: WebhookEvent) -> EventKind | None:
    """What happened, in our words; None for what does not concern email messages."""
    return _KIND_OF_NAME.get(event.name)


def read(event: WebhookEvent, kind: EventKind, event_id: str) -> Event:
    """The event as it stands on a timeline."""
    reason = event.reason or ("hosted_unsubscribe_page" if event.name == "hostedUnsubscribeClick" else None)
    return Event(
        event_id=event_id,
        kind=kind,
        occurred_at=event.occurred_at,
        message_id=event.message_id,
        reason=without_addresses(reason),
        url=event.url,
    )
