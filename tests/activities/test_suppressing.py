"""What events say about suppressions, and what suppressions say about sends."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from activities.reading import kind_of, read
from activities.suppressing import Path, blocking, blocks, reports_of
from contracts.channel import Catalog, Channel, MessageType
from contracts.connector import ConnectorSettings
from contracts.suppression import WORKSPACE, Cause
from contracts.template import Stream
from iterable.webhook_event import parse
from store.keyring import KeyedHasher
from store.person import Person
from store.suppressions import Suppression, Told

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
RECEIPTS, NEWS, OTHER_NEWS, SMS, UNKNOWN = 1, 2, 3, 4, 99
CATALOG = Catalog(
    channels=[
        Channel(id=RECEIPTS, name="receipts", medium="Email", kind="Transactional"),
        Channel(id=NEWS, name="news", medium="Email", kind="Marketing"),
        Channel(id=OTHER_NEWS, name="other news", medium="Email", kind="Marketing"),
        Channel(id=SMS, name="sms", medium="SMS", kind="Marketing"),
    ],
    message_types=[
        MessageType(id=number * 10, name="", channel_id=number) for number in (RECEIPTS, NEWS, OTHER_NEWS, SMS)
    ],
)
SETTINGS = ConnectorSettings(
    data_center="us",
    transactional_message_type_id=RECEIPTS * 10,
    marketing_message_type_id=NEWS * 10,
    all_list_id=7,
)
HASHER = KeyedHasher(b"pepper")
BOTH: list[Stream] = ["transactional", "marketing"]


def said(name: str, *told: Told, catalog: Catalog = CATALOG, **fields: Any) -> list[Any]:
    """(cause, scope, lifts) of everything that an event reports."""
    payload = {"email": "Ann@Example.com", "eventName": name}
    event = parse(orjson.dumps({**payload, "dataFields": {"createdAt": "2026-01-02 12:00:00 +00:00", **fields}}))
    kind = kind_of(event)
    assert kind is not None
    people = Person.all_of(HASHER, event.email, event.user_id)
    found = list(reports_of(people, event, read(event, kind, "0" * 64), catalog, told))
    assert {report.at for report in found} <= {NOON}
    assert {report.person.value for report in found} <= {"ann@example.com"}
    return [(report.cause, report.scope, report.lifts) for report in found]


def held(cause: Cause, scope: str = WORKSPACE, since: datetime = NOON) -> Suppression:
    return Suppression("h", cause, scope, 1, None, None, since, since, None, None, None, None)


def blocked(one: Suppression, settings: ConnectorSettings = SETTINGS, catalog: Catalog = CATALOG) -> list[Stream]:
    return [path.stream for path in Path.all_of(settings, catalog) if blocks(one, path)]


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("emailBounce", {"recipientState": "HardBounce"}, [(Cause.HARD_BOUNCE, WORKSPACE, False)]),
        ("emailBounce", {"recipientState": "SoftBounceGeneral"}, []),
        ("emailBounce", {"recipientState": "MailBlockGeneral"}, []),
        ("emailBounce", {}, []),
        ("emailComplaint", {"recipientState": "Complaint"}, [(Cause.COMPLAINT, WORKSPACE, False)]),
        ("emailSendSkip", {"reason": "SuppressedByMessageService"}, []),
        ("emailSendSkip", {"reason": "InvalidRecipientEmail"}, []),
        ("hostedUnsubscribeClick", {"url": "https://example.com", "channelId": NEWS}, []),
        ("emailUnSubscribe", {"channelIds": [NEWS]}, [(Cause.UNSUBSCRIBE, "channel:2", False)]),
        ("emailUnSubscribe", {"channelIds": [SMS]}, []),
        ("emailUnSubscribe", {"channelIds": [SMS, NEWS]}, [(Cause.UNSUBSCRIBE, "channel:2", False)]),
        ("emailUnSubscribe", {"channelIds": [UNKNOWN]}, [(Cause.UNSUBSCRIBE, "channel:99", False)]),
        ("emailUnSubscribe", {"messageTypeIds": [NEWS * 10]}, [(Cause.UNSUBSCRIBE, "message_type:20", False)]),
        ("emailUnSubscribe", {"messageTypeIds": [SMS * 10]}, []),
        ("emailUnSubscribe", {"emailListIds": [7, 8]}, [(Cause.UNSUBSCRIBE, f"list:{n}", False) for n in (7, 8)]),
        ("emailUnSubscribe", {"emailListId": 7}, [(Cause.UNSUBSCRIBE, "list:7", False)]),  # as exports have it
        ("emailUnSubscribe", {"channelId": NEWS, "channelIds": []}, [(Cause.UNSUBSCRIBE, "channel:2", False)]),
        ("emailUnSubscribe", {"channelId": SMS, "channelIds": []}, []),
        ("emailUnSubscribe", {}, [(Cause.UNSUBSCRIBE, "marketing", False)]),
        (
            "emailUnSubscribe",
            {"unsubSource": "HardBounce", "channelIds": [NEWS, RECEIPTS]},
            [(Cause.HARD_BOUNCE, WORKSPACE, False)],
        ),
        ("emailUnSubscribe", {"unsubSource": "Complaint", "channelIds": [NEWS]}, [(Cause.COMPLAINT, WORKSPACE, False)]),
        ("emailUnSubscribe", {"unsubSource": "HardBounce", "channelIds": [SMS]}, []),
        ("emailSubscribe", {"channelIds": [NEWS]}, [(Cause.UNSUBSCRIBE, "channel:2", True)]),
        (
            "emailUnSubscribe",
            {"emailListIds": "[7]"},
            [(Cause.UNSUBSCRIBE, "list:7", False)],
        ),  # as an export may say it
        ("emailSubscribe", {"emailListIds": [7]}, [(Cause.UNSUBSCRIBE, "list:7", True)]),
        ("emailSubscribe", {}, []),
    ],
)
def test_what_an_event_reports(name: str, fields: dict[str, Any], expected: list[Any]) -> None:
    assert said(name, **fields) == expected


@pytest.mark.parametrize(
    ("source", "ids", "minutes", "is_echo"),
    [
        ("ListAPI", {"emailListIds": [7], "channelIds": [NEWS]}, 1, True),
        ("API", {"channelIds": [NEWS]}, -4, True),  # clocks differ
        ("EmailLink", {"channelIds": [NEWS]}, 1, False),
        ("API", {"channelIds": [NEWS]}, 61, False),
        ("API", {"channelIds": [NEWS]}, -6, False),
        ("API", {"messageTypeIds": [NEWS * 10]}, 1, False),  # a push names no message type
    ],
)
def test_only_what_a_program_did_soon_after_our_push_is_its_echo(
    source: str, ids: dict[str, Any], minutes: int, is_echo: bool
) -> None:
    told_at = NOON - timedelta(minutes=minutes)
    pushed, withdrawn = Told(pushed_at=told_at), Told(withdrawn_at=told_at)
    assert (said("emailUnSubscribe", pushed, unsubSource=source, **ids) == []) is is_echo
    assert (said("emailSubscribe", withdrawn, signupSource=source, **ids) == []) is is_echo
    assert said("emailUnSubscribe", unsubSource=source, **ids) != []
    assert said("emailUnSubscribe", withdrawn, unsubSource=source, **ids) != []  # an opt-out after we took ours back
    assert said("emailSubscribe", pushed, signupSource=source, **ids) != []


@pytest.mark.parametrize(
    ("removed", "is_echo"),
    [
        (1, True),  # it comes late, and happened while the suppression held
        (-1, False),  # nothing of ours holds any more: it is the person's own
    ],
)
def test_an_unsubscribe_after_the_removal_of_what_was_pushed_is_no_echo(removed: int, is_echo: bool) -> None:
    told = Told(
        pushed_at=NOON - timedelta(minutes=5),
        removed_at=NOON + timedelta(minutes=removed),
        withdrawn_at=NOON + timedelta(minutes=10),
    )
    assert (said("emailUnSubscribe", told, unsubSource="API", channelIds=[NEWS]) == []) is is_echo
    holds_too = Told(pushed_at=NOON - timedelta(minutes=5))
    assert said("emailUnSubscribe", told, holds_too, unsubSource="API", channelIds=[NEWS]) == []


@pytest.mark.parametrize(
    ("one", "streams"),
    [
        (held(Cause.HARD_BOUNCE), BOTH),
        (held(Cause.COMPLAINT), BOTH),
        (held(Cause.FORGOTTEN), BOTH),
        (held(Cause.MANUAL), BOTH),
        (held(Cause.MANUAL, "marketing"), ["marketing"]),
        (held(Cause.IMPORT, "transactional"), ["transactional"]),
        (held(Cause.UNSUBSCRIBE, f"channel:{NEWS}"), ["marketing"]),
        (held(Cause.UNSUBSCRIBE, f"channel:{RECEIPTS}"), ["transactional"]),
        (held(Cause.UNSUBSCRIBE, f"channel:{OTHER_NEWS}"), []),
        (held(Cause.UNSUBSCRIBE, f"channel:{UNKNOWN}"), []),
        (held(Cause.UNSUBSCRIBE, f"message_type:{NEWS * 10}"), ["marketing"]),
        (held(Cause.UNSUBSCRIBE, f"message_type:{OTHER_NEWS * 10}"), []),
        (held(Cause.UNSUBSCRIBE, "list:7"), ["marketing"]),
        (held(Cause.UNSUBSCRIBE, "list:8"), []),
        (held(Cause.UNSUBSCRIBE, "marketing"), ["marketing"]),
    ],
    ids=lambda value: f"{value.cause} {value.scope}" if isinstance(value, Suppression) else None,
)
def test_the_table_of_what_blocks_what(one: Suppression, streams: list[Stream]) -> None:
    assert blocked(one) == streams


def test_a_complaint_blocks_transactional_mail_unless_the_settings_say_otherwise() -> None:
    lenient = SETTINGS.model_copy(update={"complaint_blocks_transactional": False})
    assert blocked(held(Cause.COMPLAINT), lenient) == ["marketing"]


def test_without_a_catalog_an_unsubscribe_from_any_channel_blocks_marketing() -> None:
    assert blocked(held(Cause.UNSUBSCRIBE, f"channel:{OTHER_NEWS}"), catalog=Catalog()) == ["marketing"]


def test_a_list_blocks_nothing_without_an_all_list() -> None:
    assert blocked(held(Cause.UNSUBSCRIBE, "list:7"), SETTINGS.model_copy(update={"all_list_id": None})) == []


def test_the_oldest_rule_is_named() -> None:
    path = Path.of(SETTINGS, CATALOG, "marketing")
    newer, older = held(Cause.MANUAL), held(Cause.HARD_BOUNCE, since=NOON - timedelta(days=1))
    assert blocking([newer, older], path) is older
    assert blocking([], path) is None
