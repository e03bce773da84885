"""What happened: events of a person, messages sent to a person, and the export."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from starlette.responses import Response

from sandbox.api.call import Call, Operation
from sandbox.events import EVENT_NAMES, Event
from sandbox.users import shown as user_shown
from sandbox.wire import answer, bad_params, moment, parse_moment

_MOST_EVENTS: Final = 200
_MOST_MESSAGES: Final = 1_000
# Data types that exist at Iterable and have nothing to do with email; their export is empty here.
_OTHER_TYPES: Final = frozenset(
    {
        *(f"push{what}" for what in ("Send", "Open", "Uninstall", "Bounce", "SendSkip")),
        *(f"inApp{what}" for what in ("Send", "Open", "Click", "Close", "Delete", "Delivery", "SendSkip", "Recall")),
        *(f"sms{what}" for what in ("Send", "Bounce", "Click", "Received", "SendSkip")),
        *(f"webPush{what}" for what in ("Send", "Click", "SendSkip")),
        *("inboxSession", "inboxMessageImpression", "purchase", "customEvent"),
    }
)


def events_of_email(call: Call) -> Response:
    return _events(call, call.project.events.of_email(call.path_text("email")))


def events_of_user_id(call: Call) -> Response:
    return _events(call, call.project.events.of_user_id(call.path_text("userId")))


def _events(call: Call, events: Iterable[Event]) -> Response:
    """Newest first. An event shows a few seconds after the fact."""
    limit = call.number("limit", 30, most=_MOST_EVENTS)
    shown: list[dict[str, Any]] = []
    for event in events:
        if len(shown) == limit:
            break
        if event.visible_at > call.now:
            continue
        flat = event.flat()
        if call.project.settings.events_carry_transactional_data and event.transactional_data is not None:
            flat["transactionalData"] = event.transactional_data
        shown.append(flat)
    return answer({"events": shown})


def sent_messages(call: Call) -> Response:
    """Newest first, sent ones only; nothing of the request that caused a message comes back."""
    email, user_id = call.text("email"), call.text("userId")
    if (email is None) == (user_id is None):
        raise bad_params("Exactly one of email and userId is required")
    limit = call.number("limit", 10, most=_MOST_MESSAGES)
    campaign_ids = _campaign_ids(call)
    start, end = call.text("startDateTime"), call.text("endDateTime")
    after = parse_moment(start, "startDateTime") if start else None
    before = parse_moment(end, "endDateTime") if end else None
    no_blasts = call.flag("excludeBlastCampaigns") and not campaign_ids
    other_medium = call.text("messageMedium") not in {None, "Email"}
    lag = call.project.settings.lags.events
    found: list[dict[str, Any]] = []
    for message in call.world.outbox.of_person(call.project.id, email=email, user_id=user_id):
        if len(found) == limit or other_medium:
            break
        if message.status != "sent" or message.sent_at is None or message.campaign_id is None:
            continue
        if message.sent_at + lag > call.now or (no_blasts and message.is_blast):
            continue
        if campaign_ids and message.campaign_id not in campaign_ids:
            continue
        # Whole seconds, as they are shown.
        sent_at = int(message.sent_at)
        if (after is not None and sent_at < after) or (before is not None and sent_at >= before):
            continue
        found.append(
            {
                "messageId": message.id,
                "campaignId": message.campaign_id,
                "templateId": message.template_id,
                "createdAt": moment(message.sent_at),
            }
        )
    return answer({"messages": found})


def _campaign_ids(call: Call) -> set[int]:
    try:
        return {int(value) for value in call.texts("campaignIds")}
    except ValueError:
        raise bad_params("Invalid campaignIds") from None


def export_json(call: Call) -> Response:
    """One JSON object a line."""
    name = call.required_text("dataTypeName")
    after, before = _span(call)
    campaign_id = call.required_number("campaignId") if call.text("campaignId") else None
    only = {field for value in call.texts("onlyFields") for field in value.split(",")}
    omitted = set((call.text("omitFields") or "").split(","))
    lines = [
        orjson.dumps({key: value for key, value in line.items() if (not only or key in only) and key not in omitted})
        for line in _exported(call, name, after, before, campaign_id)
    ]
    return Response(b"".join(line + b"\n" for line in lines), media_type="application/x-json-stream")


def _exported(
    call: Call, name: str, after: float | None, before: float | None, campaign_id: int | None
) -> Iterable[dict[str, Any]]:
    def within(at: float) -> bool:
        return (after is None or at >= after) and (before is None or at < before)

    if name == "user":
        visible = [(user, user.profile.seen(call.now)) for user in call.project.users]
        return [
            user_shown(user, profile, call.project.users.project_type)["dataFields"]
            for user, profile in visible
            if profile is not None and within(profile.updated_at)
        ]
    if name in EVENT_NAMES:
        return [
            event.exported()
            for event in call.project.events.named(name)
            if event.visible_at <= call.now
            and within(int(event.at))
            and (campaign_id is None or event.campaign_id == campaign_id)
        ]
    if name in _OTHER_TYPES:
        return []
    raise bad_params("Invalid dataTypeName", {"dataTypeName": name})


def _span(call: Call) -> tuple[float | None, float | None]:
    """Either `range` (in UTC) or a start and an end; the start counts in, the end does not."""
    start, end = call.text("startDateTime"), call.text("endDateTime")
    if start or end:
        return (
            parse_moment(start, "startDateTime") if start else None,
            parse_moment(end, "endDateTime") if end else None,
        )
    today = datetime.fromtimestamp(call.now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    spans: dict[str, tuple[datetime | None, datetime | None]] = {
        "Today": (today, None),
        "Yesterday": (today - timedelta(days=1), today),
        "BeforeToday": (None, today),
        "All": (None, None),
    }
    wanted = call.text("range") or "Today"
    if wanted not in spans:
        raise bad_params("Invalid range")
    after, before = spans[wanted]
    return after and after.timestamp(), before and before.timestamp()


OPERATIONS: Final = (
    Operation("GET", "/api/events/byUserId/{userId}", events_of_user_id),
    Operation("GET", "/api/events/{email}", events_of_email),
    Operation("GET", "/api/users/getSentMessages", sent_messages),
    Operation("GET", "/api/export/data.json", export_json),
)
