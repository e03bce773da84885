"""Rendering of templates, with a real Handlebars implementation.

Source: Iterable help centre. `{{field}}` is escaped in HTML, `{{{field}}}` is not; a missing field renders empty;
campaign fields are weaker than the profile, the profile is weaker than the request's fields and stays reachable as
`profile.x`; `[[field]]` is data-feed context (or, at campaign creation, the fields baked into the copy). Snippets and
catalogs are not served.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import Any, Final, cast
from urllib.parse import quote, quote_plus

from pydantic_handlebars import CompiledTemplate as Compiled
from pydantic_handlebars import HandlebarsEnvironment, HandlebarsError, HelperOptions

from sandbox.templates import Content

_LINK = re.compile(r"""(\shref\s*=\s*)(["'])(https?://[^"']*)\2""", re.IGNORECASE)
# A call: a name followed by an argument. Comments begin with "!", literals and paths with other characters.
_CALL = re.compile(r"\{\{[{~#^]*\s*([A-Za-z_][\w-]*)\s+(?!as\s+\|)[^}\s]")
_FIRST_LINK = re.compile(r"""\shref\s*=\s*["'](https?://[^"']+)["']""", re.IGNORECASE)


class RenderError(Exception):
    """A template that does not parse, or a helper that fails."""


@dataclass(frozen=True)
class Rendered:
    """A message as it leaves."""

    subject: str
    preheader: str
    from_email: str
    from_name: str
    reply_to: str
    html: str
    text: str

    @property
    def is_empty(self) -> bool:
        return not self.html.strip() and not self.text.strip()

    def first_link(self) -> str:
        found = _FIRST_LINK.search(self.html)
        return found.group(1) if found else "https://example.com/"


def context(
    *,
    campaign_fields: Mapping[str, Any],
    profile: Mapping[str, Any],
    request_fields: Mapping[str, Any],
    tags: Mapping[str, str],
) -> dict[str, Any]:
    """What `{{field}}` sees, strongest last."""
    return {**tags, **campaign_fields, **profile, **request_fields, "profile": dict(profile)}


def render(content: Content, fields: Mapping[str, Any], feed: Mapping[str, Any]) -> Rendered:
    """Renders every place that Iterable renders. Raises `RenderError`."""
    merged = content.get("mergeDataFeedContext") is True
    visible = {**feed, **fields} if merged else fields

    def filled(name: str, *, as_html: bool = False) -> str:
        source = cast("str", content.get(name) or "")
        if not merged:
            source = fill(source, feed, brackets=True)
        return fill(source, visible, as_html=as_html)

    return Rendered(
        subject=filled("subject"),
        preheader=filled("preheaderText"),
        from_email=filled("fromEmail"),
        from_name=filled("fromName"),
        reply_to=filled("replyToEmail"),
        html=_with_link_params(filled("html", as_html=True), content.get("linkParams") or []),
        text=filled("plainText"),
    )


def fill(source: str, fields: Mapping[str, Any], *, as_html: bool = False, brackets: bool = False) -> str:
    """Renders one string; with `brackets` it is `[[field]]` that is filled. Raises `RenderError`."""
    if ("[[" if brackets else "{{") not in source:
        return source
    try:
        return _compiled(source, as_html, brackets).render(dict(fields))
    except RenderError:
        raise
    except (HandlebarsError, RecursionError, ValueError, TypeError, ArithmeticError) as error:
        raise RenderError(str(error)) from None


def bake(content: Content, fields: Mapping[str, Any]) -> Content:
    """Fills `[[field]]` for good, as campaigns/create does with its `dataFields`. Raises `RenderError`."""
    places = ("subject", "preheaderText", "fromEmail", "fromName", "replyToEmail", "html", "plainText")
    baked = {place: fill(content[place], fields, brackets=True) for place in places if content.get(place)}
    return {**content, **baked}


@lru_cache(maxsize=2_048)
def _compiled(source: str, as_html: bool, brackets: bool) -> Compiled:
    unknown = sorted(set(_CALL.findall(source)) - _KNOWN) if not brackets else []
    if unknown:
        raise RenderError(f"could not find helper: '{unknown[0]}'")
    return _ENVIRONMENTS[as_html, brackets].compile(source)


def _with_link_params(html: str, params: list[dict[str, str]]) -> str:
    """Adds the template's link parameters to every link of the HTML."""
    if not params:
        return html
    added = "&amp;".join(f"{quote(param['key'])}={quote_plus(param['value'])}" for param in params)

    def extended(found: re.Match[str]) -> str:
        url, _, fragment = found.group(3).partition("#")
        joint = "&amp;" if "?" in url else "?"
        tail = f"#{fragment}" if fragment else ""
        return f"{found.group(1)}{found.group(2)}{url}{joint}{added}{tail}{found.group(2)}"

    return _LINK.sub(extended, html)


def as_page(rendered: Rendered) -> str:
    """The HTML of a message, or its text made into HTML where there is none."""
    return rendered.html or f"<pre>{escape(rendered.text)}</pre>"


# The most used of Iterable's own helpers. Any other is an error, as an unknown helper is at Iterable.


def _text(value: Any) -> str:
    if value is None:
        return ""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _block(test: Callable[[Any, Any], bool]) -> Callable[..., str]:
    def helper(this: Any, *args: Any, options: HelperOptions) -> str:
        left, right = (*args, None, None)[:2]
        try:
            holds = test(left, right)
        except TypeError:
            holds = False
        return options.fn(this) if holds else options.inverse(this)

    return helper


def _inline(change: Callable[..., str]) -> Callable[..., str]:
    def helper(*args: Any, options: HelperOptions) -> str:
        del options
        return change(*args)

    return helper


def _contains(holder: Any, item: Any) -> bool:
    if isinstance(holder, list | tuple | str | dict):
        return item in holder
    return False


def _join(items: Any = None, separator: Any = ", ") -> str:
    return _text(separator).join(_text(item) for item in cast("list[Any]", items)) if isinstance(items, list) else ""


def _on_text(change: Callable[[str], str]) -> Callable[..., str]:
    def changed(value: Any = None) -> str:
        return change(_text(value))

    return changed


def _capitalize_first(value: str) -> str:
    return value[:1].upper() + value[1:]


def _replace(value: Any = None, old: Any = "", new: Any = "") -> str:
    return _text(value).replace(_text(old), _text(new))


def _default_if_empty(value: Any = None, fallback: Any = "") -> str:
    return _text(fallback) if value in (None, "", [], {}) else _text(value)


_BLOCKS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "ifEq": lambda left, right: _text(left) == _text(right),
    "ifGt": lambda left, right: left > right,
    "ifGte": lambda left, right: left >= right,
    "ifLt": lambda left, right: left < right,
    "ifLte": lambda left, right: left <= right,
    "ifContains": _contains,
    "ifContainsStr": lambda left, right: _text(right) in _text(left),
}
_INLINES: Final[dict[str, Callable[..., str]]] = {
    "defaultIfEmpty": _default_if_empty,
    "capitalize": _on_text(str.title),
    "capitalizeFirst": _on_text(_capitalize_first),
    "upper": _on_text(str.upper),
    "lower": _on_text(str.lower),
    "join": _join,
    "urlEncode": _on_text(quote_plus),
    "replace": _replace,
    # The library's own warns, which is not what a rendering service should do with a stranger's template.
    "log": lambda *_: "",
}
HELPERS: Final = ("if", "unless", "each", "with", "lookup", *_BLOCKS, *_INLINES)
_KNOWN: Final = {*HELPERS, "else"}


def _environment(as_html: bool, brackets: bool) -> HandlebarsEnvironment:
    opening, closing = ("[[", "]]") if brackets else ("{{", "}}")
    environment = HandlebarsEnvironment(auto_escape=as_html, open_delim=opening, close_delim=closing)
    for name, test in _BLOCKS.items():
        environment.register_helper(name, _block(test))
    for name, change in _INLINES.items():
        environment.register_helper(name, _inline(change))
    return environment


_ENVIRONMENTS = {
    (as_html, brackets): _environment(as_html, brackets) for as_html in (False, True) for brackets in (False, True)
}
