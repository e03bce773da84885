"""Style sheets: where their images are, and what their escapes mean (CSS Syntax Level 3, 4.3)."""

import re
from collections.abc import Generator, Sequence

_NEWLINE = rb"\n\r\f"
_SETS = (b"image-set(", b"alphaimageloader(")
"""What takes an image as a string: `image-set("a.png" 1x)` (CSS Images 4), and a filter of old Internet Explorers,
`AlphaImageLoader(src='a.png')`."""


def _string(quote: bytes, end: bytes) -> bytes:
    """A string; one that is left open ends with its line."""
    return quote + rb"(?:[^" + quote + rb"\\" + _NEWLINE + rb"]++|\\(?s:.))*+(?:" + quote + rb"|" + end + rb")"


def _strings(end: bytes) -> bytes:
    return _string(b'"', end) + rb"|" + _string(b"'", end)


_COMMENT = rb"/\*(?:[^*]++|\*(?!/))*+"
_BARE = rb"(?:[^)\\]++|\\(?s:.))*+"
_URL = rb"url\([ \t\n\r\f]*+"
_LINE_END = rb"(?=[" + _NEWLINE + rb"])"
_SKIPPED_URL = _URL + rb"(?:" + _strings(_LINE_END) + rb"|(?![\"'])" + _BARE + rb"\))"


def _set(end: bytes) -> bytes:
    """A whole `image-set(…)`, with what is nested in it, or the filter."""
    plain = rb"[^()\"'/\\]++|/(?!\*)|\\(?s:.)|" + _COMMENT + rb"\*/|" + _strings(_LINE_END)
    nested = rb"\((?:" + plain + rb")*+\)"
    return rb"(?:" + rb"|".join(map(re.escape, _SETS)) + rb")(?:" + plain + rb"|" + nested + rb")*+(?:\)|" + end + rb")"


class _Grammar:
    """`skipped` goes over tokens that end before a spot, `token` is the one that holds it."""

    def __init__(self, *, has_sets: bool) -> None:
        begins = rb"ia" if has_sets else b""
        other = rb"[^/\"'u\\" + begins + rb"]++|/(?!\*)|u(?!rl\()|\\(?s:.)"
        if has_sets:
            other += rb"|i(?!mage-set\()|a(?!lphaimageloader\()"
        skipped = [other, _COMMENT + rb"\*/", _strings(_LINE_END), _SKIPPED_URL]
        token = [
            _URL + rb"(?:\"((?:[^\"\\]++|\\(?s:.))*+)\"?+|'((?:[^'\\]++|\\(?s:.))*+)'?+|(" + _BARE + rb"))",
            _COMMENT + rb"(?:\*/)?+",
            _strings(b""),
        ]
        if has_sets:
            skipped.append(_set(rb"(?!)"))
            token.append(rb"(?P<set>" + _set(rb"\Z") + rb")")
        self.skipped = re.compile(rb"(?:" + rb"|".join(skipped) + rb")*+")
        self.token = re.compile(rb"|".join([*token, other]))


_USUAL = _Grammar(has_sets=False)
_WITH_SETS = _Grammar(has_sets=True)
_IN_SET = re.compile(
    _COMMENT + rb"\*/|" + _URL + rb"(?:(?=[\"'])|(" + _BARE + rb")\))"
    rb"|\"((?:[^\"\\]++|\\(?s:.))*+)\"|'((?:[^'\\]++|\\(?s:.))*+)'|src[ \t]*+=[ \t]*+([^\"' \t,)][^\"',)]*+)"
)
_ESCAPE = re.compile(rb"\\(?:([0-9a-fA-F]{1,6})(?:\r\n|[ \t\n\r\f])?|(\r\n|[\n\r\f])|((?s:.)))")


def urls(low: bytes, spots: Sequence[int]) -> Generator[tuple[int, int]]:
    """What stands between the parentheses, or the quotes in them, of each `url(…)` that holds one of the spots; and the
    strings of each `image-set(…)` and `AlphaImageLoader(…)`.

    `low` is the style sheet in lower case; comments and other strings are passed over.
    """
    grammar = _WITH_SETS if any(name in low for name in _SETS) else _USUAL
    position = 0
    for spot in spots:
        if spot < position:
            continue
        skipped = grammar.skipped.match(low, position, spot)
        position = skipped.end() if skipped else position
        while position <= spot:
            token = grammar.token.match(low, position)
            if token is None:
                position += 1
                continue
            position = max(token.end(), position + 1)
            if token.lastgroup == "set":
                yield from (
                    found.span(found.lastindex) for found in _IN_SET.finditer(low, *token.span()) if found.lastindex
                )
            elif token.lastindex is not None:
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
