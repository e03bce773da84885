"""What `connector doctor` finds about images."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from cli.doctor import examine_assets
from endpoint.assets import Assets
from images.assets import AssetStore
from runtime.settings import Settings
from tests.stage import served


@pytest.fixture
async def url(tmp_path: Path) -> AsyncGenerator[str]:
    assets = Assets(AssetStore(str(tmp_path / "assets")))
    async with served(Starlette(routes=[Route("/assets/{name}", assets.get)])) as url:
        yield url


async def test_images_that_are_stored_and_served(url: str, tmp_path: Path) -> None:
    finding = await examine_assets(Settings(assets_store=str(tmp_path / "assets"), public_url=url))
    assert (finding.ok, finding.advice) == (True, "")


async def test_a_folder_that_the_endpoint_does_not_share(url: str, tmp_path: Path) -> None:
    finding = await examine_assets(Settings(assets_store=str(tmp_path / "elsewhere"), public_url=url))
    assert not finding.ok
    assert "must share" in finding.advice


async def test_a_store_or_an_address_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "CONNECTOR_PUBLIC_URL" in (await examine_assets(Settings(assets_store=str(tmp_path)))).advice
    finding = await examine_assets(Settings(assets_store=str(tmp_path / "file"), public_url="http://127.0.0.1:1"))
    assert "CONNECTOR_ASSETS_STORE" in finding.advice
    finding = await examine_assets(Settings(assets_store=str(tmp_path), public_url="http://127.0.0.1:1"))
    assert "does not answer" in finding.found
