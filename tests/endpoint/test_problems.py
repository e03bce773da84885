"""How the endpoint says no: a code for each reason, the same wherever it is met."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from temporalio.client import Client

from contracts.errors import API_MEANING, ApiCode, ErrorCode
from endpoint.app import create_app
from runtime.settings import Settings
from store.store import Store

TOKEN = {"Authorization": "Bearer admin"}
JSON = {"Content-Type": "application/json"}
WORKSPACE = "/v1/workspaces/acme"


@pytest.fixture
async def http(store: Store) -> AsyncGenerator[httpx.AsyncClient]:
    """Temporal is away."""
    away = await Client.connect("127.0.0.1:1", lazy=True)
    app = create_app(store, away, Settings(admin_token=SecretStr("admin"), webhook_max_bytes=1_000))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://endpoint", headers=TOKEN) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("method", "path", "asked", "status", "code"),
    [
        ("GET", "/nothing", {}, 404, ApiCode.NOT_FOUND),
        ("GET", f"{WORKSPACE}/timeline/", {}, 404, ApiCode.NOT_FOUND),
        ("GET", "/codec/nothing", {}, 404, ApiCode.NOT_FOUND),
        ("GET", f"{WORKSPACE}/sends/s1", {}, 404, ApiCode.NOT_FOUND),
        ("GET", f"{WORKSPACE}/timeline", {}, 404, ErrorCode.CONNECTOR_NOT_INSTALLED),
        ("PATCH", f"{WORKSPACE}/connector", {}, 405, ApiCode.METHOD_NOT_ALLOWED),
        ("GET", "/codec/decode", {}, 405, ApiCode.METHOD_NOT_ALLOWED),
        ("GET", "/webhooks/iterable/acme", {}, 405, ApiCode.METHOD_NOT_ALLOWED),
        ("PUT", f"{WORKSPACE}/templates", {"content": b" " * 16_000_001}, 413, ApiCode.TOO_LARGE),
        ("PUT", f"{WORKSPACE}/templates", {"content": b"{}"}, 415, ApiCode.UNSUPPORTED_MEDIA_TYPE),
        ("PUT", f"{WORKSPACE}/connector", {"data": {"a": "b"}}, 415, ApiCode.UNSUPPORTED_MEDIA_TYPE),
        ("PUT", f"{WORKSPACE}/connector", {"content": b"[]", "headers": JSON}, 400, ErrorCode.REQUEST_INVALID),
        ("PUT", f"{WORKSPACE}/connector", {"content": b"\xff", "headers": JSON}, 400, ErrorCode.REQUEST_INVALID),
        ("PUT", f"{WORKSPACE}/templates", {"content": b"{", "headers": JSON}, 400, ErrorCode.REQUEST_INVALID),
        ("PUT", "/v1/workspaces/%00/templates", {"json": {}}, 400, ErrorCode.REQUEST_INVALID),
        ("PUT", f"{WORKSPACE}/templates", {"json": {"x": 1}}, 400, ErrorCode.TEMPLATE_INVALID),
        ("GET", f"{WORKSPACE}/timeline?after=-1", {}, 400, ErrorCode.REQUEST_INVALID),
        ("GET", f"{WORKSPACE}/timeline", {"headers": {"Authorization": ""}}, 401, ApiCode.UNAUTHORISED),
        ("POST", "/webhooks/iterable/acme", {"json": {}}, 401, ApiCode.UNAUTHORISED),
        ("POST", "/codec/decode", {"json": {}}, 503, ApiCode.CODEC_DISABLED),
    ],
)
async def test_each_reason_has_its_code(
    http: httpx.AsyncClient, method: str, path: str, asked: dict[str, Any], status: int, code: str
) -> None:
    answer = await http.request(method, path, **asked)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["message"]
    assert ("Allow" in answer.headers) == (status == 405)


async def test_the_description_has_every_code_and_what_it_means(http: httpx.AsyncClient) -> None:
    told = (await http.get("/openapi.json")).json()["info"]["description"]
    assert [code for code in [*ApiCode, *ErrorCode] if f"`{code}`" not in told] == []
    assert [code for code in ApiCode if API_MEANING[code] not in told] == []
    assert set(ApiCode).isdisjoint(ErrorCode)
