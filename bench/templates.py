"""What preparing a template of 100 KB costs: finding and replacing its images and naming its content, against one pass
of a C tree parser (lxml's HTML parser) over the same bytes.

    python -m bench.templates [kilobytes]

The template is the demo's own, its middle repeated: a row for each article, with an inline image of every form in turn.
Each number is the best of many runs, since everything else on the machine only adds.
"""

import base64
import sys
import time
from collections.abc import Callable, Sequence

from lxml import etree

from activities.fingerprints import fingerprint
from bench.stage import say
from cli.welcome import welcome_template
from contracts.template import InlineImage, Template
from images.references import find_references
from images.rewriting import Limits, rewrite

_RUNS = 60
_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_DATA = f"data:image/png;base64,{base64.b64encode(_PNG).decode()}"
_FORMS = (
    '<img src="cid:logo" width="120" alt="{{this.name}}">',
    '<img srcset="cid:logo 1x, cid:hero 2x" src="https://assets.acme.test/a.png">',
    "<div style=\"background:url('cid:hero') no-repeat\">&nbsp;</div>",
    f'<img src="{_DATA}" alt="">',
    '<!--[if mso]><v:fill type="frame" src="cid:hero"/><![endif]-->',
)
_EVERY = 4  # one article in four has an image
_PREFIX = "https://cdn.acme.test/i"
_LIMITS = Limits(image=1_000_000, template=1_000_000)


def template(size: int) -> Template:
    """The demo's template, grown to about `size` bytes."""
    welcome = welcome_template()
    start = welcome.html.index('          <tr>\n            <td class="gutter ink"')
    end = welcome.html.index("          {{#if favourites}}")
    row = welcome.html[start:end]
    rows: list[str] = []
    while sum(map(len, rows)) + len(welcome.html) < size:
        image = _FORMS[len(rows) // _EVERY % len(_FORMS)] if len(rows) % _EVERY == 0 else ""
        rows.append(row.replace("<h1", f"{image}<h1"))
    images = [
        InlineImage(content_id=name, media_type="image/png", data=base64.b64encode(_PNG + name.encode()).decode())
        for name in ("logo", "hero")
    ]
    html = welcome.html[:start] + "".join(rows) + welcome.html[end:]
    return welcome.model_copy(update={"html": html, "inline_images": images})


def best_ms(calls: Sequence[Callable[[], object]]) -> list[float]:
    """Milliseconds of this process's own time, of each call. In turns, so that a slow moment of the machine falls on
    all of them."""

    def once(call: Callable[[], object]) -> float:
        started = time.process_time()
        for _ in range(5):
            call()
        return (time.process_time() - started) / 5

    return [min(times) * 1_000 for times in zip(*([once(call) for call in calls] for _ in range(_RUNS)), strict=True)]


def main() -> None:
    """Prints the table."""
    given = template(int(sys.argv[1]) * 1_000 if len(sys.argv) > 1 else 100_000)
    source = given.html.encode()
    rewritten = rewrite(given, _PREFIX, _LIMITS).template
    parser, finding, rewriting, naming = best_ms(
        [
            lambda: etree.fromstring(source, etree.HTMLParser()),
            lambda: find_references(source),
            lambda: rewrite(given, _PREFIX, _LIMITS),
            lambda: fingerprint(rewritten, 101),
        ]
    )
    say(
        "a template",
        f"{len(source):,} bytes, {source.count(b'<'):,} tags, {source.count(b'{{'):,} merge tags, "
        f"{len(find_references(source))} references",
    )
    measured = {
        "lxml parses the HTML into a tree": parser,
        "find the references": finding,
        "rewrite (find, decode, hash, replace)": rewriting,
        "fingerprint": naming,
        "rewrite and fingerprint": rewriting + naming,
    }
    for what, milliseconds in measured.items():
        goal = "≤ 1.00" if milliseconds == rewriting + naming else ""
        say(what, f"{milliseconds:.2f} ms, {milliseconds / parser:.2f} of the parser's", goal)


if __name__ == "__main__":
    main()
