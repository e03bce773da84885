"""Our own render of a message, and how it differs from Iterable's: plain Handlebars, for previews only."""

import difflib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic_handlebars import HandlebarsEnvironment, HandlebarsError

from contracts.preview import Rendered
from contracts.template import Template
from iterable.handlebars.names import HELPERS, PROVIDED
from iterable.handlebars.nodes import Block, Call, Literal, Name, Node, Partial
from iterable.handlebars.parser import parse

_PLAIN = frozenset({"if", "unless", "each", "with", "lookup"})
"""Helpers that every Handlebars has. What others do is for Iterable to say."""
_BETWEEN_TAGS = re.compile(r">(?=<)")
_MOST_LINES = 20_000
_MOST_TOLD = 2_000


def render(content: Template, fields: Mapping[str, Any]) -> tuple[Rendered | None, list[str]]:
    """The message, or None with the reasons why only Iterable can render it."""
    texts = (content.subject, content.preheader or "", content.html, content.text or "")
    foreign = sorted({one for text in texts for one in _foreign(parse(text).body)})
    if foreign:
        return None, [f"only Iterable can render {', '.join(foreign)[:400]}: there is nothing to compare with"]
    visible = {**{name: f"[{name}]" for name in PROVIDED}, **fields}
    try:
        subject, preheader, text = (_environment(escape=False).render(one, visible) for one in (*texts[:2], texts[3]))
        html = _environment(escape=True).render(texts[2], visible)
    except (HandlebarsError, RecursionError, ValueError, TypeError, ArithmeticError):
        return None, ["our own render failed: there is nothing to compare with"]
    return Rendered(subject=subject, preheader=preheader, html=html, text=text), []


def differences(ours: str, theirs: str) -> list[str]:
    """Lines of a unified diff; none where both are alike. Tags that follow each other count as lines."""
    if ours == theirs:
        return []
    left, right = _lines(ours), _lines(theirs)
    if max(len(left), len(right)) > _MOST_LINES:
        return ["they differ, and are too long to show where"]
    found = list(difflib.unified_diff(left, right, "connector", "iterable", lineterm="", n=1))
    return [*found[:_MOST_TOLD], f"… and {len(found) - _MOST_TOLD} more lines"] if len(found) > _MOST_TOLD else found


def _lines(html: str) -> list[str]:
    return _BETWEEN_TAGS.sub(">\n", html).splitlines()


@lru_cache(maxsize=2)
def _environment(*, escape: bool) -> HandlebarsEnvironment:
    return HandlebarsEnvironment(auto_escape=escape)


def _foreign(nodes: Sequence[Node]) -> set[str]:
    """What only Iterable knows: its helpers, snippets, partials, the stored profile."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, Partial):
            found.add("partials")
            continue
        found |= _foreign_in(node.call)
        if isinstance(node, Block):
            found |= _foreign(node.body) | _foreign(node.inverse)
    return found


def _foreign_in(call: Call) -> set[str]:
    found: set[str] = set()
    helper = call.helper
    if helper is not None and helper not in _PLAIN and (helper in HELPERS or not call.is_bare):
        found.add(helper)
    for one in (call.head, *call.arguments, *(value for _, value in call.named)):
        match one:
            case Call():
                found |= _foreign_in(one)
            case Name(parts=("profile", *_)):
                found.add("profile")
            case Name() | Literal():
                continue
    return found
