"""Markup: the tags and style sheets of an HTML document in which something may be found.

Not a parser: it makes no tree and repairs nothing. It knows where a tag, a comment and a style sheet begin and end, as
browsers do (WHATWG HTML, 13.2.5), and in Outlook's conditional comments reads on as Outlook does. It reads a copy of
the document in lower case with merge tags blotted out, and skips in one step to where something was spotted.
"""

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Literal

from images.merge_tags import BLOT

_WS = rb" \t\n\r\f"
_RAW = (b"style", b"script", b"title", b"textarea", b"xmp", b"iframe", b"noembed", b"noframes")
"""Elements whose content is text: a tag in it is none."""

_NAME_END = rb"(?=[" + _WS + rb"/>" + BLOT + rb"])"
_IS_RAW = rb"(?:" + rb"|".join(_RAW) + rb")" + _NAME_END

# Every repetition is possessive and every alternative begins differently, so nothing is read twice. `END` is where a
# token may break off: nowhere while skipping, at the end of the document for the one token that is looked at.


def _attributes(end: bytes) -> bytes:
    """What follows a tag's name, up to and with its `>`. A quote that opens a value must close it."""
    quoted = rb"\"[^\"]*+(?:\"|" + end + rb")|'[^']*+(?:'|" + end + rb")"
    bare = rb"[^" + _WS + rb">\"'][^" + _WS + rb">]*+"
    missing = rb"(?=>)|" + end
    value = rb"=[" + _WS + rb"]*+(?:" + quoted + rb"|" + bare + rb"|" + missing + rb")"
    return rb"(?:[^>=]++|" + value + rb")*+(?:>|" + end + rb")"


def _raw(name: bytes, end: bytes) -> bytes:
    return (
        rb"<"
        + name
        + _NAME_END
        + _attributes(end)
        + rb"(?:[^<]++|<(?!/"
        + name
        + _NAME_END
        + rb"))*+(?:</|"
        + end
        + rb")"
    )


def _tag(end: bytes) -> bytes:
    return rb"<(?!" + _IS_RAW + rb")[a-z" + BLOT + rb"]" + _attributes(end)


def _other(end: bytes) -> bytes:
    """Comments, declarations, end tags, and a `<` that begins nothing. The opening of a conditional comment stands for
    itself: what follows is markup to Outlook."""
    return (
        rb"<!--(?:-?>|[" + _WS + rb"]*+\[if[^a-z][^\]>]*+\][" + _WS + rb"]*+>"
        rb"|(?:[^-]++|-(?!-!?>))*+(?:--!?>|" + end + rb"))"
        rb"|<(?:!(?!--)|[?/])[^>]*+(?:>|" + end + rb")|<(?=[^a-z!/?" + BLOT + rb"])"
    )


_NEVER = rb"(?!)"
_SKIPPED = re.compile(
    rb"(?:[^<]++|" + _tag(_NEVER) + rb"|" + _other(_NEVER) + rb"|" + rb"|".join(_raw(n, _NEVER) for n in _RAW) + rb")*+"
)
_TAG = re.compile(_tag(rb"\Z"))
_STYLE = re.compile(_raw(b"style", rb"\Z"))
_START = re.compile(rb"<[a-z]++" + _attributes(rb"\Z"))
_ANY = re.compile(rb"[^<]++|" + _other(rb"\Z") + rb"|" + rb"|".join(_raw(n, rb"\Z") for n in _RAW[1:]))
_NAME = re.compile(rb"<[^" + _WS + rb"/>" + BLOT + rb"]*+")
_ATTRIBUTE = re.compile(
    rb"([^" + _WS + rb"/>" + BLOT + rb"][^" + _WS + rb"/>=" + BLOT + rb"]*+)"
    rb"(?:[" + _WS + rb"]*+=[" + _WS + rb"]*+"
    rb"(?:\"([^\"]*+)|'([^']*+)|([^" + _WS + rb">\"'][^" + _WS + rb">]*+)))?"
)


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch in which something was spotted: a whole start tag, or the text of a style sheet."""

    kind: Literal["tag", "css"]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Attribute:
    """`name` is in lower case; the value lies between `start` and `end`, without its quotes."""

    name: bytes
    start: int
    end: int


def regions(low: bytes, spots: Sequence[int]) -> Generator[Region]:
    """The tags and style sheets that hold one of the spots (ascending offsets)."""
    position = 0
    for spot in spots:
        if spot < position:
            continue
        skipped = _SKIPPED.match(low, position, spot)
        position = skipped.end() if skipped else position
        while position <= spot:
            if (tag := _TAG.match(low, position)) is not None:
                yield Region("tag", position, tag.end())
                position = tag.end()
            elif (style := _STYLE.match(low, position)) is not None:
                start = _START.match(low, position)
                begin = start.end() if start else position
                yield Region("tag", position, begin)
                yield Region("css", begin, style.end() - 2 * low.endswith(b"</", begin, style.end()))
                position = style.end()
            else:
                other = _ANY.match(low, position)
                position = other.end() if other else position + 1


def attributes(low: bytes, tag: Region) -> Generator[Attribute]:
    """A start tag's attributes that have a value."""
    name = _NAME.match(low, tag.start, tag.end)
    for found in _ATTRIBUTE.finditer(low, name.end() if name else tag.start, tag.end):
        if found.lastindex is not None and found.lastindex > 1:
            yield Attribute(found.group(1), *found.span(found.lastindex))
