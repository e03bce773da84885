"""The client: regions, keys, hooks."""

from typing import Any

import httpx
import pytest
import structlog
from pydantic import SecretStr

from iterable.client import BaseUrls, CallRecord, IterableClient
from iterable.errors import NotConnected, OddAnswer
from tests.iterable.conftest import REQUEST_ID, Wire

KEY = SecretStr("0123456789abcdef0123456789abcdef")


@pytest.mark.parametrize(("data_center", "host"), [("us", "api.iterable.com"), ("eu", "api.eu.iterable.com")])
async def test_each_data_center_has_its_host(data_center: Any, host: str, wire: Wire) -> None:
    wire.answers(json={"channels": []})
    transport = httpx.MockTransport(wire.handle)
    async with IterableClient(data_center=data_center, api_key=KEY, transport=transport) as client:
        await client.channels.all()
    assert (wire.last.url.scheme, wire.last.url.host) == ("https", host)


@pytest.mark.parametrize("data_center", ["", "US", "us-east", "apac", None])
def test_an_unknown_data_center_is_an_error_and_never_a_default(data_center: Any) -> None:
    with pytest.raises(ValueError, match="data center"):
        IterableClient(data_center=data_center, api_key=KEY)


async def test_a_stand_in_may_live_below_a_path(wire: Wire) -> None:
    wire.answers(json={"events": []})
    urls = BaseUrls(us="http://127.0.0.1:8080/sandbox/")
    transport = httpx.MockTransport(wire.handle)
    async with IterableClient(data_center="us", api_key=KEY, base_urls=urls, transport=transport) as client:
        await client.events.for_user(email="a/b@x.example")
    assert str(wire.last.url) == "http://127.0.0.1:8080/sandbox/api/events/a%2Fb%40x.example?limit=200"


@pytest.mark.parametrize("url", ["", "api.iterable.com", "ftp://x", "https://", "https://x?y=1"])
def test_a_base_url_that_is_none_is_an_error(url: str) -> None:
    with pytest.raises(ValueError, match="base URL"):
        BaseUrls(us=url)


@pytest.mark.parametrize("key", ["", "abc def", "abc\n", "\x00", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_an_error_that_does_not_quote_it(key: str) -> None:
    with pytest.raises(ValueError, match="API key") as caught:
        IterableClient(data_center="us", api_key=SecretStr(key))
    assert not key.strip() or key.strip() not in str(caught.value)


async def test_a_closed_client_says_that_nothing_was_sent(client: IterableClient, wire: Wire) -> None:
    await client.aclose()
    with pytest.raises(NotConnected):
        await client.channels.all()
    assert wire.requests == []


async def test_the_client_shows_no_key(client: IterableClient) -> None:
    assert repr(client) == "IterableClient(data_center='us')"


async def test_every_call_leaves_one_line_and_one_record(client: IterableClient, wire: Wire) -> None:
    wire.answers(json={})
    with structlog.testing.capture_logs() as logs:
        await client.users.get_by_email("ann@example.com")
        with pytest.raises(OddAnswer):
            await client.channels.all()
    (taken, odd) = logs
    assert taken | {"duration_ms": 0} == {
        "event": "iterable.call",
        "log_level": "info",
        "operation": "GET /api/users/getByEmail",
        "outcome": "taken",
        "status": 200,
        "code": None,
        "request_id": REQUEST_ID,
        "duration_ms": 0,
    }
    assert (odd["outcome"], odd["status"]) == ("OddAnswer", 200)
    assert [record.outcome for record in wire.records] == ["taken", "OddAnswer"]
    assert all(record.duration_ms >= 0 for record in wire.records)


async def test_a_hook_that_fails_does_not_make_a_call_fail(wire: Wire) -> None:
    def fail(record: CallRecord) -> None:
        raise RuntimeError("ann@example.com")

    wire.answers(json={"channels": []})
    transport = httpx.MockTransport(wire.handle)
    with structlog.testing.capture_logs() as logs:
        async with IterableClient(data_center="us", api_key=KEY, transport=transport, on_call=fail) as client:
            assert await client.channels.all() == []
    assert [line["event"] for line in logs] == ["iterable.call", "iterable.on_call_failed"]
    assert "ann@" not in repr(logs)


async def test_a_request_id_that_is_none_is_not_let_in(client: IterableClient, wire: Wire) -> None:
    wire.answers(json={"channels": []}, headers={"Iterable-Request-Id": "ann@example.com"})
    await client.channels.all()
    assert wire.records[-1].request_id is None


async def test_cookies_are_not_kept(client: IterableClient, wire: Wire) -> None:
    wire.answers(json={"channels": []}, headers={"Set-Cookie": "session=1; Path=/"})
    await client.channels.all()
    await client.channels.all()
    assert "Cookie" not in wire.last.headers
