"""A template with its images taken out: references become URLs, everything else stays byte for byte."""

import hashlib
import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from contracts.errors import ConnectorError, ErrorCode
from contracts.template import InlineImage, Template
from contracts.warning import SendWarning, WarningCode
from images.media import (
    EXTENSIONS,
    BadImage,
    canonical,
    from_base64,
    from_uri,
    media_type_of,
    parse_data_uri,
    sniffed,
)
from images.references import Reference, find_references, may_refer

LARGE_IMAGE = 1_000_000
"""Bytes from which on an image is worth a warning: people wait for it on a phone."""
_MOST_NAMED = 5
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, decoded: of one image, and of all images of a template."""

    image: int
    template: int


@dataclass(frozen=True, slots=True)
class Asset:
    """An image as it is hosted: `name` is its SHA-256 and its type's extension."""

    name: str
    media_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """`template` refers to `assets` by URL and carries no image itself."""

    template: Template
    assets: list[Asset]
    warnings: list[SendWarning]


def carries_images(template: Template) -> bool:
    """Whether there is anything to rewrite. Cheap, and errs on the side of yes."""
    documents = [template.html, *(variant.html for variant in template.locales.values() if variant.html)]
    return bool(template.inline_images) or any(may_refer(html) for html in documents)


def rewrite(template: Template, prefix: str, limits: Limits) -> Rewritten:
    """Replaces each `cid:` and each `data:` image by `{prefix}/{name}`. The same template and prefix always give the
    same result.

    Raises `ConnectorError`: `template_invalid` naming every reference that has no image and every image that is none,
    `template_too_large` where images are larger than allowed.
    """
    return _Rewriting(template, prefix.rstrip("/"), limits).result()


