"""What an event says about suppressions, and what suppressions say about a send.

| cause | blocks |
|---|---|
| hard bounce, forgotten | both streams of the workspace |
| complaint | marketing; transactional too unless the connector's settings say otherwise |
| unsubscribe from a channel or message type | what goes out through it, and nothing else |
| unsubscribe from the configured all-list | marketing; from any other list: nothing |
| manual, import | as given |

That an unsubscribe from a transactional channel blocks transactional mail, and one from a marketing channel does not,
needs no rule of its own: a stream's message type belongs to a channel of its kind, which installing checks.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

import structlog

from activities.reading import HARD_BOUNCE
from contracts.channel import EMAIL, Catalog
from contracts.connector import ConnectorSettings
from contracts.event import Event, EventKind
from contracts.suppression import WORKSPACE, Cause, SuppressionEntry
from contracts.template import Stream
from iterable.webhook_event import WebhookEvent
from store.person import Person
from store.store import Transaction
from store.suppressions import Report, Suppression, Told

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_STREAMS: tuple[Stream, ...] = ("transactional", "marketing")
WEBHOOK = "webhook"
"""The source of what Iterable reported."""

_OF_WRITERS = frozenset({"API", "ListAPI"})
"""Sources of subscription changes that a program made: ours, or another one's."""
_CONSEQUENCES = {"HardBounce": Cause.HARD_BOUNCE, "Complaint": Cause.COMPLAINT}
"""Sources of unsubscribes that Iterable makes by itself: nobody decided to leave. They are taken for what led to them.
So the bounce or complaint is known even where its own event was lost, and there is no second rule beside it, which
would block receipts after a complaint whatever the settings say."""
_ECHO_BEFORE = timedelta(minutes=5)
_ECHO_AFTER = timedelta(hours=1)
"""How far an echo's time may be from the push: clocks differ, and Iterable may queue what it took (it answers 202)."""


# ── events → reports ──────────────────────────────────────────────────────────────────────────────────────────────────


def reports_of(
    people: Sequence[Person], event: WebhookEvent, ours: Event, catalog: Catalog, told: Sequence[Told] = ()
) -> Iterator[Report]:
    """What an event reports, for every name of its person. `told` is what we told Iterable of that person.

    A skip is none of it, whatever its reason. `SuppressedByMessageService` and `InvalidRecipientEmail` are Iterable's
    own verdict on one message: it gives no cause and no scope, it can be undone there without any event, and a later
    send finds it out again at no harm. Taken as a suppression it would stay here for ever and for both streams.
    Neither is a click on the hosted unsubscribe page, which only opens it.
    """
    match ours.kind:
        case EventKind.BOUNCED if ours.reason == HARD_BOUNCE:
            found = [(Cause.HARD_BOUNCE, WORKSPACE)]
        case EventKind.COMPLAINED:
            found = [(Cause.COMPLAINT, WORKSPACE)]
        case EventKind.UNSUBSCRIBED | EventKind.RESUBSCRIBED:
            if _echoes(event, ours.kind, told):
                return
            scopes = _scopes(event, ours.kind, catalog)
            consequence = _CONSEQUENCES.get(event.source or "") if ours.kind is EventKind.UNSUBSCRIBED else None
            if consequence is not None and scopes:
                scopes = [WORKSPACE]
            found = [(consequence or Cause.UNSUBSCRIBE, scope) for scope in scopes]
        case _:
            return
    for person in people:
        for cause, scope in found:
            yield Report(
                person=person,
                cause=cause,
                scope=scope,
                at=ours.occurred_at,
                lifts=ours.kind is EventKind.RESUBSCRIBED,
                source=WEBHOOK,
                reason=ours.reason,
                event_id=ours.event_id,
            )


def _scopes(event: WebhookEvent, kind: EventKind, catalog: Catalog) -> list[str]:
    """What was left or joined, as far as it is email. Iterable uses one event name for every medium, so a channel has
    to be looked up. One that the catalog does not have stays in: it is deleted, or Iterable could not be asked, and it
    blocks only what goes out through it."""
    scopes = [f"list:{id_}" for id_ in event.list_ids]
    scopes += [f"channel:{id_}" for id_ in event.channel_ids if _may_be_email(catalog, id_)]
    for id_ in event.message_type_ids:
        channel = catalog.channel_of(id_)
        if channel is None or channel.medium == EMAIL:
            scopes.append(f"message_type:{id_}")
    named = event.list_ids or event.channel_ids or event.message_type_ids
    if named or kind is EventKind.RESUBSCRIBED:
        return scopes
    # An unsubscribe that names nothing: its message's channel, or else all marketing. Too much rather than nothing.
    if event.channel_id is not None:
        return [f"channel:{event.channel_id}"] if _may_be_email(catalog, event.channel_id) else []
    return ["marketing"]


