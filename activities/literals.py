"""Braces and brackets that a template means as text.

In HTML they become character references, which no template language looks at. In the subject and the text, where there
are none, `{{` is escaped as Handlebars documents it, and `[[` is parted by a comment.
"""

import re
from collections.abc import Callable

from contracts.template import Opener, Template
from iterable.handlebars.nodes import HandlebarsError
from iterable.handlebars.parser import parse

_RUNS: dict[Opener, re.Pattern[str]] = {"{{": re.compile(r"\{{2,}"), "[[": re.compile(r"\[{2,}")}
_IN_HTML: dict[Opener, str] = {"{{": "&#123;", "[[": "&#91;"}


def as_meant(content: Template) -> Template:
    """The content with what it lists in `literals` escaped, in every locale; the very same object where it lists
    nothing."""
    if not content.literals:
        return content
    variants = {
        tag: variant.model_copy(update=_escaped(variant.given(), content.literals))
        for tag, variant in content.locales.items()
    }
    own = {name: getattr(content, name) for name in ("subject", "preheader", "html", "text", "from_name")}
    return content.model_copy(update={**_escaped(own, content.literals), "locales": variants, "literals": []})


def _escaped(texts: dict[str, str | None], openers: list[Opener]) -> dict[str, str | None]:
    done = dict(texts)
    for opener in sorted(set(openers), reverse=True):  # braces first: from then on they are no tags
        for name, text in done.items():
            if text is not None and opener in text:
                escape = _as_reference if name == "html" else _as_text
                done[name] = _outside_of_tags(text, opener, escape)
    return done


def _outside_of_tags(text: str, opener: Opener, escape: Callable[[str, Opener], str]) -> str:
    """Brackets inside of merge tags belong to them. Where braces are text there are no tags."""
    if opener == "{{":
        return escape(text, opener)
    try:
        spans = parse(text).spans
    except HandlebarsError:  # refused by the checks, with its place
        return text
    pieces: list[str] = []
    position = 0
    for start, end in [*spans, (len(text), len(text))]:
        pieces += [escape(text[position:start], opener), text[start:end]]
        position = end
    return "".join(pieces)


def _as_reference(text: str, opener: Opener) -> str:
    return _RUNS[opener].sub(lambda run: _IN_HTML[opener] * len(run[0]), text)


def _as_text(text: str, opener: Opener) -> str:
    if opener == "[[":
        return _RUNS[opener].sub(lambda run: "{{! }}".join(run[0]), text)
    # `{{{` would begin a tag of its own behind a backslash, so an odd brace stands before it
    return _RUNS[opener].sub(lambda run: "{" * (len(run[0]) % 2) + r"\{{" * (len(run[0]) // 2), text)
