"""Markup: the tags and style sheets of an HTML document in which something may be found.

Not a parser: it makes no tree and repairs nothing. It knows where a tag, a comment and a style sheet begin and end, as
browsers do (WHATWG HTML, 13.2.5), and in Outlook's conditional comments reads on as Outlook does. It skips in one step
to where something was spotted.

Merge tags are read before markup is. As long as it is plain where they end, the document is read as it is; from the
first stretch that is not, a copy with all of them blotted out, which takes longer and is always right.
"""

import re
from collections.abc import Generator, Iterable, Sequence

from images.merge_tags import INVOLVED, ORDINARY, blotted, has_feeds, ordinary_blotted
from images.tokens import ANY, ATTRIBUTE, FROM_VALUE, LONGEST_NAME, NAME, PLAIN, SKIPPED, START, STYLE, TAG, TO_VALUE

_WINDOW = 4_096
SHEET = b"<style>"
"""In place of an attribute's name."""


Value = tuple[bytes, int, bytes]
"""An attribute's name in lower case (or `SHEET`), where its value starts, and the value without its quotes, or the text
of a style sheet, with merge tags blotted out. A plain tuple, because there are so many."""


def values(source: bytes, spots: Sequence[int]) -> Generator[Value]:
    """The values and style sheets that hold one of the spots (ascending offsets), and others in the same tags."""
    reading = _Reading(source)
    for after, spot in enumerate(spots, 1):
        while reading.is_after_tag(spot):
            value = reading.only_value(spot, spots, after)
            if value is not None:
                yield value
            elif not reading.pass_over(spot):
                yield from reading.token(spot)


class _Reading:
    """Goes forward only: `position` lies between two tokens and outside of merge tags."""

    def __init__(self, source: bytes) -> None:
        self.position = 0
        self._source = source
        self._document = source
        self._is_blotted = False
        self._lower_case: bytes | None = None
        self._bracket = self._involved = -1
        self._sought = 0
        self._all_involved = INVOLVED.finditer(source)
        if has_feeds(source):
            self._read_copy()

    def _read_copy(self) -> None:
        """Goes on from the same position, merge tags being blotted out from now on."""
        self._document = blotted(self._source)
        self._is_blotted = True
        self._lower_case = None
        self._bracket, self._sought = -1, 0
        self._involved = len(self._source)

    @property
    def _low(self) -> bytes:
        if self._lower_case is None:
            self._lower_case = self._document.lower()
        return self._lower_case

    def is_after_tag(self, spot: int) -> bool:
        """Whether a tag may begin between the position and the spot. False where the spot stands in text."""
        position, sought = self.position, self._sought
        if spot < position:
            return False
        found = self._document.rfind(b"<", max(position, sought), spot)
        self._sought = spot  # looks at no byte twice
        if found >= 0:
            self._bracket = found
        if self._involved < position:
            self._seek_involved(position)
        return self._bracket >= position

    def pass_over(self, spot: int) -> bool:
        """Goes forward over what cannot hold the spot. False where that is nothing."""
        document, position, involved = self._document, self.position, self._involved
        passed = PLAIN.match(document, position, min(involved, self._bracket))
        end = passed.end() if passed else position
        if end == involved:  # in text
            merge_tag = ORDINARY.match(document, involved)
            if merge_tag is None:
                self._read_copy()
                return True
            end = merge_tag.end()
        elif self._is_blotted and end < self._bracket:
            skipped = SKIPPED.match(self._low, end, spot)
            end = skipped.end() if skipped else end
        self.position = end
        return end > position

    def _seek_involved(self, position: int) -> None:
        while self._involved < position:
            found = next(self._all_involved, None)
            self._involved = found.start() if found else len(self._source)

    def token(self, spot: int) -> Iterable[Value]:
        """Goes past the token at the position. What may be found in it, if it holds the spot."""
        position = self.position
        pattern, end = self._token_at(position)
        text = self._document[position:end]
        if not self._is_blotted and (b"{" in text or end == position + 1):
            alone = self._blotted_alone(text, pattern)
            if alone is None:
                self._read_copy()
                return ()
            text = alone
        self.position = end
        if end <= spot or pattern is ANY:
            return ()
        return _of_tag(text, position) if pattern is TAG else _of_style(text, position)

    def _token_at(self, position: int) -> tuple[re.Pattern[bytes], int]:
        """What kind of token it is, and where it ends."""
        if self._lower_case is None:  # most end soon, and then the rest need not be had in lower case
            window = self._document[position : position + _WINDOW].lower()
            pattern, length = _first_token(window, 0)
            if length + LONGEST_NAME < len(window):
                return pattern, position + length
        return _first_token(self._low, position)

    def only_value(self, spot: int, spots: Sequence[int], after: int) -> Value | None:
        """Most often what stands between the position and the spot is plain, up to a tag with one value that is of
        interest; then this goes past it, and looks at nothing else. `after` counts the spots up to this one."""
        if self._involved < spot:
            return None
        document = self._document
        to_value = TO_VALUE.fullmatch(document, self.position, spot)
        if to_value is None:
            return None
        group = to_value.lastindex or 0
        start = to_value.end(group)
        end = document.find(to_value[group], spot)
        from_value = FROM_VALUE.match(document, end + 1) if end >= 0 else None
        if from_value is None:
            return None
        behind, text = from_value.end(), document[start:end]
        if b"{" in text or behind > self._involved:
            return None
        while after < len(spots) and spots[after] < end:
            after += 1
        if after < len(spots) and spots[after] < behind:
            return None
        self.position = behind
        return to_value[1].lower(), start, text

    def _blotted_alone(self, text: bytes, pattern: re.Pattern[bytes]) -> bytes | None:
        """The token at the position with its merge tags blotted out; None where they may have led astray."""
        end = self.position + len(text)
        if text == b"<" and self._low.startswith(b"{", end):
            return None
        alone = ordinary_blotted(text)
        if alone is not None and alone is not text:
            again = pattern.match(alone.lower() + self._low[end : end + LONGEST_NAME])
            if again is None or again.end() != len(alone):
                return None
        return alone


def _first_token(low: bytes, position: int) -> tuple[re.Pattern[bytes], int]:
    for pattern in (TAG, STYLE, ANY):
        token = pattern.match(low, position)
        if token is not None:
            return pattern, token.end()
    return ANY, position + 1


def _of_tag(tag: bytes, position: int) -> Generator[Value]:
    low = tag.lower()
    name = NAME.match(low)
    for found in ATTRIBUTE.finditer(low, name.end() if name else 0):
        group = found.lastindex
        if group is not None and group > 1:
            start, end = found.span(group)
            yield found[1], position + start, tag[start:end]


def _of_style(element: bytes, position: int) -> Generator[Value]:
    start = START.match(element.lower())
    length = start.end() if start else 0
    yield from _of_tag(element[:length], position)
    yield SHEET, position + length, element[length:].removesuffix(b"</")
