"""Where images are kept: a folder, and a bucket that speaks S3."""

import asyncio
import hashlib
import logging
from pathlib import Path

import pytest

from contracts.errors import ConnectorError
from contracts.template import Template
from images.assets import AssetStore, AssetsUnavailable
from images.hosting import ImageHost
from images.rewriting import Asset, Limits
from tests.images.samples import b64, png
from tests.s3 import S3


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


def writes(caplog: pytest.LogCaptureFixture) -> int:
    """How many requests the bucket's server took that write."""
    return sum(record.name == "werkzeug" and "PUT /mail/" in record.getMessage() for record in caplog.records)


async def test_a_bucket_gets_each_image_once_with_its_type(s3: S3, caplog: pytest.LogCaptureFixture) -> None:
    s3.make_bucket("mail")
    with caplog.at_level(logging.INFO, "werkzeug"):
        store = AssetStore("s3://mail/images")
        await asyncio.gather(*(store.put(asset(n)) for n in range(3)))
        await store.put(asset())
        await AssetStore("s3://mail/images").put(asset())  # another process: asks, and finds it there
    assert writes(caplog) == 3
    data, served = s3.get("mail", f"images/{asset().name}")
    assert data == asset().data
    assert (served["content-type"], served["cache-control"]) == ("image/png", "public, max-age=31536000, immutable")
    assert await AssetStore("s3://mail/images").get(asset().name) == asset()
    assert await store.get(asset(7).name) is None


async def test_a_bucket_that_refuses_is_unavailable_and_asked_again(s3: S3) -> None:
    store = AssetStore("s3://mail")
    with pytest.raises(AssetsUnavailable) as caught:  # there is no such bucket
        await store.put(asset())
    assert "mail" not in str(caught.value)
    s3.make_bucket("mail")
    await store.put(asset())
    assert s3.get("mail", asset().name)[0] == asset().data


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
