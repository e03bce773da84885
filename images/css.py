"""Style sheets: where their `url(…)` are, and what their escapes mean (CSS Syntax Level 3, 4.3)."""

import re
from collections.abc import Generator, Sequence

_NEWLINE = rb"\n\r\f"


def _string(quote: bytes, end: bytes) -> bytes:
    """A string; one that is left open ends with its line."""
    return quote + rb"(?:[^" + quote + rb"\\" + _NEWLINE + rb"]++|\\(?s:.))*+(?:" + quote + rb"|" + end + rb")"


def _strings(end: bytes) -> bytes:
    return _string(b'"', end) + rb"|" + _string(b"'", end)


_COMMENT = rb"/\*(?:[^*]++|\*(?!/))*+"
_BARE = rb"(?:[^)\\]++|\\(?s:.))*+"
_URL = rb"url\([ \t\n\r\f]*+"
_ELSE = rb"[^/\"'u\\]++|/(?!\*)|u(?!rl\()|\\(?s:.)"
_LINE_END = rb"(?=[" + _NEWLINE + rb"])"

# While skipping, a token that reaches the spot is not complete and is left for `_TOKEN`.
_SKIPPED = re.compile(
    rb"(?:"
    + _ELSE
    + rb"|"
    + _COMMENT
    + rb"\*/|"
    + _strings(_LINE_END)
    + rb"|"
    + _URL
    + rb"(?:"
    + _strings(_LINE_END)
    + rb"|(?![\"'])"
    + _BARE
    + rb"\)))*+"
)
_TOKEN = re.compile(
    _URL + rb"(?:\"((?:[^\"\\]++|\\(?s:.))*+)\"?+|'((?:[^'\\]++|\\(?s:.))*+)'?+|(" + _BARE + rb"))"
    rb"|" + _COMMENT + rb"(?:\*/)?+|" + _strings(b"") + rb"|" + _ELSE
)
_ESCAPE = re.compile(rb"\\(?:([0-9a-fA-F]{1,6})(?:\r\n|[ \t\n\r\f])?|(\r\n|[\n\r\f])|((?s:.)))")


def urls(low: bytes, spots: Sequence[int]) -> Generator[tuple[int, int]]:
    """What stands between the parentheses, or the quotes in them, of each `url(…)` that holds one of the spots.

    `low` is the style sheet in lower case; comments and strings are passed over.
    """
    position = 0
    for spot in spots:
        if spot < position:
            continue
        skipped = _SKIPPED.match(low, position, spot)
        position = skipped.end() if skipped else position
        while position <= spot:
            token = _TOKEN.match(low, position)
            if token is None:
                position += 1
                continue
            position = max(token.end(), position + 1)
            if token.lastindex is not None:
                yield token.span(token.lastindex)


def unescaped(text: bytes) -> bytes:
    """A name or string with its escapes resolved."""
    return _ESCAPE.sub(_resolved, text) if b"\\" in text else text


def _resolved(escape: re.Match[bytes]) -> bytes:
    code, newline, other = escape.groups()
    if code is None:
        return b"" if newline is not None else other
    point = int(code, 16)
    usable = 0 < point < 0xD800 or 0xDFFF < point <= 0x10FFFF
    return (chr(point) if usable else "\N{REPLACEMENT CHARACTER}").encode()
