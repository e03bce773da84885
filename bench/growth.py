"""How the time of what reads strangers' text grows with the text: as its length does, whatever the text is.

    python -m bench.growth

Each text is read at one length and at eight times that length, in turns, and each number is the best of five. A length
that is squared would show as 64. Ends with 1 where a text grows by more than `_MOST`.
"""

import contextlib
import sys
import time
from collections.abc import Callable

from bench.stage import say
from images.references import find_references
from iterable.handlebars.nodes import HandlebarsError
from iterable.handlebars.parser import parse
from runtime.logging import scrub
from tests.hostile import HANDLEBARS, HTML, PREFIXES

_TIMES = 8
_MOST = 24
_RUNS = 5
_SECONDS = 0.004
"""Of the shorter text: shorter ones are measured in the noise of the machine."""


def _handlebars(text: str) -> None:
    with contextlib.suppress(HandlebarsError):
        parse(text)


def _html(text: str) -> None:
    find_references(f'{text}">'.encode())


_READERS: dict[str, tuple[Callable[[str], object], list[tuple[str, str]]]] = {
    "parse Handlebars": (_handlebars, [(prefix, unit) for prefix in PREFIXES for unit in HANDLEBARS]),
    "find references in HTML": (_html, [("", unit) for unit in HTML]),
    "scrub a log's text": (scrub, [("", unit) for unit in ("a", "@", "a@", "a.", "a@b.", "Bearer ", "key=")]),
}


def growth(read: Callable[[str], object], prefix: str, unit: str) -> float:
    """How many times as long eight times the text takes."""

    def seconds(repeats: int) -> float:
        text = prefix + unit * repeats
        began = time.process_time()
        read(text)
        return time.process_time() - began

    repeats = 1_000
    while seconds(repeats) < _SECONDS and repeats * len(unit) < 1_000_000:
        repeats *= 2
    pairs = [(seconds(repeats), seconds(repeats * _TIMES)) for _ in range(_RUNS)]
    short, long = (min(times) for times in zip(*pairs, strict=True))
    return long / short


def main() -> None:
    """Prints the worst of each reader; ends with 1 where one is beyond the limit."""
    bad = False
    for what, (read, texts) in _READERS.items():
        found = {prefix + unit: growth(read, prefix, unit) for prefix, unit in texts}
        worst = max(found, key=lambda text: found[text])
        say(what, f"{found[worst]:.1f} times for {_TIMES} times {worst!r} ({len(texts)} texts)", f"≤ {_MOST}")
        bad = bad or found[worst] > _MOST
    sys.exit(bad)


if __name__ == "__main__":
    main()
