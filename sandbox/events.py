"""Events: what happened, in the documented fields. The same event feeds webhooks, events/{email} and exports."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from sandbox.outbox import Message
from sandbox.wire import moment

# The email events that can be ticked for a webhook. There is no "delivered" (Iterable help centre).
EVENT_NAMES: Final = (
    "emailSend",
    "emailSendSkip",
    "emailOpen",
    "emailClick",
    "emailBounce",
    "emailComplaint",
    "emailSubscribe",
    "emailUnSubscribe",
    "hostedUnsubscribeClick",
)
TRANSACTIONAL_DATA_CHARACTERS: Final = 12_000
_AGENT: Final = {"userAgent": "Mozilla/5.0 (sandbox)", "userAgentDevice": "Gmail", "ip": "192.0.2.1"}
_PLACE: Final = {"city": "San Francisco", "region": "CA", "country": "United States"}


@dataclass(frozen=True)
class Event:
    """`fields` go into a webhook's dataFields; `more` shows in events/{email} and exports only."""

    name: str
    email: str | None
    user_id: str | None
    at: float
    visible_at: float
    fields: Mapping[str, Any]
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])
    transactional_data: Mapping[str, Any] | None = None
    campaign_id: int | None = None
    is_blast: bool = False

    def flat(self) -> dict[str, Any]:
        """As events/{email} shows it: one flat object, with `eventType`."""
        result = {"eventType": self.name, **self.fields, **self.more, "createdAt": moment(self.at)}
        result.pop("transactionalData", None)
        if self.user_id is not None:
            result["userId"] = self.user_id
        return result

    def exported(self) -> dict[str, Any]:
        """As an export line shows it: `transactionalData` is a JSON string there."""
        result = self.flat()
        del result["eventType"]
        if self.transactional_data is not None and self.name in {"emailSend", "emailSendSkip"}:
            result["transactionalData"] = orjson.dumps(cut(self.transactional_data)).decode()
        return result


class EventLog:
    """A project's events, oldest first, bounded."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._all: deque[Event] = deque()
        self._by_person: dict[str, deque[Event]] = {}
        self._by_name: dict[str, deque[Event]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, event: Event) -> None:
        if len(self._all) >= self._kept:
            self._drop_oldest()
        self._all.append(event)
        for key in _person_keys(event):
            self._by_person.setdefault(key, deque()).append(event)
        self._by_name.setdefault(event.name, deque()).append(event)

    def of_email(self, email: str) -> Iterable[Event]:
        """Newest first."""
        return reversed(self._by_person.get(f"email:{email.lower()}", deque()))

    def of_user_id(self, user_id: str) -> Iterable[Event]:
        """Newest first."""
        return reversed(self._by_person.get(f"id:{user_id}", deque()))

    def named(self, name: str) -> Iterable[Event]:
        """Oldest first."""
        return self._by_name.get(name, deque())

    def _drop_oldest(self) -> None:
        event = self._all.popleft()
        for key in _person_keys(event):
            self._by_person[key].popleft()
            if not self._by_person[key]:
                del self._by_person[key]
        self._by_name[event.name].popleft()


def _person_keys(event: Event) -> list[str]:
    keys: list[str] = []
    if event.email is not None:
        keys.append(f"email:{event.email.lower()}")
    if event.user_id is not None:
        keys.append(f"id:{event.user_id}")
    return keys


# What each kind of event says


def message_block(message: Message, at: float) -> dict[str, Any]:
    """The block that all events of a message carry, newer fields included."""
    return {
        "email": message.email,
        "createdAt": moment(at),
        "campaignId": message.campaign_id,
        "campaignName": message.campaign_name,
        "templateId": message.template_id,
        "templateName": message.template_name,
        "messageId": message.id,
        "emailSubject": message.subject,
        "channelId": message.channel_id,
        "messageTypeId": message.message_type_id,
        "workflowId": None,
        "workflowName": None,
        "experimentId": None,
        "labels": [],
        "locale": None,
        "emailId": f"c{message.campaign_id}:t{message.template_id}:{message.email}",
    }


def send_fields(message: Message) -> dict[str, Any]:
    """Beyond the block, of `emailSend`; only triggered sends carry their data."""
    if message.is_blast:
        return {"contentId": message.content_id}
    return {"contentId": message.content_id, "transactionalData": cut(message.data_fields)}


def skip_fields(message: Message, at: float) -> dict[str, Any]:
    """The older documented example of `emailSendSkip`: five fields and no more."""
    return {
        "createdAt": moment(at),
        "reason": message.skip_reason,
        "campaignId": message.campaign_id,
        "messageId": message.id,
        "email": message.email,
    }


def open_fields() -> dict[str, Any]:
    return {**_AGENT, "device": "Gmail", "proxySource": "Gmail"}


def click_fields(url: str) -> dict[str, Any]:
    """The link has two names in each of its two forms, depending on the payload's age."""
    link_id = f"{sum(url.encode()) % 10**10:010d}"
    return {
        **_AGENT,
        **_PLACE,
        "url": url,
        "linkUrl": url,
        "linkId": link_id,
        "canonicalUrlId": link_id,
    }


def hosted_unsubscribe_fields(url: str) -> dict[str, Any]:
    return {**_AGENT, **_PLACE, "url": url}


def unsubscribe_fields(
    source: str, *, lists: Iterable[int] = (), channels: Iterable[int] = (), types: Iterable[int] = ()
) -> dict[str, Any]:
    """The array that is filled tells the scope: a list, a channel, or a message type."""
    return {
        "unsubSource": source,
        "emailListIds": sorted(lists),
        "channelIds": sorted(channels),
        "messageTypeIds": sorted(types),
    }


def subscribe_fields(
    source: str, at: float, public_id: str, *, lists: Iterable[int], channels: Iterable[int], types: Iterable[int]
) -> dict[str, Any]:
    return {
        "signupSource": source,
        "profileUpdatedAt": moment(at),
        "publicIdString": public_id,
        "emailListIds": sorted(lists),
        "channelIds": sorted(channels),
        "messageTypeIds": sorted(types),
    }


def cut(data: Mapping[str, Any]) -> dict[str, Any]:
    """At most 12,000 characters in total (Iterable help centre). How is unknown: here, whole fields go, in order."""
    kept: dict[str, Any] = {}
    room = TRANSACTIONAL_DATA_CHARACTERS - len("{}")
    for name, value in data.items():
        size = len(orjson.dumps({name: value}).decode()) - len("{}") + len(",")
        if size <= room:
            kept[name] = value
            room -= size
    return kept
