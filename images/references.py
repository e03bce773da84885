"""References to images that a document carries in itself: `cid:…` and `data:…`, wherever email HTML has them."""

import html
import re
from bisect import bisect_right
from collections.abc import Generator
from dataclasses import dataclass
from html.entities import html5

from images import css
from images.markup import attributes, regions
from images.merge_tags import BLOT, blotted, is_silent

_URL_ATTRIBUTES = frozenset(
    {b"src", b"background", b"href", b"althref", b"poster", b"data", b"lowsrc", b"dynsrc", b"icon"}
)
"""Attributes whose value is one URL; with a prefix too (`o:href`, `xlink:href`, `v:src`)."""
_CANDIDATE_ATTRIBUTES = frozenset({b"srcset", b"imagesrcset"})

_SPOTTED = (b"cid", b"data", b"&#", b"\\")
_FOLLOWED = (b":", b"&")  # what a scheme that is written out goes on with
"""Without one of these there is no reference: a scheme, or what one can be written with (`&#99;id:`, `\\63 id:`)."""
_WS = b" \t\n\r\f"
_ENTITY = re.compile(rb"&(?:#(?:x[0-9a-fA-F]+|[0-9]+);?|[a-zA-Z][a-zA-Z0-9]*;?)")
_PART = re.compile(rb"[^" + BLOT + rb"]+")
_CANDIDATE = re.compile(rb"[ \t\n\r\f,]*+([^ \t\n\r\f]++)")
_DESCRIPTORS = re.compile(rb"(?:[^(,]++|\([^)]*+\)?)*+")
_SCHEME = re.compile(rb"(cid|data):", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reference:
    """`start` and `end` are byte offsets in the document; replacing what lies between them replaces the reference and
    nothing else. `url` is what it says, without entities and escapes. A dynamic one goes on in a merge tag."""

    start: int
    end: int
    url: str
    is_dynamic: bool = False


def find_references(source: bytes) -> list[Reference]:
    """Every reference of an HTML document in UTF-8, in order. Linear in its size, and total: any bytes will do."""
    document = blotted(source)
    low = document.lower()
    spots = _spots(low)
    found: list[Reference] = []
    for region in regions(low, spots) if spots else ():
        if region.kind == "css":
            sheet = _Value(source, document, region.start, region.end)
            found += _in_css(sheet)
            continue
        for attribute in attributes(low, region):
            name = attribute.name.rpartition(b":")[2]
            if name in _URL_ATTRIBUTES:
                value = _Value(source, document, attribute.start, attribute.end, entities=True)
                found += value.references(0, len(value.text))
            elif name in _CANDIDATE_ATTRIBUTES:
                found += _in_candidates(_Value(source, document, attribute.start, attribute.end, entities=True))
            elif name == b"style":
                found += _in_css(_Value(source, document, attribute.start, attribute.end, entities=True))
    return found


def may_refer(html: str) -> bool:
    """Whether there is anything to find. Cheap, and errs on the side of yes."""
    low = html.lower()
    return bool(_spots(low.encode(errors="replace")))


def _spots(low: bytes) -> list[int]:
    spots: list[int] = []
    for needle in _SPOTTED:
        position = low.find(needle)
        is_scheme = needle[-1:].isalpha()
        while position >= 0:
            end = position + len(needle)
            if not is_scheme or low.startswith(_FOLLOWED, end):
                spots.append(position)
            position = low.find(needle, end)
    return sorted(spots)


class _Value:
    """A stretch of the document as its reader sees it: entities resolved, merge tags still blotted out."""

    def __init__(self, source: bytes, document: bytes, start: int, end: int, *, entities: bool = False) -> None:
        self._source = source
        self._starts, self._origins = [0], [(start, start)]
        self.text = document[start:end]
        if entities and b"&" in self.text:
            self._resolve(start)

    def _resolve(self, base: int) -> None:
        """Writes down for each piece of the text where it came from: (offset, offset of its first byte's end)."""
        pieces: list[bytes] = []
        length = done = 0
        for entity in _ENTITY.finditer(self.text):
            character = _character(entity, self.text)
            if character is None:
                continue
            before = self.text[done : entity.start()]
            done = entity.end()
            length += len(before)
            self._starts += (length, length + len(character))
            self._origins += ((base + entity.start(), base + done), (base + done, base + done))
            length += len(character)
            pieces += (before, character)
        self.text = b"".join([*pieces, self.text[done:]])

    def _origin(self, position: int, *, is_end: bool) -> int:
        """Where a position of the text is in the document. Inside of what an entity stands for, it is the entity's
        start, or its end for the end of a stretch."""
        at = bisect_right(self._starts, position - is_end) - 1
        begin, end = self._origins[max(at, 0)]
        if begin != end:
            return end if is_end else begin
        return begin + position - self._starts[max(at, 0)]

    def references(self, start: int, end: int, *, escapes: bool = False) -> Generator[Reference]:
        """The references in a stretch that has room for one URL: several where blocks of merge tags choose."""
        for part in _PART.finditer(self.text, start, end):
            first, last = part.span()
            url = part.group().strip(_WS)
            url = css.unescaped(url) if escapes else url
            if _SCHEME.match(url) is None:
                continue
            text = part.group()
            begin = self._origin(first + len(text) - len(text.lstrip(_WS)), is_end=False)
            finish = self._origin(first + len(text.rstrip(_WS)), is_end=True)
            if first > start and not self._is_silent_before(self._origin(first, is_end=False)):
                continue  # the middle of a URL
            after = self._origin(last, is_end=True)
            is_dynamic = last < end and not is_silent(self._source, after)
            yield Reference(begin, finish, url.decode(errors="replace"), is_dynamic)

    def _is_silent_before(self, position: int) -> bool:
        opening = self._source.rfind(b"{{", 0, position)
        return self._source.startswith(b"}}", position - 2) and is_silent(self._source, opening)


def _character(entity: re.Match[bytes], text: bytes) -> bytes | None:
    """What a character reference in an attribute stands for; None where it is none. One without its semicolon counts
    only where nothing follows that could belong to a parameter's name (WHATWG HTML, 13.2.5.73)."""
    written = entity.group()[1:].decode("ascii")
    if written.startswith("#"):
        return html.unescape(f"&{written}").encode(errors="replace")
    if not written.endswith(";") and text.startswith(b"=", entity.end()):
        return None
    character = html5.get(written)
    return None if character is None else character.encode()


def _in_css(value: _Value) -> Generator[Reference]:
    low = value.text.lower()
    for start, end in css.urls(low, _spots(low)):
        yield from value.references(start, end, escapes=True)


def _in_candidates(value: _Value) -> Generator[Reference]:
    """`srcset`: URLs with descriptors. A comma ends a candidate only outside of its URL (WHATWG HTML, 4.8.4.2.1)."""
    position = 0
    while (candidate := _CANDIDATE.match(value.text, position)) is not None:
        start, position = candidate.span(1)
        url = candidate.group(1).rstrip(b",")
        yield from value.references(start, start + len(url))
        if start + len(url) == position:
            descriptors = _DESCRIPTORS.match(value.text, position)
            position = descriptors.end() if descriptors else position
