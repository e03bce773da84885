"""What `connector doctor` finds, and what it says is to be done."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contracts.connector import ConnectorSettings, ConnectorState
from contracts.finding import Level
from endpoint.assets import Assets
from endpoint.backlog import Backlog
from endpoint.doctor import examine_assets, examine_connector, examine_endpoint, visit
from images.assets import AssetStore
from runtime.settings import Settings
from store.keyring import new_key_text
from store.store import Store
from tests.stage import served


@pytest.fixture
async def url(tmp_path: Path) -> AsyncGenerator[str]:
    assets = Assets(AssetStore(str(tmp_path / "assets")))
    async with served(Starlette(routes=[Route("/assets/{name}", assets.get)])) as url:
        yield url


async def test_images_that_are_stored_and_served(url: str, tmp_path: Path) -> None:
    finding = await examine_assets(Settings(assets_store=str(tmp_path / "assets"), public_url=url))
    assert (finding.level, finding.advice) == (Level.OK, "")


async def test_a_folder_that_the_endpoint_does_not_share(url: str, tmp_path: Path) -> None:
    finding = await examine_assets(Settings(assets_store=str(tmp_path / "elsewhere"), public_url=url))
    assert finding.is_problem
    assert "must share" in finding.advice


async def test_a_store_or_an_address_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "CONNECTOR_PUBLIC_URL" in (await examine_assets(Settings(assets_store=str(tmp_path)))).advice
    finding = await examine_assets(Settings(assets_store=str(tmp_path / "file"), public_url="http://127.0.0.1:1"))
    assert "CONNECTOR_ASSETS_STORE" in finding.advice
    finding = await examine_assets(Settings(assets_store=str(tmp_path), public_url="http://127.0.0.1:1"))
    assert "does not answer" in finding.found


@pytest.mark.parametrize(
    ("status", "body", "advice"),
    [
        (200, {"database": "ok", "temporal": "ok"}, ""),
        (503, {"database": "ok", "temporal": "does not answer"}, "cannot reach: temporal"),
        (503, "no upstream", "no endpoint behind it"),
        (404, "not here", "no answer of the endpoint's"),
    ],
)
async def test_an_endpoint_that_is_not_ready_comes_with_what_to_do(status: int, body: object, advice: str) -> None:
    async def ready(request: Request) -> Response:
        del request
        return JSONResponse(body, status_code=status) if isinstance(body, dict) else Response(str(body), status)

    async with served(Starlette(routes=[Route("/readyz", ready)])) as url:
        finding = await examine_endpoint(Settings(public_url=url))
    assert finding.is_problem == (status != 200)
    assert advice in finding.advice


async def test_a_temporal_that_is_not_there_comes_with_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    settings = Settings(master_key=SecretStr(new_key_text()), database_url="sqlite+aiosqlite:////nowhere/at/all.db")
    [finding] = [one for one in await visit(settings) if one.point == "temporal"]
    assert finding.is_problem
    assert "refused" in finding.found


async def test_an_endpoint_that_is_not_there() -> None:
    assert "CONNECTOR_PUBLIC_URL" in (await examine_endpoint(Settings())).advice
    finding = await examine_endpoint(Settings(public_url="http://127.0.0.1:1"))
    assert "does not answer" in finding.found
    assert "start it" in finding.advice


@pytest.mark.parametrize(
    ("state", "level", "told"),
    [
        (ConnectorState.VALIDATING, Level.ATTENTION, "connector install"),
        (ConnectorState.AWAITING_WEBHOOK, Level.UNKNOWN, "connector test acme --send-to ADDRESS"),
        (ConnectorState.ACTIVE, Level.OK, ""),
        (ConnectorState.DEGRADED, Level.UNKNOWN, "what the points below say"),
        (ConnectorState.PAUSED, Level.ATTENTION, "connector resume acme"),
        (ConnectorState.UNINSTALLED, Level.OK, ""),
    ],
)
async def test_each_state_of_a_connector_says_what_to_do(
    store: Store, state: ConnectorState, level: Level, told: str
) -> None:
    wanted = ConnectorSettings(data_center="us", transactional_message_type_id=10)
    async with store.begin() as tx:
        await tx.connectors.offer("acme", wanted, SecretStr("k" * 32))
        await tx.connectors.adopt("acme", wanted, state)
        row = await tx.connectors.get("acme")
    assert row is not None
    found = await examine_connector(Settings(iterable_us_url="http://127.0.0.1:1"), store, row)
    assert (found[0].point, found[0].level) == ("acme", level)
    assert told in found[0].advice
    asked = [one for one in found if one.point == "acme: Iterable"]
    assert bool(asked) == (state not in {ConnectorState.VALIDATING, ConnectorState.UNINSTALLED})
    assert all("status page" in one.advice for one in asked)  # nobody is told to replace a key that was not refused


async def test_an_export_that_is_not_read_shows_and_with_which_workspace(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
    wanted = ConnectorSettings(data_center="us", transactional_message_type_id=10)
    monkeypatch.setattr(store, "_clock", lambda: start)
    for name, state in (("acme", ConnectorState.ACTIVE), ("gone", ConnectorState.UNINSTALLED)):
        async with store.begin() as tx:
            await tx.connectors.offer(name, wanted, SecretStr("k" * 32))
            await tx.connectors.adopt(name, wanted, state)
    registry = CollectorRegistry()
    backlog = Backlog(store, cast("Any", None), Settings(), registry)

    async def seen(now: datetime) -> tuple[float | None, list[str]]:
        monkeypatch.setattr(store, "_clock", lambda: now)
        await backlog._ask_database(slow=False)
        async with store.read() as tx:
            row = await tx.connectors.get("acme")
        assert row is not None
        found = await examine_connector(Settings(iterable_us_url="http://127.0.0.1:1"), store, row)
        told = [one.found for one in found if one.point == "acme: back-fill"]
        return registry.get_sample_value("connector_backfill_behind_seconds"), told

    assert await seen(start + timedelta(hours=2)) == (7200, [])
    assert await seen(start + timedelta(hours=4)) == (
        4 * 3600,
        ["Iterable's export was last read at 2026-01-02 03:00 UTC"],
    )
    async with store.begin() as tx:
        await tx.backfills.advance("acme", start + timedelta(hours=3))
    assert await seen(start + timedelta(hours=4)) == (3600, [])
