"""References to images that a document carries in itself: `cid:…` and `data:…`, wherever email HTML has them."""

import html
import re
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable
from html.entities import html5
from typing import NamedTuple

from images import css
from images.markup import SHEET, values
from images.merge_tags import BLOT, is_silent

# Each begins with a single character, which is quicker to search for than any of several.
_WRITTEN_OUT = re.compile(rb":(?<=[dDaA]:)(?i:(?<=cid:)|(?<=data:))")
_ENCODED = re.compile(
    rb"&(?:#(?:0*+(?:58|65|67|68|73|84|92|97|99|100|105|116)(?![0-9])"
    rb"|(?i:x0*+(?:3a|5c|[46][1349]|[57]4)(?![0-9a-f])))|colon;)"
)
"""A colon, a backslash or a letter of a scheme, written as a character reference."""
_BACKSLASHES = re.compile(rb"\\++")
_WS = b" \t\n\r\f"
_ENTITY = re.compile(rb"&(?:#(?:x[0-9a-fA-F]+|[0-9]+);?|[a-zA-Z][a-zA-Z0-9]*;?)")
_PART = re.compile(rb"[^" + BLOT + rb"]+")
_CANDIDATE = re.compile(rb"[ \t\n\r\f,]*+([^ \t\n\r\f,]++(?:,++[^ \t\n\r\f,]++)*+)(?:,++|(?:[^(,]++|\([^)]*+\)?)*+)")
"""A URL that does not end with a comma, and then either commas or descriptors."""
_URL_ALONE = re.compile(rb"[^\"'()\\/]*+(?<=[uU][rR][lL])\(([\"']?+)([^\"'()\\\n\r\f]*+)\1\)[^\"'()\\/]*+")
"""One `url(…)`, and nothing else that would have to be understood: most of what styles have."""
_SCHEMES = (b"cid:", b"data:")
_SCHEME = re.compile(rb"(cid|data):", re.IGNORECASE)


def _whole(text: bytes) -> Iterable[tuple[int, int]]:
    return ((0, len(text)),)


def _in_candidates(text: bytes) -> Iterable[tuple[int, int]]:
    """`srcset`: URLs with descriptors. A comma ends a candidate only outside of its URL (WHATWG HTML, 4.8.4.2.1)."""
    return [candidate.span(1) for candidate in _CANDIDATE.finditer(text)]


def _in_css(text: bytes) -> Iterable[tuple[int, int]]:
    alone = _URL_ALONE.fullmatch(text)
    if alone is not None:
        return (alone.span(2),)
    low = text.lower()
    return css.urls(low, _spots(low, entities=False))


_ONE_URL = (b"src", b"background", b"href", b"althref", b"poster", b"data", b"lowsrc", b"dynsrc", b"icon")
_PLACES: dict[bytes, Callable[[bytes], Iterable[tuple[int, int]]]] = {
    **dict.fromkeys(_ONE_URL, _whole),
    **dict.fromkeys((b"srcset", b"imagesrcset"), _in_candidates),
    **dict.fromkeys((b"style", SHEET), _in_css),
}
"""Where in the value of an attribute there is room for a URL; with a prefix too (`o:href`, `xlink:href`, `v:src`)."""


class Reference(NamedTuple):
    """`start` and `end` are byte offsets in the document; replacing what lies between them replaces the reference and
    nothing else. `url` is what it says, without entities and escapes. A dynamic one goes on in a merge tag."""

    start: int
    end: int
    url: str
    is_dynamic: bool = False


def find_references(source: bytes) -> list[Reference]:
    """Every reference of an HTML document in UTF-8, in order. Linear in its size, and total: any bytes will do."""
    spots = _spots(source)
    found: list[Reference] = []
    for name, start, text in values(source, spots) if spots else ():
        places = _PLACES.get(name)
        if places is None:
            places = _PLACES.get(name.rpartition(b":")[2])
            if places is None:
                continue
        escapes = places is _in_css
        if BLOT in text or (b"&" in text and name is not SHEET):
            value = _Value(source, text, start, entities=name is not SHEET)
            for first, last in places(value.text):
                found += value.references(first, last, escapes=escapes)
        elif places is _whole:  # most
            if (reference := _only_reference(text, start)) is not None:
                found.append(reference)
        else:
            for first, last in places(text):
                reference = _only_reference(text[first:last], start + first, escapes=escapes)
                if reference is not None:
                    found.append(reference)
    return found


def may_refer(html: str) -> bool:
    """Whether there is anything to find. Cheap, and errs on the side of yes."""
    return bool(_spots(html.encode(errors="replace")))


def _spots(text: bytes, *, entities: bool = True) -> list[int]:
    """Where something stands without which there is no reference, in order: a scheme, or what one can be written with
    (`&#99;id:`, `cid&colon;`, `\\63 id:`)."""
    spots = [found.start() for found in _WRITTEN_OUT.finditer(text)]
    written_out = len(spots)
    if entities:
        spots += [found.start() for found in _ENCODED.finditer(text)]
    backslash = text.find(b"\\")
    if backslash >= 0:
        spots += [found.start() for found in _BACKSLASHES.finditer(text, backslash)]
    return sorted(spots) if len(spots) > written_out else spots


class _Value:
    """A stretch of the document as its reader sees it: entities resolved, merge tags still blotted out."""

    def __init__(self, source: bytes, text: bytes, start: int, *, entities: bool = False) -> None:
        self._source = source
        self._starts, self._origins = [0], [(start, start)]
        self.text = text
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

    def references(self, start: int, end: int, *, escapes: bool) -> Generator[Reference]:
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


def _only_reference(text: bytes, start: int, *, escapes: bool = False) -> Reference | None:
    """The reference in a stretch without merge tags and entities; `start` is its place in the document."""
    written = text.strip(_WS)
    url = css.unescaped(written) if escapes else written
    if not url[:5].lower().startswith(_SCHEMES):
        return None
    begin = start if written is text else start + text.index(written)
    return Reference(begin, begin + len(written), url.decode("utf-8", "replace"))


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
