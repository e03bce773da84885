"""What goes over the wire, call by call: exactly this, and valid by Iterable's own description of the API."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import jsonschema
import pytest
from pydantic import SecretStr, ValidationError

from iterable.client import IterableClient
from iterable.email import TargetEmail
from iterable.errors import Refused
from iterable.lists import Subscriber, Unsubscriber
from iterable.subscriptions import SubscriptionUpdate
from iterable.templates import EmailTemplate, LinkParam
from tests.iterable.conftest import Wire

SWAGGER = Path(__file__).parents[2].parent / "shared/data/iterable-swagger.json"
NOON_IN_BERLIN = datetime(2026, 1, 31, 12, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=1)))


class Call(NamedTuple):
    """A call, an answer that fits it, and what has to be asked."""

    make: Callable[[IterableClient], Awaitable[object]]
    answer: object
    method: str
    path: str
    """As in the Swagger, to look it up."""
    raw_path: str = ""
    """As on the wire, where it differs."""
    query: list[tuple[str, str]] = []
    body: dict[str, Any] | None = None


async def listed(items: AsyncIterator[object]) -> list[object]:
    return [item async for item in items]


SUCCESS = {"msg": "", "code": "Success", "params": None}
BULK = {"successCount": 1, "failCount": 0}
CALLS = {
    "templates.upsert": Call(
        lambda client: client.templates.upsert(
            EmailTemplate(
                client_template_id="genieos-1",
                message_type_id=7,
                name="Welcome",
                subject="Hi",
                preheader_text="",
                html="<p>",
                plain_text="p",
                from_email="a@example.com",
                from_name="A",
                reply_to_email="",
                link_params=[LinkParam(key="utm", value="x")],
            )
        ),
        {"msg": "Upserted 1 templates with IDs: 255882", "code": "Success", "params": None},
        "POST",
        "/api/templates/email/upsert",
        body={
            "clientTemplateId": "genieos-1",
            "messageTypeId": 7,
            "name": "Welcome",
            "subject": "Hi",
            "preheaderText": "",
            "html": "<p>",
            "plainText": "p",
            "fromEmail": "a@example.com",
            "fromName": "A",
            "replyToEmail": "",
            "linkParams": [{"key": "utm", "value": "x"}],
        },
    ),
    "templates.find": Call(
        lambda client: client.templates.find("genieos-1"),
        {"templates": []},
        "GET",
        "/api/templates/getByClientTemplateId",
        query=[("clientTemplateId", "genieos-1")],
    ),
    "templates.get": Call(
        lambda client: client.templates.get(5),
        {"templateId": 5},
        "GET",
        "/api/templates/email/get",
        query=[("templateId", "5")],
    ),
    "templates.preview": Call(
        lambda client: client.templates.preview(5, {"name": "Ann"}),
        "<p>Ann</p>",
        "POST",
        "/api/templates/email/preview",
        query=[("templateId", "5")],
        body={"dataFields": {"name": "Ann"}},
    ),
    "campaigns.create_triggered": Call(
        lambda client: client.campaigns.create_triggered(name="Welcome", template_id=5),
        {"campaignId": 9},
        "POST",
        "/api/campaigns/create",
        body={"name": "Welcome", "templateId": 5},
    ),
    "campaigns.activate": Call(
        lambda client: client.campaigns.activate(9),
        SUCCESS,
        "POST",
        "/api/campaigns/activateTriggered",
        body={"campaignId": 9},
    ),
    "campaigns.deactivate": Call(
        lambda client: client.campaigns.deactivate(9),
        SUCCESS,
        "POST",
        "/api/campaigns/deactivateTriggered",
        body={"campaignId": 9},
    ),
    "campaigns.get": Call(
        lambda client: client.campaigns.get(9),
        {"id": 9, "name": "n", "type": "Triggered", "campaignState": "Ready", "createdAt": 0},
        "GET",
        "/api/campaigns/{id}",
        "/api/campaigns/9",
    ),
    "campaigns.newest": Call(
        lambda client: listed(client.campaigns.newest(50)),
        {"campaigns": [{"id": 9, "name": "n", "type": "Blast", "campaignState": "Ready", "createdAt": 0}]},
        "GET",
        "/api/campaigns",
        query=[("page", "1"), ("pageSize", "50"), ("sort", "-createdAt")],
    ),
    "campaigns.archive": Call(
        lambda client: client.campaigns.archive([9, 10]),
        {"success": [9], "failed": [10]},
        "POST",
        "/api/campaigns/archive",
        body={"campaignIds": [9, 10]},
    ),
    "email.target by address": Call(
        lambda client: client.email.target(
            TargetEmail(
                campaign_id=9,
                recipient_email="ann@example.com",
                data_fields={"name": None, "nested": {"none": None, "big": 2**70}},
                metadata={"send": "s1"},
                send_at=NOON_IN_BERLIN,
            )
        ),
        SUCCESS,
        "POST",
        "/api/email/target",
        body={
            "campaignId": 9,
            "recipientEmail": "ann@example.com",
            "dataFields": {"name": None, "nested": {"none": None, "big": 2**70}},
            "metadata": {"send": "s1"},
            "allowRepeatMarketingSends": True,
            "sendAt": "2026-01-31 11:00:00",
        },
    ),
    "email.target by user id": Call(
        lambda client: client.email.target(
            TargetEmail(campaign_id=9, recipient_user_id="u-1", allow_repeat_marketing_sends=False)
        ),
        SUCCESS,
        "POST",
        "/api/email/target",
        body={"campaignId": 9, "recipientUserId": "u-1", "allowRepeatMarketingSends": False},
    ),
    "users.update": Call(
        lambda client: client.users.update(
            email="ann@example.com", user_id="u-1", data_fields={"age": 7}, merge_nested_objects=True
        ),
        SUCCESS,
        "POST",
        "/api/users/update",
        body={
            "email": "ann@example.com",
            "userId": "u-1",
            "dataFields": {"age": 7},
            "mergeNestedObjects": True,
        },
    ),
    "users.get_by_email": Call(
        lambda client: client.users.get_by_email("ann+b/c@example.com"),
        {},
        "GET",
        "/api/users/getByEmail",
        query=[("email", "ann+b/c@example.com")],
    ),
    "users.get_by_user_id": Call(
        lambda client: client.users.get_by_user_id("../u?1"),
        {},
        "GET",
        "/api/users/byUserId",
        query=[("userId", "../u?1")],
    ),
    "users.sent_messages": Call(
        lambda client: client.users.sent_messages(
            email="ann@example.com",
            campaign_ids=[1, 2],
            start=NOON_IN_BERLIN,
            end=datetime(2026, 2, 1, tzinfo=UTC),
            limit=100,
        ),
        {"messages": []},
        "GET",
        "/api/users/getSentMessages",
        query=[
            ("email", "ann@example.com"),
            ("limit", "100"),
            ("messageMedium", "Email"),
            ("campaignIds", "1"),
            ("campaignIds", "2"),
            ("startDateTime", "2026-01-31 11:00:00 +00:00"),
            ("endDateTime", "2026-02-01 00:00:00 +00:00"),
        ],
    ),
    "events.for_user by address": Call(
        lambda client: client.events.for_user(email="a+b/c %2F@x.example"),
        {"events": []},
        "GET",
        "/api/events/{email}",
        "/api/events/a%2Bb%2Fc%20%252F%40x.example",
        query=[("limit", "200")],
    ),
    "events.for_user by user id": Call(
        lambda client: client.events.for_user(user_id="../users?x#y", limit=3),
        {"events": []},
        "GET",
        "/api/events/byUserId/{userId}",
        "/api/events/byUserId/..%2Fusers%3Fx%23y",
        query=[("limit", "3")],
    ),
    "channels.all": Call(lambda client: client.channels.all(), {"channels": []}, "GET", "/api/channels"),
    "message_types.all": Call(
        lambda client: client.message_types.all(), {"messageTypes": []}, "GET", "/api/messageTypes"
    ),
    "lists.all": Call(lambda client: client.lists.all(), {"lists": []}, "GET", "/api/lists"),
    "lists.subscribe": Call(
        lambda client: client.lists.subscribe(3, [Subscriber(email="ann@example.com", data_fields={"a": 1})]),
        BULK,
        "POST",
        "/api/lists/subscribe",
        body={
            "listId": 3,
            "subscribers": [{"email": "ann@example.com", "dataFields": {"a": 1}}],
            "updateExistingUsersOnly": False,
        },
    ),
    "lists.unsubscribe": Call(
        lambda client: client.lists.unsubscribe(3, [Unsubscriber(user_id="u-1")], channel_unsubscribe=True),
        BULK,
        "POST",
        "/api/lists/unsubscribe",
        body={"listId": 3, "subscribers": [{"userId": "u-1"}], "channelUnsubscribe": True},
    ),
    "subscriptions.update": Call(
        lambda client: client.subscriptions.update(
            SubscriptionUpdate(email="ann@example.com", unsubscribed_channel_ids=[1], email_list_ids=[])
        ),
        SUCCESS,
        "POST",
        "/api/users/updateSubscriptions",
        body={"email": "ann@example.com", "unsubscribedChannelIds": [1], "emailListIds": []},
    ),
    "subscriptions.bulk_update": Call(
        lambda client: client.subscriptions.bulk_update(
            [SubscriptionUpdate(user_id="u-1", unsubscribed_message_type_ids=[2])]
        ),
        BULK,
        "POST",
        "/api/users/bulkUpdateSubscriptions",
        body={"updateSubscriptionsRequests": [{"userId": "u-1", "unsubscribedMessageTypeIds": [2]}]},
    ),
    "webhooks.all": Call(lambda client: client.webhooks.all(), {"webhooks": []}, "GET", "/api/webhooks"),
    "webhooks.update": Call(
        lambda client: client.webhooks.update(
            4,
            endpoint="https://hooks.example.com/x",
            enabled=True,
            auth_type="OAuth2",
            auth_token=SecretStr("t0ken"),
            headers={"X-Token": SecretStr("secret")},
            triggered_send_enabled=True,
        ),
        {"id": 4, "endpoint": "https://hooks.example.com/x", "enabled": True},
        "POST",
        "/api/webhooks",
        body={
            "id": 4,
            "endpoint": "https://hooks.example.com/x",
            "enabled": True,
            "authType": "OAuth2",
            "authToken": "t0ken",
            "headers": [{"key": "X-Token", "value": "secret"}],
            "triggeredSendEnabled": True,
        },
    ),
    "export.data_json": Call(
        lambda client: listed(
            client.export.data_json(
                "emailSend",
                start=NOON_IN_BERLIN,
                end=datetime(2026, 2, 1, tzinfo=UTC),
                campaign_id=9,
                only_fields=["email", "createdAt"],
            )
        ),
        {"email": "ann@example.com"},
        "GET",
        "/api/export/data.json",
        query=[
            ("dataTypeName", "emailSend"),
            ("startDateTime", "2026-01-31 11:00:00 +00:00"),
            ("endDateTime", "2026-02-01 00:00:00 +00:00"),
            ("campaignId", "9"),
            ("onlyFields", "email"),
            ("onlyFields", "createdAt"),
        ],
    ),
}


@pytest.fixture(params=CALLS.values(), ids=CALLS.keys())
def call(request: pytest.FixtureRequest) -> Call:
    return request.param


async def test_a_call_asks_for_exactly_this(call: Call, client: IterableClient, wire: Wire) -> None:
    wire.answers(json=call.answer)

    await call.make(client)

    asked = wire.last
    path, _, query = asked.url.raw_path.decode().partition("?")
    assert (asked.method, path) == (call.method, call.raw_path or call.path)
    assert parse_qsl(query, keep_blank_values=True) == call.query
    assert (json.loads(asked.content) if asked.content else None) == call.body
    assert asked.headers["Api-Key"] == "0123456789abcdef0123456789abcdef"
    assert asked.headers["User-Agent"] == "genieos-iterable-connector"
    assert asked.headers.get("Content-Type") == ("application/json" if call.body is not None else None)
    assert "Cookie" not in asked.headers
    (record,) = wire.records
    assert (record.operation, record.outcome, record.status) == (f"{call.method} {call.path}", "taken", 200)


@pytest.mark.skipif(not SWAGGER.exists(), reason="Iterable's Swagger document is not beside this repository")
async def test_a_call_is_valid_by_the_swagger(call: Call, client: IterableClient, wire: Wire) -> None:
    swagger = json.loads(SWAGGER.read_text())
    if (
        call.path == "/api/campaigns/create"
    ):  # the text of the field contradicts `required`, and Iterable's client the list
        swagger["definitions"]["CreateCampaignRequest"]["required"].remove("listIds")
    wire.answers(json=call.answer)
    await call.make(client)
    operation = swagger["paths"][call.path][call.method.lower()]
    parameters = {(known["in"], known["name"]): known for known in operation["parameters"]}

    query = parse_qsl(wire.last.url.query.decode(), keep_blank_values=True)
    for name, value in query:
        known = parameters["query", name]
        assert known["type"] not in {"integer", "number"} or value.isdigit()
        assert value in known.get("enum", [value])
        assert known.get("collectionFormat") == "multi" or [key for key, _ in query].count(name) == 1
    asked_for = {("query", name) for name, _ in query} | {("body", "body") for _ in [0] if call.body is not None}
    asked_for |= {key for key in parameters if key[0] == "path"}
    assert {key for key, known in parameters.items() if known.get("required")} <= asked_for
    if call.body is not None:
        schema = parameters["body", "body"]["schema"] | {"definitions": swagger["definitions"]}
        jsonschema.Draft4Validator(schema).validate(call.body)
        assert set(call.body) <= set(swagger["definitions"][schema["$ref"].split("/")[-1]]["properties"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"deep": ["\udfff"]}])
async def test_what_json_cannot_carry_is_refused_and_never_leaves(
    value: Any, client: IterableClient, wire: Wire
) -> None:
    with pytest.raises(Refused) as caught:
        await client.email.target(TargetEmail(campaign_id=1, recipient_email="a@example.com", data_fields={"x": value}))
    assert (caught.value.status, caught.value.invalid_params) == (None, ("dataFields",))
    assert wire.requests == []


@pytest.mark.parametrize("user_id", [".", "..", "\ud800"])
async def test_no_user_id_reaches_another_endpoint(user_id: str, client: IterableClient, wire: Wire) -> None:
    with pytest.raises(Refused):
        await client.events.for_user(user_id=user_id)
    assert wire.requests == []


async def test_a_url_of_any_length_is_an_iterable_error(client: IterableClient, wire: Wire) -> None:
    with pytest.raises(Refused):
        await client.users.get_by_email("x" * 100_000)
    assert wire.requests == []


@pytest.mark.parametrize(
    "make",
    [
        lambda client: client.users.update(data_fields={}),
        lambda client: client.users.sent_messages(),
        lambda client: client.users.sent_messages(email="a@example.com", user_id="u"),
        lambda client: client.users.sent_messages(email="a@example.com", limit=1001),
        lambda client: client.users.sent_messages(email="a@example.com", start=datetime(2026, 1, 1)),  # noqa: DTZ001
        lambda client: client.events.for_user(email=""),
        lambda client: client.events.for_user(email="a@example.com", limit=201),
        lambda client: listed(client.campaigns.newest(1001)),
        lambda client: client.campaigns.archive([]),
        lambda client: client.campaigns.archive(range(1001)),
        lambda client: client.lists.unsubscribe(1, []),
    ],
)
async def test_a_mistake_of_the_calling_code_is_a_value_error(
    make: Callable[[IterableClient], Awaitable[object]], client: IterableClient, wire: Wire
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        await make(client)
    assert "a@example.com" not in str(caught.value)
    assert wire.requests == []


def test_a_request_is_strict_and_its_error_quotes_nothing() -> None:
    fields: dict[str, Any]
    for fields in (
        {"campaign_id": "1", "recipient_email": "ann@example.com"},
        {"campaign_id": 1},
        {"campaign_id": 1, "recipient_email": "ann@example.com", "recipient_user_id": "ann"},
        {"campaign_id": 1, "recipient_email": "ann@example.com", "subject": "ann@example.com"},
        {"campaign_id": 1, "recipient_email": "ann@example.com", "send_at": datetime(2026, 1, 1)},  # noqa: DTZ001
        {"campaign_id": 1, "recipient_email": "ann@example.com", "data_fields": {"x": object()}},
    ):
        with pytest.raises(ValidationError) as caught:
            TargetEmail(**fields)
        assert "ann" not in str(caught.value)


def test_personal_data_is_not_in_a_repr() -> None:
    message = TargetEmail(
        campaign_id=1, recipient_email="ann@example.com", data_fields={"n": "Ann"}, metadata={"m": "Ann"}
    )
    assert "ann" not in repr(message).lower()