def _may_be_email(catalog: Catalog, channel_id: int) -> bool:
    channel = catalog.channel(channel_id)
    return channel is None or channel.medium == EMAIL


def _echoes(event: WebhookEvent, kind: EventKind, told: Sequence[Told]) -> bool:
    """Whether an event is Iterable's echo of our own push, or of its withdrawal.

    Events do not say whose program it was, so an unsubscribe that another one makes for the same person within the hour
    passes for an echo too: that person is suppressed by us. Once the suppression is removed here nothing would keep
    mail from them any more, so from then on an unsubscribe is their own. A subscribe that another program makes within
    the hour after a withdrawal passes for its echo: it is a lift too few, never one too many.
    """
    if event.source not in _OF_WRITERS or event.message_type_ids:
        return False
    at = event.occurred_at
    if kind is EventKind.RESUBSCRIBED:
        return any(_is_soon_after(at, one.withdrawn_at) for one in told)
    return any(_is_soon_after(at, one.pushed_at) and (one.removed_at is None or at <= one.removed_at) for one in told)


def _is_soon_after(at: datetime, told_at: datetime | None) -> bool:
    return told_at is not None and told_at - _ECHO_BEFORE <= at <= told_at + _ECHO_AFTER


# ── suppressions → sends ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Path:
    """What the sends of one stream go out through. `channel_id` is None where the catalog does not tell."""

    stream: Stream
    message_type_id: int | None
    channel_id: int | None
    complaint_blocks_transactional: bool
    all_list_id: int | None

    @classmethod
    def of(cls, settings: ConnectorSettings, catalog: Catalog, stream: Stream) -> Self:
        """The path of a stream as the connector is set up now."""
        message_type_id = settings.message_type_id(stream)
        channel = catalog.channel_of(message_type_id)
        return cls(
            stream=stream,
            message_type_id=message_type_id,
            channel_id=None if channel is None else channel.id,
            complaint_blocks_transactional=settings.complaint_blocks_transactional,
            all_list_id=settings.all_list_id,
        )

    @classmethod
    def all_of(cls, settings: ConnectorSettings, catalog: Catalog) -> list[Self]:
        """The paths of both streams."""
        return [cls.of(settings, catalog, stream) for stream in _STREAMS]


def blocks(suppression: Suppression, path: Path) -> bool:
    """Whether a suppression forbids sends on a path."""
    if not suppression.active:
        return False
    if suppression.cause is Cause.COMPLAINT and path.stream == "transactional":
        return path.complaint_blocks_transactional
    kind, _, id_ = suppression.scope.partition(":")
    match kind:
        case "workspace":
            return True
        case "channel" if path.channel_id is None:
            return path.stream == "marketing"  # the catalog cannot tell: too much rather than too little
        case "channel":
            return int(id_) == path.channel_id
        case "message_type":
            return int(id_) == path.message_type_id
        case "list":
            return path.stream == "marketing" and int(id_) == path.all_list_id
        case stream:
            return stream == path.stream


def blocking(suppressions: Iterable[Suppression], path: Path) -> Suppression | None:
    """The rule that forbids sends on a path, the oldest where there are several; None where nothing does."""
    return min((one for one in suppressions if blocks(one, path)), key=lambda one: one.since, default=None)


def entry_of(workspace_id: str, suppression: Suppression, paths: Sequence[Path]) -> SuppressionEntry:
    """A suppression as GenieOS reads it."""
    person = suppression.person
    return SuppressionEntry(
        cursor=suppression.cursor,
        workspace_id=workspace_id,
        recipient_hash=suppression.recipient_hash,
        email=None if person is None else person.email,
        user_id=None if person is None else person.user_id,
        cause=suppression.cause,
        scope=suppression.scope,
        active=suppression.active,
        blocks=[path.stream for path in paths if blocks(suppression, path)],
        reason=suppression.reason,
        source=suppression.source,
        first_seen_at=suppression.first_seen_at,
        last_seen_at=suppression.last_seen_at,
        lifted_at=suppression.lifted_at,
    )


async def is_suppressed(tx: Transaction, workspace_id: str, known_as: Sequence[str], path: Path) -> bool:
    """Before a single send; says in the log which rule forbids it."""
    (rule,) = await check(tx, workspace_id, [known_as], path)
    if rule is not None:
        log.info("send.suppressed", cause=rule.cause, scope=rule.scope)
    return rule is not None


async def check(
    tx: Transaction, workspace_id: str, people: Sequence[Sequence[str]], path: Path
) -> list[Suppression | None]:
    """Before a send, or a batch of them: for each person, given by every hash it is known by, the rule that forbids a
    send. Costs one query for every 500 hashes."""
    held = await tx.suppressions.of(workspace_id, sorted({one for known_as in people for one in known_as}))
    return [blocking((s for one in known_as for s in held.get(one, ())), path) for known_as in people]
