"""`POST /webhooks/iterable/{workspace}`, while Temporal is away: intake must not need it."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import ActivityEnvironment

from activities.catalogs import Catalogs
from activities.connectors import InstalledConnectors
from activities.inbox import InboxActivities
from contracts.connector import ConnectorSettings
from contracts.inbox import InboxShard
from endpoint.app import create_app
from endpoint.tokens import HEADER, new_token, token_hash
from iterable.webhook_event import parse
from runtime.clients import client_factory
from runtime.settings import Settings
from store.store import Store
from store.webhooks import WebhookAccess

PATH = "/webhooks/iterable/acme"
EVENT = {
    "email": "ann@example.com",
    "eventName": "emailSend",
    "dataFields": {"messageId": "m1", "createdAt": "2026-01-02 18:51:40 +00:00", "campaignId": 1},
}


@pytest.fixture
async def token(store: Store) -> str:
    fresh = new_token()
    async with store.begin() as tx:
        await tx.webhooks.add_token("acme", token_hash(fresh))
    return fresh


@pytest.fixture
async def http(store: Store) -> AsyncGenerator[httpx.AsyncClient]:
    away = await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter)
    app = create_app(store, away, Settings(webhook_max_bytes=10_000, admin_token=SecretStr("admin")))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://endpoint") as client,
    ):
        yield client


async def waiting(store: Store) -> int:
    async with store.read() as tx:
        return (await tx.inbox.counts("acme"))[0]


async def test_what_was_answered_2xx_is_in_the_store(http: httpx.AsyncClient, store: Store, token: str) -> None:
    answer = await http.post(PATH, json=EVENT, headers={HEADER: token})
    assert (answer.status_code, answer.content) == (204, b"")
    assert await waiting(store) == 1


async def test_events_that_come_together_are_all_kept(http: httpx.AsyncClient, store: Store, token: str) -> None:
    events = [{**EVENT, "dataFields": {**EVENT["dataFields"], "messageId": f"m{n}"}} for n in range(100)]  # pyright: ignore
    answers = await asyncio.gather(*(http.post(PATH, json=event, headers={HEADER: token}) for event in events))
    assert {answer.status_code for answer in answers} == {204}
    assert await waiting(store) == 100


@pytest.mark.parametrize("is_array", [False, True])
async def test_half_a_character_loses_no_event(
    http: httpx.AsyncClient, store: Store, token: str, is_array: bool
) -> None:
    event = {**EVENT, "dataFields": {**EVENT["dataFields"], "emailSubject": "Hi \ud83d"}}  # pyright: ignore
    body = json.dumps([event] if is_array else event)
    answer = await http.post(PATH, content=body, headers={HEADER: token})
    assert answer.status_code == 204
    async with store.read() as tx:
        (found,) = (await tx.inbox.batch("acme", 0, 10, 10_000)).waiting
    assert parse(found.body).name == EVENT["eventName"]


async def test_an_array_is_taken_and_the_same_occurrence_is_kept_once(
    http: httpx.AsyncClient, store: Store, token: str
) -> None:
    other = {**EVENT, "eventName": "emailOpen"}
    answer = await http.post(PATH, json=[EVENT, other, EVENT], headers={HEADER: token})
    assert answer.status_code == 204
    await http.post(PATH, json=EVENT, headers={HEADER: token})
    away = await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter)
    catalogs = Catalogs(store, InstalledConnectors(store, client_factory(Settings())))
    inbox = InboxActivities(store, away, catalogs, "iterable")
    await ActivityEnvironment().run(inbox.drain_inbox, InboxShard(workspace_id="acme"))
    assert await waiting(store) == 0
    async with store.read() as tx:
        assert await tx.events.count_unmatched("acme") == 2


async def test_unknown_workspace_and_wrong_token_look_the_same(http: httpx.AsyncClient, token: str) -> None:
    answers = [
        await http.post(PATH, json=EVENT, headers={HEADER: "wrong"}),
        await http.post(PATH, json=EVENT),
        await http.post("/webhooks/iterable/nobody", json=EVENT, headers={HEADER: token}),
        await http.post("/webhooks/iterable/no%20body", json=EVENT, headers={HEADER: token}),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"null", 400),
        (b'"text"', 400),
        (b"[1]", 400),
        (b'{"a":' * 2000, 400),
        (b"\xff\xfe", 400),
        (b"[" + b"{}," * 1000 + b"{}]", 400),
        (b'{"x":"' + b"x" * 20_000 + b'"}', 413),
        (b"{}", 204),  # an event without anything is kept and set aside later, with the reason
        (b"[]", 204),
    ],
)
async def test_bad_bodies_get_a_clear_status(http: httpx.AsyncClient, token: str, body: bytes, status: int) -> None:
    answer = await http.post(PATH, content=body, headers={HEADER: token})
    assert answer.status_code == status


async def test_events_of_other_media_are_answered_and_counted_and_not_kept(
    http: httpx.AsyncClient, store: Store, token: str
) -> None:
    answer = await http.post(PATH, json={**EVENT, "eventName": "pushSend"}, headers={HEADER: token})
    assert answer.status_code == 204
    assert await waiting(store) == 0
    assert "connector_events_ignored_total 1.0" in (await http.get("/metrics")).text


async def test_a_database_that_does_not_take_events_is_answered_503(
    http: httpx.AsyncClient, store: Store, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await http.post(PATH, json=EVENT, headers={HEADER: token})
    monkeypatch.setattr(store, "keep", _broken)
    answer = await http.post(PATH, json={**EVENT, "eventName": "emailOpen"}, headers={HEADER: token})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


async def _install(store: Store, **settings: Any) -> None:
    wanted = ConnectorSettings.model_validate({"data_center": "us", **settings})
    async with store.begin() as tx:
        await tx.connectors.offer("acme", wanted, SecretStr("key"))


@pytest.mark.parametrize(
    ("networks", "proxies", "forwarded", "status"),
    [
        ([], "", "203.0.113.7", 204),
        (["127.0.0.0/8"], "", "203.0.113.7", 204),  # nobody is trusted: the peer counts, and not what it claims
        (["203.0.113.0/24"], "", "203.0.113.7", 403),
        (["203.0.113.0/24"], "127.0.0.1", "203.0.113.7", 204),
        (["203.0.113.0/24"], "127.0.0.1", "203.0.113.7, 198.51.100.1", 403),
        (["2001:db8::/32"], "10.0.0.0/8, 127.0.0.1", "2001:db8::1", 204),
        (["2001:db8::/32"], "127.0.0.1", "nonsense", 403),
    ],
)
async def test_webhooks_from_elsewhere_are_refused_and_counted(
    store: Store, token: str, networks: list[str], proxies: str, forwarded: str, status: int
) -> None:
    await _install(store, ip_allowlist=networks)
    away = await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter)
    app = create_app(store, away, Settings.model_validate({"trusted_proxies": proxies}))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://endpoint") as client,
    ):
        for _ in range(2):  # the second one is let in by what was remembered of the first
            answer = await client.post(PATH, json=EVENT, headers={HEADER: token, "X-Forwarded-For": forwarded})
            assert answer.status_code == status
    async with store.read() as tx:
        refused = [(one.reason, one.count) for one in await tx.webhooks.refused("acme")]
    assert refused == ([] if status == 204 else [("not_allowlisted", 2)])


async def test_wrong_tokens_are_counted_for_workspaces_that_exist(store: Store, token: str) -> None:
    away = await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter)
    app = create_app(store, away, Settings())
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://endpoint") as client,
    ):
        for path in (PATH, PATH, "/webhooks/iterable/nobody"):
            assert (await client.post(path, json=EVENT, headers={HEADER: "wrong"})).status_code == 401
    async with store.read() as tx:
        assert [(one.reason, one.count) for one in await tx.webhooks.refused("acme")] == [("wrong_token", 2)]
        assert await tx.webhooks.refused("nobody") == []


async def test_a_name_that_no_workspace_can_have_is_neither_looked_up_nor_remembered(
    store: Store, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WebhookAccess, "access", _broken)
    away = await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter)
    app = create_app(store, away, Settings())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://endpoint") as client:
        answer = await client.post(f"/webhooks/iterable/{'x' * 65}", json=EVENT, headers={HEADER: token})
        assert answer.status_code == 401


def _broken(arrivals: Any) -> Any:
    raise OSError


async def test_an_old_token_is_valid_until_it_expires(http: httpx.AsyncClient, store: Store, token: str) -> None:
    second = new_token()
    async with store.begin() as tx:
        await tx.webhooks.add_token("acme", token_hash(second))
    for valid in (token, second):
        assert (await http.post(PATH, json=EVENT, headers={HEADER: valid})).status_code == 204


async def test_health_says_what_is_away(http: httpx.AsyncClient) -> None:
    assert (await http.get("/healthz")).status_code == 200
    ready = await http.get("/readyz")
    assert ready.status_code == 503
    assert ready.json() == {"database": "ok", "temporal": "does not answer"}


async def test_the_api_is_behind_the_admin_token(http: httpx.AsyncClient) -> None:
    path = "/v1/workspaces/acme/sends/s1"
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic admin"}):
        assert (await http.get(path, headers=headers)).status_code == 401
    assert (await http.get(path, headers={"Authorization": "Bearer admin"})).status_code == 404


async def test_a_template_is_put_and_named_by_its_content(http: httpx.AsyncClient, store: Store) -> None:
    async with store.begin() as tx:
        await tx.connectors.offer("acme", ConnectorSettings(data_center="us"), SecretStr("key"))
    headers = {"Authorization": "Bearer admin"}
    template = {"template_id": "t", "name": "n", "subject": "s", "html": "<p>x</p>", "from_email": "a@b.test"}
    first = await http.put("/v1/workspaces/acme/templates", json=template, headers=headers)
    second = await http.put("/v1/workspaces/acme/templates", json=template, headers=headers)
    assert first.status_code == 200
    assert first.json() == second.json()
    bad = await http.put("/v1/workspaces/acme/templates", json={**template, "html": ""}, headers=headers)
    assert (bad.status_code, bad.json()["code"]) == (400, "template_invalid")
    broken = await http.put("/v1/workspaces/acme/templates", json={**template, "html": "{{#if}}"}, headers=headers)
    assert (broken.status_code, "line 1, column 1" in broken.text) == (400, True)
    assert (await http.put("/v1/workspaces/nobody/templates", json=template, headers=headers)).status_code == 404


@pytest.mark.parametrize("query", ["after=x", "after=-1", "limit=0", "limit=x", "after=99999999999999999999"])
async def test_a_timeline_refuses_a_cursor_that_is_none(http: httpx.AsyncClient, query: str) -> None:
    answer = await http.get(f"/v1/workspaces/acme/timeline?{query}", headers={"Authorization": "Bearer admin"})
    assert answer.status_code == 400
