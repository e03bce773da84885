"""`/assets/{name}`, and templates with images that are put in ahead of sends; while Temporal is away."""

import hashlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from temporalio.client import Client

from contracts.connector import ConnectorSettings
from endpoint.app import create_app
from images.assets import AssetStore
from images.rewriting import Asset
from runtime.settings import Settings
from store.keyring import Keyring
from store.store import Store
from tests.images.samples import b64, png

NAME = f"{hashlib.sha256(png()).hexdigest()}.png"
TEMPLATE = {"template_id": "t", "name": "T", "subject": "S", "from_email": "a@acme.test"}


@pytest.fixture
async def http(sqlite_url: str, tmp_path: Path, keyring: Keyring) -> AsyncGenerator[httpx.AsyncClient]:
    store = await Store.open(sqlite_url, keyring)
    async with store.begin() as tx:
        await tx.connectors.offer("acme", ConnectorSettings(data_center="us"), SecretStr("key"))
    settings = Settings(
        admin_token=SecretStr("admin"),
        assets_store=str(tmp_path / "assets"),
        public_url="https://hooks.acme.test/",
        image_max_bytes=1_000,
    )
    app = create_app(store, await Client.connect("127.0.0.1:1", lazy=True), settings)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://hooks.acme.test") as client:
        yield client
    await store.close()


@pytest.fixture
async def kept(http: httpx.AsyncClient, tmp_path: Path) -> None:
    await AssetStore(str(tmp_path / "assets")).put(Asset(NAME, "image/png", png()))


async def put(http: httpx.AsyncClient, **template: Any) -> httpx.Response:
    return await http.put(
        "/v1/workspaces/acme/templates", json={**TEMPLATE, **template}, headers={"Authorization": "Bearer admin"}
    )


@pytest.mark.usefixtures("kept")
async def test_an_image_is_served_so_that_caches_keep_it_and_browsers_run_nothing(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"/assets/{NAME}")
    assert (answer.status_code, answer.content) == (200, png())
    assert {name: answer.headers[name] for name in ("content-type", "cache-control", "x-content-type-options")} == {
        "content-type": "image/png",
        "cache-control": "public, max-age=31536000, immutable",
        "x-content-type-options": "nosniff",
    }
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "sandbox" in answer.headers["content-security-policy"]
    again = await http.get(f"/assets/{NAME}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await http.head(f"/assets/{NAME}")).headers["content-length"] == str(len(png()))


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    "path",
    [
        f"/assets/{NAME[:-3]}svg",
        f"/assets/{'0' * 64}.png",
        "/assets/..%2fconnector.db",
        "/assets/%2e%2e/connector.db",
        f"/assets/..%2fassets%2f{NAME}",
        f"/assets/{NAME}%00",
        "/assets/",
    ],
)
async def test_nothing_else_is_served_and_no_cache_keeps_that(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.status_code == 404
    assert "immutable" not in answer.headers.get("cache-control", "")


async def test_a_template_that_is_put_in_has_its_images_hosted_at_once(http: httpx.AsyncClient) -> None:
    images = [{"content_id": name, "media_type": "image/gif", "data": b64(png())} for name in ("logo", "unused")]
    answer = await put(http, html='<img src="cid:logo">', inline_images=images)
    said = answer.raise_for_status().json()
    assert [warning["code"] for warning in said["warnings"]] == ["image_type_differs", "image_unused"]
    assert (await http.get(f"/assets/{NAME}")).content == png()
    hosted = await put(http, html=f'<img src="https://hooks.acme.test/assets/{NAME}">')
    assert hosted.json() == {"template_ref": said["template_ref"], "warnings": []}


@pytest.mark.parametrize(
    ("html", "data", "status", "code"),
    [
        ('<img src="cid:other">', b64(png()), 400, "template_invalid"),
        ('<img src="cid:logo">', "???", 400, "template_invalid"),
        ('<img src="cid:logo">', b64(png() + bytes(1_000)), 413, "template_too_large"),
    ],
)
async def test_what_is_wrong_with_images_shows_before_anything_is_sent(
    http: httpx.AsyncClient, html: str, data: str, status: int, code: str
) -> None:
    answer = await put(http, html=html, inline_images=[{"content_id": "logo", "media_type": "image/png", "data": data}])
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_store_that_does_not_answer_is_told(http: httpx.AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "assets").write_bytes(b"")  # a file in the folder's place
    answer = await put(http, html=f'<img src="data:image/png;base64,{b64(png())}">')
    assert (answer.status_code, answer.json()["code"]) == (503, "assets_unavailable")
    assert (await http.get(f"/assets/{NAME}")).status_code == 503
