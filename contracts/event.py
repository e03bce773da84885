"""Events: what Iterable reports of a message, in our words; and what a set of them says about a send."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, Self, TypeVar

from contracts.model import Contract, SendId, Sha256, WorkspaceId
from contracts.skip import SKIP_ADVICE, SkipClass, skip_class


class EventKind(StrEnum):
    """What happened. `delivered` is known in case Iterable ever reports it; today it does not."""

    SENT = "sent"
    SKIPPED = "skipped"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    RESUBSCRIBED = "resubscribed"
    OPENED = "opened"
    CLICKED = "clicked"


class Event(Contract):
    """One event of a send's timeline.

    `event_id` names the occurrence: the same occurrence reported twice has the same id. `reason` is Iterable's own word
    (a skip reason, a bounce's `recipientState`, an unsubscribe's source). `url` is a click's target without query and
    fragment, which may carry personal data.
    """

    event_id: Sha256
    kind: EventKind
    occurred_at: datetime
    message_id: str | None = None
    reason: str | None = None
    url: str | None = None


class Occurrence(Protocol):
    """As much of an event as its place in a send's life and the send's standing follow from. `occurred_at` only has to
    compare with others of its kind."""

    @property
    def event_id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def occurred_at(self) -> Any: ...
    @property
    def reason(self) -> str | None: ...


E = TypeVar("E", bound=Occurrence)


class TimelineEntry(Contract):
    """A joined event as GenieOS reads it by cursor.

    Cursors are given in the order in which entries become visible, so a reader that goes on from the last one it saw
    misses nothing and gets nothing twice. An event whose send turns out to be another one is given again under a new
    cursor, which overrules the entry before; `send_id` is None where it turns out to be none of ours.
    `skip_class` and `advice` go with skips.
    """

    cursor: int
    workspace_id: WorkspaceId
    send_id: SendId | None
    event: Event
    skip_class: SkipClass | None = None
    advice: str | None = None

    @classmethod
    def of(cls, cursor: int, workspace_id: str, send_id: str | None, event: Event) -> Self:
        """The entry of an event, with advice where it is a skip."""
        kind = skip_class(event.reason) if event.kind is EventKind.SKIPPED else None
        return cls(
            cursor=cursor,
            workspace_id=workspace_id,
            send_id=send_id,
            event=event,
            skip_class=kind,
            advice=None if kind is None else SKIP_ADVICE[kind],
        )


class TimelinePage(Contract):
    """Entries after a cursor, in order of cursors; `next_cursor` is what to ask with next."""

    entries: list[TimelineEntry]
    next_cursor: int


_RANK = {
    EventKind.SENT: 1,
    EventKind.DELIVERED: 2,
    EventKind.OPENED: 2,
    EventKind.CLICKED: 2,
    EventKind.SKIPPED: 3,
    EventKind.BOUNCED: 4,
    EventKind.COMPLAINED: 5,
}
_LIFE = {
    kind: place
    for place, kind in enumerate(
        (
            EventKind.SKIPPED,
            EventKind.SENT,
            EventKind.DELIVERED,
            EventKind.OPENED,
            EventKind.CLICKED,
            EventKind.BOUNCED,
            EventKind.COMPLAINED,
            EventKind.UNSUBSCRIBED,
            EventKind.RESUBSCRIBED,
        )
    )
}
"""The order of a message's life, for events of the same second."""
SETTLING = frozenset({EventKind.SKIPPED, EventKind.BOUNCED, EventKind.COMPLAINED})
"""After one of these nothing more is to be expected of a send."""


def place(event: Occurrence) -> tuple[Any, int, str]:
    """Where an event stands among those of its send: by occurrence; ties (Iterable reports whole seconds) by the order
    of a message's life, then by id, so that every arrival order gives the same list."""
    return event.occurred_at, _LIFE[EventKind(event.kind)], event.event_id


def in_order(events: list[Event]) -> list[Event]:
    """Each occurrence once, in order of occurrence."""
    return sorted({event.event_id: event for event in events}.values(), key=place)


def decisive(events: Iterable[E]) -> E | None:
    """The event that says how a send stands: the furthest in a message's life, whatever the order of arrival.

    An open or click proves that the message went out, so it counts as sent even where the `sent` event was lost.
    Unsubscribes and resubscribes say nothing about the message.
    """
    telling = [(-_RANK[EventKind(event.kind)], place(event), event) for event in events if event.kind in _RANK]
    return min(telling, key=lambda told: told[:2])[2] if telling else None
