"""What becomes of a template with images of its own."""

import hashlib
from typing import Any

import pytest

from contracts.errors import ConnectorError
from contracts.template import InlineImage, Template
from images.rewriting import Limits, Rewritten, rewrite
from tests.images.samples import GIF, JPEG, SVG, WEBP, b64, png

PREFIX = "https://cdn.acme.test/i"
LIMITS = Limits(image=100_000, template=150_000)


def template(html: str, *images: InlineImage) -> Template:
    return Template(
        template_id="t", name="T", subject="S", html=html, from_email="a@acme.test", inline_images=list(images)
    )


def image(content_id: str = "logo", data: bytes | str = png(), media_type: str = "image/png") -> InlineImage:
    return InlineImage(content_id=content_id, media_type=media_type, data=data if isinstance(data, str) else b64(data))


def url(data: bytes, extension: str = "png") -> str:
    return f"{PREFIX}/{hashlib.sha256(data).hexdigest()}.{extension}"


def rewritten(html: str, *images: InlineImage) -> Rewritten:
    return rewrite(template(html, *images), PREFIX + "/", LIMITS)


def refused(html: str, *images: InlineImage) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        rewritten(html, *images)
    return caught.value


def codes(result: Rewritten) -> list[str]:
    return [warning.code for warning in result.warnings]


def test_only_the_reference_is_replaced() -> None:
    html = "<!DOCTYPE html>\r\n<p a=b  C='d'>&copy;\t<img  SRC=cid:logo ><br/>\r\n{{#each x}}<td>{{/each}}</P>"
    result = rewritten(html, image())
    assert result.template.html == html.replace("cid:logo", url(png()))
    assert result.template.inline_images == []
    assert [(asset.name, asset.media_type) for asset in result.assets] == [
        (hashlib.sha256(png()).hexdigest() + ".png", "image/png")
    ]
    assert result.warnings == []


def test_one_image_in_many_places_is_one_asset() -> None:
    data = f"data:image/png;base64,{b64(png())}"
    html = f'<img src="cid:logo"><td background="{data}" style="a:url(\'{data}\')"><img src="cid:%6Cogo">'
    result = rewritten(html, image("<logo>"))
    assert len(result.assets) == 1
    assert result.template.html.count(url(png())) == 4


@pytest.mark.parametrize(
    "uri",
    [
        f"data:image/gif;base64,{b64(GIF)}",
        f"DATA:IMAGE/GIF;BASE64,{b64(GIF)}",
        f"data:image/gif;charset=utf-8;base64,{b64(GIF)}",
        f"data:image/gif; charset=utf-8 ; base64,{b64(GIF).rstrip('=')}",
        f"data:image/gif;base64,{b64(GIF)[:20]}\r\n\t {b64(GIF)[20:]}",
        f"data:image/gif;base64,{b64(GIF).replace('=', '%3D').replace('/', '%2F').replace('+', '%2B')}",
        "data:image/gif," + "".join(f"%{byte:02x}" for byte in GIF),
        f"data:application/octet-stream;base64,{b64(GIF)}",
        f"data:;base64,{b64(GIF)}",
    ],
)
def test_data_uris_in_every_form(uri: str) -> None:
    assert rewritten(f'<img src="{uri}">').template.html == f'<img src="{url(GIF, "gif")}">'


@pytest.mark.parametrize("uri", ["data:font/woff2;base64,d09GMgAB", "data:text/html,<b>x</b>", "data:,x", "data:x"])
def test_what_is_no_image_stays(uri: str) -> None:
    html = f"<style>@font-face{{src:url('{uri}')}}</style>"
    if uri == "data:x":
        assert "without a comma" in str(refused(html))
    else:
        assert rewritten(html).template.html == html


@pytest.mark.parametrize(
    ("content_id", "reference"),
    [("logo@acme.test", "logo%40acme.test"), ("<a b>", "a%20b"), ("50%", "50%25"), ("50%25", "50%25"), ("é", "%C3%A9")],
)
def test_content_ids_are_matched_as_rfc_2392_says(content_id: str, reference: str) -> None:
    assert rewritten(f'<img src="cid:{reference}">', image(content_id)).template.html == f'<img src="{url(png())}">'


def test_a_reference_without_an_image_is_named_with_its_place() -> None:
    error = refused('<p>\n  ä<img src="cid:Logo"><img src="cid:other">', image("logo"))
    assert error.code == "template_invalid"
    assert "no image 'Logo' for the reference at line 2, column 14 (there is 'logo': case matters)" in str(error)
    assert "no image 'other'" in str(error)


def test_many_problems_are_told_in_short() -> None:
    error = refused("".join(f'<img src="cid:{n}">' for n in range(50)))
    assert str(error).count("no image") == 5
    assert "and 45 more" in str(error)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("!!!", "'logo' at line 1, column 11 is not valid base64"),
        ("", "is empty"),
        (SVG, "is an SVG"),
        (b"<?xml version='1.0'?><svg/>", "is an SVG"),
        (b"<html><script>alert(1)</script></html>", "is of no known image format"),
        (b"BM" + bytes(50), "is a BMP"),
        (b"\0\0\0\x1cftypavif" + bytes(20), "is an AVIF"),
        (b"%PDF-1.7", "is a PDF"),
    ],
)
def test_what_cannot_be_hosted_is_refused(data: bytes | str, said: str) -> None:
    error = refused('<img src="cid:logo">', image(data=data))
    assert error.code == "template_invalid"
    assert said in str(error)


