"""One event as Iterable's system webhooks and exports report it.

Every oddity of the payloads is here: two homes for a link, a click on the unsubscribe page that is no unsubscribe, one
event name for every medium's unsubscribes, correlation that comes back as an object or as a JSON string.
Sources: Iterable help centre (system webhooks, event properties); where `metadata` comes back is documented nowhere, so
every plausible place is looked at.
"""

import contextlib
from datetime import datetime
from typing import Any, Literal, NamedTuple, cast
from urllib.parse import urlsplit, urlunsplit

import orjson

from iterable.dates import parse_event_time, query_text

CORRELATION_KEY = "genieos"
EMAIL_EVENTS = (
    "emailSend",
    "emailSendSkip",
    "emailBounce",
    "emailComplaint",
    "emailSubscribe",
    "emailUnSubscribe",
    "emailOpen",
    "emailClick",
    "hostedUnsubscribeClick",
)
"""Everything that a system webhook reports of email, and an export too (help centre, Swagger 1.8). Sends first: they
name the message that the others are about; then what suppresses people."""
SEND_EVENTS = frozenset({"emailSend", "emailSendSkip"})
"""What becomes of a message that Iterable took: it goes out, or it is skipped."""
ReadFrom = Literal["export", "events"]
_READ_FROM = "readFrom"  # ours: no webhook has it
_USUAL_TIME = len("2026-01-31 18:05:00 +00:00")
_LONGEST_NAME = 100
_OTHER_MEDIA = ("push", "sms", "inApp", "webPush", "inbox", "embedded", "whatsApp")


class UnreadableEvent(Exception):
    """A payload without what every event has. Its message names the missing part, never a value."""


class WebhookEvent(NamedTuple):
    """What was reported, in Iterable's words. A tuple, because a frozen class takes five times as long to make.

    `url` has lost its query and fragment, which may be personal; `occurrence` is the payload's `occurrence_key`.
    `list_ids`, `channel_ids` and `message_type_ids` say what was subscribed to or unsubscribed from, `source` by whom
    (`unsubSource`, `signupSource`). `channel_id` and `message_type_id` are those of the message that led to it.
    """

    name: str
    email: str | None
    user_id: str | None
    occurred_at: datetime
    message_id: str | None
    campaign_id: int | None
    reason: str | None
    url: str | None
    correlation: dict[str, str]
    occurrence: str
    source: str | None = None
    list_ids: tuple[int, ...] = ()
    channel_ids: tuple[int, ...] = ()
    message_type_ids: tuple[int, ...] = ()
    channel_id: int | None = None
    message_type_id: int | None = None
    read_from: str | None = None
    """Where we read it ourselves; None for a webhook."""


def concerns_email(payload: dict[str, Any]) -> bool:
    """False only for events that are known to be of other media; an unknown event may be anything, so it is kept."""
    return not str(payload.get("eventName", "")).startswith(_OTHER_MEDIA)


def occurrence_key(payload: dict[str, Any]) -> str:
    """Names the occurrence, so that a second report of it is recognised. Iterable gives events no id.

    A webhook, an export line and an entry of `events/{email}` about one occurrence have the same key, although they do
    not have the same fields. So only what all of them have goes into it: the event's name and second and, where there
    is a message, its id and for a click the link (which has two names); without a message, the person (the address
    where there is one, since not every report has the user id beside it) and the lists, channels or message types.

    Two openings of one message in the same second are one occurrence by this; that is as fine as Iterable's time is.
    """
    fields = _fields(payload)
    message_id = fields.get("messageId")
    parts: tuple[Any, ...] = (payload.get("eventName"), _second(fields.get("createdAt")))
    if message_id:
        parts += (message_id, fields.get("url") or fields.get("linkUrl"))
    else:
        email = payload.get("email") or fields.get("email")
        person = email.lower() if isinstance(email, str) else payload.get("userId") or fields.get("userId")
        parts += (None, person, fields.get("campaignId"))
    parts += (_ids(fields, "emailListIds"), _ids(fields, "channelIds"), _ids(fields, "messageTypeIds"))
    return "\x1f".join("" if part is None else str(part) for part in parts)


def as_webhook(name: str, entry: dict[str, Any], read_from: ReadFrom) -> dict[str, Any]:
    """An entry of an export or of `events/{email}`, which are flat, in the form of a webhook's payload."""
    fields = {key: value for key, value in entry.items() if key != "eventType"}
    payload: dict[str, Any] = {"eventName": name, "dataFields": fields, _READ_FROM: read_from}
    return payload | {key: fields[key] for key in ("email", "userId") if fields.get(key)}


