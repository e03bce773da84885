"""What an image is: by its bytes, whatever it is declared as; and the two ways in which a template carries it."""

import base64
import binascii
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}
"""The types that are hosted. WebP is not shown by Outlook for Windows."""

_ALIASES = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
_WHITESPACE = re.compile(r"[ \t\n\r\f]+")
_SVG = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml|<!--|<!doctype\s+svg|<svg)", re.IGNORECASE)
_OTHERS = {
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"\0\0\1\0": "an icon (ICO)",
    b"%PDF": "a PDF",
    b"wOFF": "a font",
    b"wOF2": "a font",
}


class BadImage(Exception):
    """An image that cannot be hosted. The message goes on from "The image …"."""


@dataclass(frozen=True, slots=True)
class DataUri:
    """A `data:` URI (RFC 2397), taken apart and not yet decoded."""

    media_type: str
    is_base64: bool
    data: str


def parse_data_uri(uri: str) -> DataUri:
    """Raises `BadImage` where the comma is missing that ends the head."""
    head, comma, data = uri.partition(",")
    if not comma:
        raise BadImage("is a data: URI without a comma")
    media_type, *parameters = (part.strip() for part in head[len("data:") :].split(";"))
    return DataUri(canonical(media_type), "base64" in (p.lower() for p in parameters), data.partition("#")[0])


def canonical(media_type: str) -> str:
    """The usual name of a media type, without parameters."""
    name = media_type.partition(";")[0].strip().lower()
    return _ALIASES.get(name, name)


def from_uri(uri: DataUri) -> bytes:
    """The bytes of a `data:` URI. Raises `BadImage`."""
    if not uri.is_base64:
        return unquote_to_bytes(uri.data)
    return from_base64(unquote_to_bytes(uri.data).decode("ascii", errors="replace") if "%" in uri.data else uri.data)


def from_base64(text: str) -> bytes:
    """As browsers decode it: white space and missing padding are forgiven, anything else is not. Raises `BadImage`."""
    compact = _WHITESPACE.sub("", text)
    if len(compact) % 4:
        compact = compact.rstrip("=")
        compact += "=" * (-len(compact) % 4)
    try:
        return base64.b64decode(compact, validate=True)
    except (binascii.Error, ValueError):
        raise BadImage("is not valid base64") from None


def sniffed(data: bytes) -> str | None:
    """The media type that the bytes show, of those that are hosted."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def media_type_of(data: bytes) -> str:
    """The media type that the bytes show. Raises `BadImage` where it is not one that is hosted, saying what it is."""
    found = sniffed(data)
    if found is not None:
        return found
    if not data:
        raise BadImage("is empty")
    if _SVG.match(data):
        raise BadImage("is an SVG, which mail programs do not show and which may carry scripts: make a PNG of it")
    if data[4:12] in {b"ftypavif", b"ftypheic", b"ftypmif1"}:
        raise BadImage("is an AVIF or HEIC image; PNG, JPEG, GIF and WebP are hosted")
    other = next((name for magic, name in _OTHERS.items() if data.startswith(magic)), "of no known image format")
    raise BadImage(f"is {other}; PNG, JPEG, GIF and WebP are hosted")