class _Rewriting:
    def __init__(self, template: Template, prefix: str, limits: Limits) -> None:
        self._template = template
        self._prefix = prefix
        self._limits = limits
        self._source = b""
        self._locale = ""
        self._given = _by_content_id(template.inline_images)
        self._used: set[str] = set()
        self._assets: dict[str, Asset] = {}
        self._known: dict[str, bytes] = {}  # what takes a reference's place: many are alike
        self._of_given: dict[str, Asset] = {}
        self._problems: list[str] = []
        self._warnings: dict[tuple[WarningCode, str], SendWarning] = {}

    def result(self) -> Rewritten:
        html = self._document(self._template.html)
        locales = {
            locale: variant.model_copy(update={"html": self._document(variant.html, locale)})
            if variant.html
            else variant
            for locale, variant in self._template.locales.items()
        }
        if self._problems:
            more = len(self._problems) - _MOST_NAMED
            shown = [*self._problems[:_MOST_NAMED], *([f"and {more} more"] if more > 0 else [])]
            raise ConnectorError(ErrorCode.TEMPLATE_INVALID, "; ".join(shown))
        for content_id in self._given.keys() - self._used:
            self._warn(
                WarningCode.IMAGE_UNUSED,
                f"The HTML does not refer to the image {_shown(content_id)}: it was not hosted",
            )
        self._check_total()
        rewritten = self._template.model_copy(update={"html": html, "locales": locales, "inline_images": []})
        warnings = sorted(self._warnings.values(), key=lambda w: (w.code, w.message))
        return Rewritten(rewritten, list(self._assets.values()), warnings)

    def _document(self, html: str, locale: str = "") -> str:
        """The HTML with its references replaced; `locale` tells in messages which one it is."""
        self._source, self._locale = html.encode(), locale
        pieces: list[bytes] = []
        done = 0
        for reference in find_references(self._source):
            start, end, written, is_dynamic = reference
            url = self._known.get(written)
            if url is None or is_dynamic:
                asset = self._asset_of(reference)
                if asset is None:
                    continue
                url = f"{self._prefix}/{asset.name}".encode()
                self._assets[asset.name], self._known[written] = asset, url
            pieces += (self._source[done:start], url)
            done = end
        return b"".join([*pieces, self._source[done:]]).decode() if pieces else html

    def _asset_of(self, reference: Reference) -> Asset | None:
        """The image that a reference means; None where it stays as it is, or a problem was noted."""
        is_cid = reference.url[:4].lower() == "cid:"
        if reference.is_dynamic:
            self._leave(reference, is_cid=is_cid)
            return None
        try:
            return self._given_image(reference) if is_cid else self._inline_image(reference)
        except BadImage as error:
            what = f"{_shown(unquote(reference.url[4:]))} " if is_cid else ""
            self._problems.append(f"The image {what}{self._at(reference)} {error}")
            return None

    def _given_image(self, reference: Reference) -> Asset | None:
        written = reference.url[4:]
        content_id = next((name for name in (unquote(written), written) if name in self._given), None)
        if content_id is None:
            self._problems.append(self._missing(unquote(written), reference))
            return None
        self._used.add(content_id)
        if content_id not in self._of_given:
            image = self._given[content_id]
            self._check_size(len(image.data) * 3 // 4)
            what = f"The image {_shown(content_id)}"
            self._of_given[content_id] = self._asset(what, from_base64(image.data), canonical(image.media_type))
        return self._of_given[content_id]

    def _inline_image(self, reference: Reference) -> Asset | None:
        uri = parse_data_uri(reference.url)
        self._check_size(len(uri.data) * 3 // 4 if uri.is_base64 else len(uri.data) // 3)
        if not uri.media_type.startswith("image/"):  # a font, say; but browsers show what an <img> has, however named
            try:
                data = from_uri(uri)
            except BadImage:
                return None
            return self._asset(f"The image {self._at(reference)}", data, "") if sniffed(data) else None
        return self._asset(f"The image {self._at(reference)}", from_uri(uri), uri.media_type)

    def _asset(self, what: str, data: bytes, declared: str) -> Asset:
        media_type = media_type_of(data)
        self._check_size(len(data))
        if declared and declared != media_type:
            self._warn(
                WarningCode.IMAGE_TYPE_DIFFERS,
                f"{what} is declared as {_shown(declared)} and is {media_type}: it was hosted as what it is",
            )
        if media_type == "image/webp":
            self._warn(WarningCode.IMAGE_FORMAT_RARE, f"{what} is WebP, which Outlook for Windows does not show")
        if len(data) > LARGE_IMAGE:
            self._warn(WarningCode.IMAGE_LARGE, f"{what} has {len(data)} bytes: people on a phone will wait for it")
        return Asset(f"{hashlib.sha256(data).hexdigest()}.{EXTENSIONS[media_type]}", media_type, data)

    def _leave(self, reference: Reference, *, is_cid: bool) -> None:
        """Which image is meant shows only when the message is rendered."""
        where = self._at(reference)
        if is_cid:
            self._problems.append(
                f"The reference to an image {where} goes on in a merge tag, so the image is not known"
            )
        else:
            self._warn(
                WarningCode.IMAGE_LEFT_INLINE, f"The data: URI {where} goes on in a merge tag: it was left as it is"
            )

    def _missing(self, content_id: str, reference: Reference) -> str:
        alike = next((name for name in self._given if name.lower() == content_id.lower()), None)
        hint = f" (there is {_shown(alike)}: case matters)" if alike else ""
        return f"The template has no image {_shown(content_id)} for the reference {self._at(reference)}{hint}"

    def _at(self, reference: Reference) -> str:
        line = self._source.count(b"\n", 0, reference.start) + 1
        line_start = self._source.rfind(b"\n", 0, reference.start) + 1
        column = len(self._source[line_start : reference.start].decode(errors="replace")) + 1
        return f"at line {line}, column {column}" + (f" of the locale {self._locale}" if self._locale else "")

    def _warn(self, code: WarningCode, message: str) -> None:
        self._warnings[code, message] = SendWarning(code=code, message=message)

    def _check_size(self, size: int) -> None:
        if size > self._limits.image:
            raise ConnectorError(
                ErrorCode.TEMPLATE_TOO_LARGE,
                f"An image of the template has about {size} bytes, and {self._limits.image} are the most",
                "Make the image smaller: fewer pixels, or a stronger compression.",
            )

    def _check_total(self) -> None:
        size = sum(len(asset.data) for asset in self._assets.values())
        if size > self._limits.template:
            raise ConnectorError(
                ErrorCode.TEMPLATE_TOO_LARGE,
                f"The images of the template have {size} bytes, and {self._limits.template} are the most",
                "Make the images smaller, or host them yourself and link to them.",
            )


def _by_content_id(images: list[InlineImage]) -> dict[str, InlineImage]:
    """By content id without its angle brackets (RFC 2392). Raises `ConnectorError` where two images have one id."""
    found: dict[str, InlineImage] = {}
    for image in images:
        content_id = image.content_id.strip()
        if content_id.startswith("<") and content_id.endswith(">"):
            content_id = content_id[1:-1]
        if content_id in found and found[content_id].data != image.data:
            raise ConnectorError(ErrorCode.TEMPLATE_INVALID, f"Two images have the content id {_shown(content_id)}")
        found[content_id] = image
    return found


def _shown(name: str) -> str:
    """A name from outside, fit for a message."""
    return f"'{_UNPRINTABLE.sub('?', name[:60])}'"