@pytest.mark.parametrize("uri", ["data:image/svg+xml;utf8,%3Csvg/%3E", f"data:image/svg+xml;base64,{b64(SVG)}"])
def test_an_svg_in_a_data_uri_is_refused(uri: str) -> None:
    assert "is an SVG" in str(refused(f"<p style=\"background:url('{uri}')\">"))


def test_a_broken_data_uri_is_refused() -> None:
    assert "not valid base64" in str(refused('<img src="data:image/png;base64,@@@@">'))


def test_a_lying_media_type_is_told_and_the_bytes_decide() -> None:
    result = rewritten('<img src="cid:logo">', image(data=JPEG, media_type="image/png"))
    assert result.template.html == f'<img src="{url(JPEG, "jpg")}">'
    assert result.assets[0].media_type == "image/jpeg"
    assert codes(result) == ["image_type_differs"]
    assert "'image/png'" in result.warnings[0].message


@pytest.mark.parametrize("media_type", ["image/jpeg", "IMAGE/JPEG; q=1", "image/jpg", "image/pjpeg"])
def test_other_names_of_a_type_are_no_lie(media_type: str) -> None:
    assert rewritten('<img src="cid:logo">', image(data=JPEG, media_type=media_type)).warnings == []


def test_an_image_nobody_refers_to_is_a_warning_even_if_broken() -> None:
    result = rewritten("<!-- cid:logo --><p>cid:logo", image(), image("x", "!!!"))
    assert codes(result) == ["image_unused", "image_unused"]
    assert result.assets == []


def test_webp_is_hosted_with_a_warning() -> None:
    assert codes(rewritten('<img src="cid:logo">', image(data=WEBP, media_type="image/webp"))) == ["image_format_rare"]


def test_what_a_merge_tag_completes() -> None:
    html = '<img src="data:image/png;base64,{{{chart}}}">'
    result = rewritten(html)
    assert (result.template.html, codes(result)) == (html, ["image_left_inline"])
    assert "goes on in a merge tag" in str(refused('<img src="cid:logo"><img src="cid:logo{{x}}">', image()))


def test_two_images_under_one_id_are_refused_unless_they_are_the_same() -> None:
    assert "Two images" in str(refused('<img src="cid:logo">', image(), image("<logo>", GIF, "image/gif")))
    assert len(rewritten('<img src="cid:logo">', image(), image("<logo>")).assets) == 1


def test_sizes_are_limited_for_one_image_and_for_all() -> None:
    big = png() + bytes(LIMITS.image)
    assert refused('<img src="cid:logo">', image(data=big)).code == "template_too_large"
    assert refused(f'<img src="data:image/png;base64,{b64(big)}">').code == "template_too_large"
    some = [image(f"i{n}", png(n) + bytes(60_000)) for n in range(3)]
    html = "".join(f'<img src="cid:i{n}">' for n in range(3))
    assert refused(html, *some).code == "template_too_large"
    assert len(rewritten(html, *some[:2], image("i2")).assets) == 3


def test_names_from_outside_are_shown_safely() -> None:
    error = refused(f'<img src="cid:{"x" * 500}%0A%1B[31m">')
    assert len(str(error)) < 300
    assert "\n" not in str(error)


def test_locales_share_the_images() -> None:
    given = template('<img src="cid:logo">', image(), image("fr", GIF, "image/gif"))
    french = {"html": '<img src="cid:fr"><img src="cid:logo">', "subject": "Bonjour"}
    both = Template.model_validate({**given.model_dump(), "locales": {"fr": french, "de": {"subject": "Hallo"}}})
    result = rewrite(both, PREFIX, LIMITS)
    assert result.template.locales["fr"].html == f'<img src="{url(GIF, "gif")}"><img src="{url(png())}">'
    assert (result.template.locales["de"].html, result.warnings, len(result.assets)) == (None, [], 2)
    broken = Template.model_validate({**given.model_dump(), "locales": {"fr": {"html": '<img src="cid:x">'}}})
    with pytest.raises(ConnectorError, match="at line 1, column 11 of the locale fr"):
        rewrite(broken, PREFIX, LIMITS)


def test_rewriting_again_changes_nothing() -> None:
    once = rewritten('<img src="cid:logo">', image())
    twice = rewrite(once.template, "https://elsewhere.test", LIMITS)
    assert twice.template == once.template


def test_the_same_template_always_gives_the_same() -> None:
    made: list[Any] = [rewritten('<img src="cid:a"><img src="cid:b">', image("a"), image("b", GIF)) for _ in range(2)]
    assert made[0] == made[1]
