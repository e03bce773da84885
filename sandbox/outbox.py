"""The outbox: every message that was taken, as it was rendered."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sandbox.rendering import Rendered
from sandbox.wire import moment

MessageStatus = Literal["sent", "skipped", "scheduled", "cancelled"]


@dataclass
class Message:
    """One message to one recipient. `campaign_id` is None for proofs."""

    id: str
    project_id: int
    campaign_id: int | None
    template_id: int
    message_type_id: int
    channel_id: int
    # A user known by userId may have no address.
    email: str | None
    user_id: str | None
    data_fields: Mapping[str, Any]
    metadata: Mapping[str, Any] | None
    created_at: float
    is_blast: bool = False
    allow_repeat: bool = True
    status: MessageStatus = "scheduled"
    skip_reason: str | None = None
    sent_at: float | None = None
    send_at: float | None = None
    scheduled_id: int | None = None
    subject: str = ""
    rendered: Rendered | None = None
    # The names that webhooks repeat; a later rename does not change them.
    campaign_name: str = ""
    template_name: str = ""
    content_id: int = 0
    events: list[str] = field(default_factory=list[str])
    named_at: float | None = None
    """When a webhook that carries what the message was asked for with was first taken."""

    def shown(self, *, with_bodies: bool = True) -> dict[str, Any]:
        rendered = self.rendered
        result: dict[str, Any] = {
            "messageId": self.id,
            "project_id": self.project_id,
            "campaignId": self.campaign_id,
            "campaignName": self.campaign_name,
            "templateId": self.template_id,
            "messageTypeId": self.message_type_id,
            "email": self.email,
            "userId": self.user_id,
            "subject": self.subject,
            "preheader": rendered and rendered.preheader,
            "from_email": rendered and rendered.from_email,
            "from_name": rendered and rendered.from_name,
            "reply_to": rendered and rendered.reply_to,
            "dataFields": self.data_fields,
            "metadata": self.metadata,
            "status": self.status,
            "skip_reason": self.skip_reason,
            "createdAt": moment(self.created_at),
            "sentAt": None if self.sent_at is None else moment(self.sent_at),
            "sendAt": None if self.send_at is None else moment(self.send_at),
            "scheduledMessageId": self.scheduled_id,
            "events": list(self.events),
            "namedAt": None if self.named_at is None else moment(self.named_at),
        }
        if with_bodies:
            result["html"] = rendered and rendered.html
            result["text"] = rendered and rendered.text
        return result


class Outbox:
    """All projects' messages, oldest first, bounded. Looking one up, or one person's, needs no scan."""

    def __init__(self, messages_kept: int, bodies_kept: int) -> None:
        self._messages_kept = messages_kept
        self._bodies_kept = bodies_kept
        self._by_id: dict[str, Message] = {}
        self._with_bodies: deque[Message] = deque()
        self._by_person: dict[tuple[int, str], deque[Message]] = {}
        self._by_campaign: dict[tuple[int, int | None], deque[Message]] = {}
        self._by_scheduled_id: dict[int, Message] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._by_id.values())

    def add(self, message: Message) -> None:
        if len(self._by_id) >= self._messages_kept:
            self._drop_oldest()
        self._by_id[message.id] = message
        for key in _person_keys(message):
            self._by_person.setdefault(key, deque()).append(message)
        self._by_campaign.setdefault((message.project_id, message.campaign_id), deque()).append(message)
        if message.scheduled_id is not None:
            self._by_scheduled_id[message.scheduled_id] = message

    def keep_body(self, message: Message, rendered: Rendered) -> None:
        """Remembers what was rendered, and lets go of the oldest beyond the bound."""
        message.rendered = rendered
        self._with_bodies.append(message)
        if len(self._with_bodies) > self._bodies_kept:
            self._with_bodies.popleft().rendered = None

    def get(self, message_id: str) -> Message | None:
        return self._by_id.get(message_id)

    def scheduled(self, scheduled_id: int) -> Message | None:
        return self._by_scheduled_id.get(scheduled_id)

    def of_person(self, project_id: int, *, email: str | None, user_id: str | None) -> Iterable[Message]:
        """Newest first; by userId where one is given."""
        key = (project_id, f"id:{user_id}" if user_id is not None else f"email:{(email or '').lower()}")
        return reversed(self._by_person.get(key, deque()))

    def of_campaign(self, project_id: int, campaign_id: int) -> Iterable[Message]:
        """Newest first."""
        return reversed(self._by_campaign.get((project_id, campaign_id), deque()))

    def newest(self) -> Iterable[Message]:
        return reversed(self._by_id.values())

    def clear(self, project_id: int | None = None) -> int:
        """Forgets all messages, or one project's. Returns how many."""
        kept = [m for m in self if project_id is not None and m.project_id != project_id]
        gone = len(self) - len(kept)
        self._by_id, self._by_person, self._by_campaign, self._by_scheduled_id = {}, {}, {}, {}
        self._with_bodies = deque(m for m in self._with_bodies if project_id is not None and m.project_id != project_id)
        for message in kept:
            self.add(message)
        return gone

    def _drop_oldest(self) -> None:
        message = self._by_id.pop(next(iter(self._by_id)))
        for key in _person_keys(message):
            _drop_first(self._by_person, key)
        _drop_first(self._by_campaign, (message.project_id, message.campaign_id))
        if message.scheduled_id is not None:
            self._by_scheduled_id.pop(message.scheduled_id, None)


def _person_keys(message: Message) -> list[tuple[int, str]]:
    keys: list[tuple[int, str]] = []
    if message.email is not None:
        keys.append((message.project_id, f"email:{message.email.lower()}"))
    if message.user_id is not None:
        keys.append((message.project_id, f"id:{message.user_id}"))
    return keys


def _drop_first(index: dict[Any, deque[Message]], key: Any) -> None:
    # Every index is in the order of the whole, so the oldest message is the first of each.
    index[key].popleft()
    if not index[key]:
        del index[key]
