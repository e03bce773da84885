"""Where images are kept: a folder, and a bucket that speaks S3."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contracts.errors import ConnectorError
from contracts.template import Template
from images.assets import AssetStore, AssetsUnavailable
from images.hosting import ImageHost
from images.rewriting import Asset, Limits
from tests.images.samples import b64, png
from tests.stage import served


def asset(seed: int = 0) -> Asset:
    data = png(seed)
    return Asset(f"{hashlib.sha256(data).hexdigest()}.png", "image/png", data)


async def test_a_folder_keeps_each_image_once(tmp_path: Path) -> None:
    store = AssetStore(str(tmp_path / "a" / "b"))
    await asyncio.gather(*(store.put(asset(n % 3)) for n in range(12)))
    await AssetStore(str(tmp_path / "a" / "b")).put(asset())
    kept = list((tmp_path / "a" / "b").iterdir())
    assert {path.name: path.read_bytes() for path in kept} == {asset(n).name: asset(n).data for n in range(3)}
    assert await store.get(asset(1).name) == asset(1)


@pytest.mark.parametrize(
    "name", ["../secret.png", "secret.png", f"{'0' * 64}.png", f"{'0' * 64}.svg", f"{'0' * 64}.png/..", "", "%2e%2e"]
)
async def test_no_other_name_is_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.png").write_bytes(png())
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "secret.png").write_bytes(png())
    assert await AssetStore(str(tmp_path / "assets")).get(name) is None


async def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(AssetsUnavailable):
        await AssetStore(str(tmp_path / "file")).put(asset())


class Bucket:
    """An S3 that knows three requests, and may be away."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.requests: list[str] = []
        self.is_away = False

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{key:path}", self._answer, methods=["GET", "PUT"])])

    async def _answer(self, request: Request) -> Response:
        key = request.path_params["key"]
        self.requests.append(request.method)
        if self.is_away:
            return Response(status_code=403)
        if request.method == "PUT":
            self.objects[key] = (await request.body(), dict(request.headers))
            return Response(headers={"ETag": '"1"'})
        if key not in self.objects:
            return Response(status_code=404)
        headers = {"ETag": '"1"', "Last-Modified": "Wed, 25 Nov 2026 00:00:00 GMT"}
        return Response(self.objects[key][0], headers=headers)


@pytest.fixture
async def bucket(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Bucket]:
    bucket = Bucket()
    async with served(bucket.app()) as url:
        monkeypatch.setenv("AWS_ENDPOINT", url)
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_REGION", "eu-central-1")
        yield bucket


async def test_a_bucket_gets_each_image_once_with_its_type(bucket: Bucket) -> None:
    store = AssetStore("s3://mail/images")
    await store.put(asset())
    await store.put(asset())
    assert bucket.requests == ["HEAD", "PUT"]
    await AssetStore("s3://mail/images").put(asset())  # another process: asks, and finds it there
    assert bucket.requests == ["HEAD", "PUT", "HEAD"]
    ((key, (data, headers)),) = bucket.objects.items()
    assert (key, data) == (f"mail/images/{asset().name}", asset().data)
    assert (headers["content-type"], headers["cache-control"]) == (
        "image/png",
        "public, max-age=31536000, immutable",
    )
    assert await store.get(asset().name) == asset()


async def test_a_bucket_that_refuses_is_unavailable_and_asked_again(bucket: Bucket) -> None:
    store = AssetStore("s3://mail")
    bucket.is_away = True
    with pytest.raises(AssetsUnavailable) as caught:
        await store.put(asset())
    assert "mail" not in str(caught.value)
    bucket.is_away = False
    await store.put(asset())
    assert len(bucket.objects) == 1


async def test_without_a_public_address_only_a_template_with_images_is_refused(tmp_path: Path) -> None:
    host = ImageHost(AssetStore(str(tmp_path)), None, Limits(image=10_000, template=10_000))

    def template(html: str) -> Template:
        return Template(template_id="t", name="T", subject="S", html=html, from_email="a@acme.test")

    plain = template(
        '<img src="https://acme.test/logo.png">&#8203;<style>@font-face{src:url(data:font/woff,x)}</style>'
    )
    assert (await host.host(plain)).template == plain
    with pytest.raises(ConnectorError, match="CONNECTOR_PUBLIC_URL") as caught:
        await host.host(template(f'<img src="data:image/png;base64,{b64(png())}">'))
    assert caught.value.code == "assets_unavailable"
    assert await AssetStore(str(tmp_path)).get(asset().name) is None
