"""Mutated documents, and what must hold for every one of them.

    python -m tests.images.fuzz --documents 100000 --seed 1

A document is put together from pieces of real markup and then damaged: stretches cut out, doubled, swapped, cut short,
characters strewn in. What is checked does not know how references are found.
"""

import argparse
import random
import re
import sys
import time
from collections.abc import Iterator

from images.merge_tags import blotted
from images.references import Reference, find_references

PIECES = (
    '<img src="cid:logo">', "<IMG SRC='CID:a' alt=x>", "<img src=cid:b/>", '<img srcset="cid:a 1x, cid:b 2x">',
    '<td background="cid:bg">', '<p style="background:url(cid:x)">', "<p style='a:url(&quot;cid:x&quot;)'>", "</p>",
    "<style>a{b:url('cid:x')}</style>", "<style>", "</style>", "/* url(cid:x) */",
    "image-set('cid:x' 1x)", "alphaimageloader(src='cid:x')", 'url("', "url(", ")", "\\", "\\63 ",
    "<!--[if gte mso 9]>", '<v:fill src="cid:v"/>', "<![endif]-->", "<!--[if !mso]><!-->", "<!--<![endif]-->", "<!--",
    "-->", "--!>", "<![if !mso]>", "<title>", "</title>", "<script>", "</script>", "<svg><image xlink:href=cid:s />",
    "{{name}}", "{{{raw}}}", "{{#if a}}", "{{else}}", "{{/if}}", "{{#each items}}", "{{/each}}", '{{f "}}" x}}', "{{",
    "}}", "{{!-- }} --}}", "{{! it's }}", "[[feed]]", "[[", "]]", '"', "'", "<", ">", "=", "&", "&#", "&#58;",
    "&colon;", "cid:", "cid&#58;z",
    "data:image/png;base64,AAAA", 'src="data:image/gif;base64,\n R0lG ODlh"', "data:", "<a ", "</",
    "\n", "\t", " ", ",", "é", "👋", "\x00", "\u2028", 'src="{{#if a}}cid:x{{else}}cid:y{{/if}}"', "<br>", "text",
)  # fmt: skip
_URL = "https://cdn.acme.test/i/0123.png"
_TAME = re.compile(r"[\w:;,/+=%&#.@ -]*")
"""A reference that has swallowed markup, because its quote is missing, may take what is in its place along."""
_PLAIN_TAG = re.compile(r"\{\{[^{}\"'\[]*\}\}")


def documents(seed: int) -> Iterator[str]:
    """Without an end; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311
    while True:
        pieces = chance.choices(PIECES, k=chance.randint(1, 40))
        text = "".join(pieces)
        for _ in range(chance.randint(0, 4)):
            text = _damaged(text, chance)
        yield text


def _damaged(text: str, chance: random.Random) -> str:
    one, two = sorted((chance.randint(0, len(text)), chance.randint(0, len(text))))
    match chance.randint(0, 5):
        case 0:
            return text[:one] + text[two:]
        case 1:
            return text[:two] + text[one:]
        case 2:
            return text[two:] + text[:one] + text[one:two]
        case 3:
            return text[:one] + chance.choice(PIECES) + text[one:]
        case 4:
            return text[:one] + text[one:two].upper() + text[two:]
        case _:
            return text[:one]


def check(text: str) -> int:
    """Raises `AssertionError` where something does not hold; how many references the document has."""
    source = text.encode()
    references = find_references(source)
    pieces: list[bytes] = []
    kept: list[bytes] = []
    done = 0
    for reference in references:
        assert done <= reference.start < reference.end <= len(source), "references overlap or are out of order"
        assert _is_reference(reference), reference
        written = source[reference.start : reference.end].decode()  # raises where a character is cut through
        assert not _PLAIN_TAG.search(written), "a merge tag would be replaced"
        pieces += (source[done : reference.start], _URL.encode())
        kept += (source[done : reference.start], source[reference.start : reference.end])
        done = reference.end
    rewritten = b"".join([*pieces, source[done:]])
    assert b"".join([*kept, source[done:]]) == source, "something else would change"
    assert len(blotted(source)) == len(source)
    if all(not reference.is_dynamic and _TAME.fullmatch(reference.url) for reference in references):
        assert find_references(rewritten) == [], "rewriting again finds more"
        assert _blots(rewritten) == _blots(source), "a merge tag has changed"
    return len(references)


def _is_reference(reference: Reference) -> bool:
    return reference.url[:4].lower() == "cid:" or reference.url[:5].lower() == "data:"


def _blots(source: bytes) -> int:
    return blotted(source).count(b"\xff")


def main() -> None:
    """Checks many documents; the first that fails is printed."""
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    started, found, size = time.monotonic(), 0, 0
    for number, text in zip(range(asked.documents), documents(asked.seed), strict=False):
        try:
            found += check(text)
        except BaseException:
            sys.stdout.write(f"document {number} of seed {asked.seed}: {text!r}\n")
            raise
        size += len(text)
    seconds = time.monotonic() - started
    sys.stdout.write(f"{asked.documents} documents, {size} characters, {found} references, {seconds:.0f} s: all hold\n")


if __name__ == "__main__":
    main()
