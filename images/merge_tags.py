"""Merge tags: what Iterable fills in, and nothing here may touch.

Handlebars is read before HTML is, so a tag may stand anywhere: in text, in a tag, in half of an attribute. The scanner
works on a copy of the document in which every merge tag is blotted out by as many bytes that no UTF-8 text has. What is
left is markup, at the same offsets.
"""

import re
from collections.abc import Generator

BLOT = b"\xff"
"""Fills the place of a merge tag. The byte does not occur in UTF-8."""

_OPENING = re.compile(rb"\{(?=\{)")  # faster than `find`, which is slow for two bytes
ORDINARY = re.compile(
    rb"""\{\{(?<!\{\{\{)(?:[^{}"'\[!]*+(?:(?:"[^"{}]*+"|'[^'{}]*+'|\[[^\[\]{}]*+\])[^{}"'\[!]*+)*+|\{[^{}"'\[!]*+\}"""
    rb"""|~?!(?!--)[^{}]*+|~?!--(?:[^-{}]++|-(?!-~?\}\}))*+--~?)\}\}"""
)
"""Nearly all merge tags: those of which can be told without the rest of the document where they end."""

INVOLVED = re.compile(rb"""\{(?=\{)(?!\{[^{}"'\[<>=!]*+\}\}|\{(?!~?!--)(?:[^{}"'\[<>=]*+|\{[^{}"'\[<>=]*+\})\}\})""")
"""Where merge tags may begin that do not end, or hold what may be taken for markup."""

# A string or a [segment] of an expression may hold closing braces. Possessive throughout: nothing is tried twice.
_EXPRESSION = re.compile(rb"""\{\{++(?:[^}"'\[]++|"[^"]*+"|'[^']*+'|\[[^\]]*+\]|\}(?!\}))*+\}\}""")
_SIMPLE = re.compile(rb"""\{\{[^{}"'\[!]*+\}\}""")
"""Most tags; tried first, because it is quick."""
_COMMENT = re.compile(rb"\{\{+~?!(--)?")
_COMMENT_END = re.compile(rb"--~?\}\}")
_BRACKETS = re.compile(rb"\[\[++(?:[^\[\]<>]*+\]\])?+")
_SILENT = re.compile(rb"\{\{+~?\s*(?:[#^/!]|else\b)")


def blotted(source: bytes) -> bytes:
    """The document with its merge tags blotted out; as long as it was. An opening without an end is left as text."""
    if not has_feeds(source) and (ordinary := ordinary_blotted(source)) is not None:
        return ordinary
    pieces: list[bytes] = []
    done = 0
    for start, end in _Scan(source).spans():
        pieces += (source[done:start], BLOT * (end - start))
        done = end
    return b"".join([*pieces, source[done:]]) if pieces else source


def ordinary_blotted(stretch: bytes) -> bytes | None:
    """A stretch with its merge tags blotted out, whatever follows it; None where that cannot be told without the rest.
    It must not begin inside of one, and the document must have no feeds."""
    if not is_opened(stretch):
        return stretch
    blots = ORDINARY.sub(_blot, stretch)
    return None if is_opened(blots) else blots


def _blot(tag: re.Match[bytes]) -> bytes:
    return BLOT * len(tag[0])


def is_opened(source: bytes) -> bool:
    """Whether there is a `{{`."""
    return _OPENING.search(source) is not None


def has_feeds(source: bytes) -> bool:
    """Whether there may be tags of data feeds, `[[…]]`."""
    at = source.find(b"[")  # a single byte is what the C library searches for, ten times as fast as two
    while at >= 0 and not source.startswith(b"[", at + 1):
        at = source.find(b"[", at + 1)
    return at >= 0


def is_silent(source: bytes, position: int) -> bool:
    """Whether the merge tag at a position prints nothing itself (a block's opening, middle or end, a comment), so that
    what stands beside it may stand alone."""
    return _SILENT.match(source, position) is not None


class _Scan:
    """One pass. Linear, because a search that reached the end in vain is not made again."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._quotes_close = True
        self._comments_close = True

    def spans(self) -> Generator[tuple[int, int]]:
        """Where merge tags are, in order."""
        find = self._source.find
        braces, brackets = find(b"{{"), find(b"[[")
        while braces >= 0 or brackets >= 0:
            if braces < 0 or 0 <= brackets < braces:
                start, found = brackets, _BRACKETS.match(self._source, brackets)
                position = found.end() if found else brackets + 1
                end = position if self._source.startswith(b"]", position - 1) else None
            else:
                simple = _SIMPLE.match(self._source, braces)
                start, end = braces, simple.end() if simple else self._end_of_braces(braces)
                position = end or len(self._source)  # nothing closes from here on
            if end is not None:
                yield start, end
            if 0 <= braces < position:
                braces = find(b"{{", position)
            if 0 <= brackets < position and (end is not None or start == brackets):
                brackets = find(b"[[", position)

    def _end_of_braces(self, start: int) -> int | None:
        source = self._source
        comment = _COMMENT.match(source, start)
        if comment is None and self._quotes_close:
            expression = _EXPRESSION.match(source, start)
            if expression is not None:
                return self._all_closing(start, expression.end())
            self._quotes_close = False  # a string is left open: from now on a tag ends at its first closing braces
        if comment is not None and comment.group(1) and self._comments_close:
            dashes = _COMMENT_END.search(source, comment.end())
            if dashes is not None:
                return self._all_closing(start, dashes.end())
            self._comments_close = False
        end = source.find(b"}}", start)
        return None if end < 0 else self._all_closing(start, end + 2)

    def _all_closing(self, start: int, end: int) -> int:
        """As many closing braces belong to a tag as it has opening ones."""
        opened = 2
        while self._source.startswith(b"{", start + opened):
            opened += 1
        for _ in range(opened - 2):
            if not self._source.startswith(b"}", end):
                break
            end += 1
        return end
