"""Faults over a real connection: what a client sees is what a network does."""

from collections.abc import AsyncGenerator
from typing import Any, Literal

import httpx
import pytest

from sandbox.app import create_app
from sandbox.settings import SandboxSettings
from tests.stage import served


@pytest.fixture(params=["httptools", "h11"])
async def client(request: pytest.FixtureRequest) -> AsyncGenerator[httpx.AsyncClient]:
    implementation: Literal["httptools", "h11"] = request.param
    app = create_app(SandboxSettings())
    async with (
        served(app, http=implementation, ws="none", timeout_graceful_shutdown=1) as base,
        httpx.AsyncClient(base_url=base, trust_env=False) as http,
    ):
        made = (await http.post("/_sandbox/projects", json={"lags": {"templates": 0}})).json()
        http.headers["Api-Key"] = made["keys"]["server"]
        yield http


async def upsert(client: httpx.AsyncClient, **options: Any) -> httpx.Response:
    body = {"clientTemplateId": "a", "html": "x" * 200_000}
    return await client.post("/us/api/templates/email/upsert", json=body, **options)


async def written(client: httpx.AsyncClient) -> int:
    return (await client.get("/_sandbox/counts")).json()["templates_written"]


async def fault(client: httpx.AsyncClient, kind: str, **spec: Any) -> None:
    body = {"path": "/api/templates/email/upsert", "kind": kind, "count": 1, **spec}
    assert (await client.post("/_sandbox/faults", json=body)).status_code == 201


@pytest.mark.parametrize(("kind", "taken"), [("reset_before", 0), ("reset_after", 1)])
async def test_a_cut_connection_is_reset(client: httpx.AsyncClient, kind: str, taken: int) -> None:
    await fault(client, kind)
    # While it still writes the body, the client may meet the reset there.
    with pytest.raises((httpx.ReadError, httpx.WriteError)):
        await upsert(client)
    assert await written(client) == taken
    assert (await upsert(client)).status_code == 200


@pytest.mark.parametrize(("kind", "taken"), [("hang_before", 0), ("hang_after", 1)])
async def test_a_silent_server_is_left_by_the_client(client: httpx.AsyncClient, kind: str, taken: int) -> None:
    await fault(client, kind)
    with pytest.raises(httpx.ReadTimeout):
        await upsert(client, timeout=0.3)
    assert await written(client) == taken
    assert (await upsert(client)).status_code == 200


async def test_silence_may_end_with_a_cut(client: httpx.AsyncClient) -> None:
    await fault(client, "hang_after", seconds=0.1)
    with pytest.raises(httpx.ReadError):
        await upsert(client, timeout=5)
    assert await written(client) == 1