def parse(body: bytes) -> WebhookEvent:
    """Reads one event. Raises `UnreadableEvent`."""
    try:
        payload: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UnreadableEvent("not JSON") from None
    if not isinstance(payload, dict):
        raise UnreadableEvent("not a JSON object")
    payload = cast("dict[str, Any]", payload)
    fields = _fields(payload)
    name = payload.get("eventName")
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise UnreadableEvent("no eventName")
    return WebhookEvent(
        name=name,
        email=_text(payload.get("email") or fields.get("email")),
        user_id=_text(payload.get("userId") or fields.get("userId")),
        occurred_at=_occurred_at(fields),
        message_id=_text(fields.get("messageId")),
        campaign_id=_number(fields.get("campaignId")),
        reason=_text(fields.get("reason") or fields.get("recipientState") or fields.get("unsubSource")),
        url=_bare_url(fields.get("url") or fields.get("linkUrl")),
        correlation=_correlation(payload, fields),
        occurrence=occurrence_key(payload),
        source=_text(fields.get("unsubSource") or fields.get("signupSource")),
        list_ids=_numbers(fields.get("emailListIds")) or _numbers([fields.get("emailListId")]),  # an export's form
        channel_ids=_numbers(fields.get("channelIds")),
        message_type_ids=_numbers(fields.get("messageTypeIds")),
        channel_id=_number(fields.get("channelId")),
        message_type_id=_number(fields.get("messageTypeId")),
        read_from=_text(payload.get(_READ_FROM)),
    )


def people_of(body: bytes) -> list[tuple[str | None, str | None]]:
    """(address, user id) of everybody whom a payload names, also one that is no readable event. Raises
    `UnreadableEvent` where it is no JSON object."""
    try:
        payload: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UnreadableEvent("not JSON") from None
    if not isinstance(payload, dict):
        raise UnreadableEvent("not a JSON object")
    payload = cast("dict[str, Any]", payload)
    return [(_text(holder.get("email")), _text(holder.get("userId"))) for holder in (payload, _fields(payload))]


def _fields(payload: dict[str, Any]) -> dict[str, Any]:
    fields = payload.get("dataFields")
    return cast("dict[str, Any]", fields) if isinstance(fields, dict) else {}


def _occurred_at(fields: dict[str, Any]) -> datetime:
    created_at = fields.get("createdAt")
    if not isinstance(created_at, str):
        raise UnreadableEvent("no dataFields.createdAt")
    try:
        return parse_event_time(created_at)
    except ValueError:
        raise UnreadableEvent("dataFields.createdAt is not a time") from None


def _second(created_at: Any) -> Any:
    """The moment in its usual form, so that other forms of it are recognised; what is no moment stays as it is."""
    if not isinstance(created_at, str) or (len(created_at) == _USUAL_TIME and created_at.endswith(" +00:00")):
        return created_at
    try:
        return query_text(parse_event_time(created_at))
    except ValueError:
        return created_at


def _ids(fields: dict[str, Any], name: str) -> str:
    """Ids in order: nothing says that every report has them in the same one. An export may have them as text."""
    value = _list(fields.get(name))
    if isinstance(value, str) and value.startswith("["):
        return value
    return ",".join(sorted(str(one) for one in cast("list[Any]", value))) if isinstance(value, list) else ""


def _correlation(payload: dict[str, Any], fields: dict[str, Any]) -> dict[str, str]:
    for holder in (fields.get("transactionalData"), fields.get("metadata"), payload.get("metadata")):
        found = _object(_object(holder).get(CORRELATION_KEY))
        if found:
            return {key: value for key, value in found.items() if isinstance(value, str)}
    return {}


def _object(value: Any) -> dict[str, Any]:
    """An object, or one that an export wrote as a JSON string."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _list(value: Any) -> Any:
    """A list, or one that an export wrote as text; anything else as it is."""
    if isinstance(value, str) and value.startswith("["):
        with contextlib.suppress(orjson.JSONDecodeError):
            return orjson.loads(value)
    return value


def _numbers(value: Any) -> tuple[int, ...]:
    value = _list(value)
    if not isinstance(value, list):
        return ()
    items = cast("list[Any]", value)
    return tuple(sorted({item for item in items if isinstance(item, int) and not isinstance(item, bool)}))


def _bare_url(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        scheme, host, path, _, _ = urlsplit(value)
    except ValueError:
        return None
    if "@" in host or "@" in path or "%40" in path:
        path, host = "", host.rpartition("@")[2]
    return urlunsplit((scheme, host, path, "", "")) if scheme in {"http", "https"} else None
