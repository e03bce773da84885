"""What is looked at before Iterable is touched: what would fail there, or arrive in another shape than it was designed.

A refusal is a `ConnectorError` with the field, the line and the column. What may be right is a warning. Neither ever
holds a value of a send's data.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from activities.needs import missing_names
from contracts.connector import ConnectorSettings
from contracts.errors import ConnectorError, ErrorCode
from contracts.send import RESERVED_DATA_KEY
from contracts.template import Stream, Template
from contracts.warning import SendWarning, WarningCode
from iterable.handlebars.names import UNSUBSCRIBE
from iterable.handlebars.nodes import Block, Call, Expression, HandlebarsError, Literal, Name, Node, Parsed, Partial
from iterable.handlebars.parser import parse

GMAIL_CLIPS = 102 * 1024
"""Bytes of an HTML body that Gmail shows. Iterable's help centre advises to stay below 100 KB; links grow a little when
Iterable makes them trackable."""
TRANSACTIONAL_DATA = 12_000
"""Characters of `transactionalData` that come back with events; Iterable cuts the rest."""
_CORRELATION = 300
"""At least what the connector adds to the data of one send."""
_RENDERED = ("subject", "preheader", "html", "text", "from_email", "from_name", "reply_to")
"""The fields that Iterable fills merge tags in."""
_ADDRESS = re.compile(r"[^\s@<>]+@[^\s@<>]+")
_MOST_TOLD = 5
_HEADERS = ("subject", "from_email", "from_name", "reply_to")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def check_template(content: Template, stream: Stream, settings: ConnectorSettings) -> list[SendWarning]:
    """What a template's content says by itself, in each locale. Raises `ConnectorError`: `template_invalid`,
    `template_too_large`, `sender_not_authorised`."""
    found = {warning.code: warning for warning in _check(content, stream, settings)}
    for locale, variant in content.variants().items():
        try:
            warnings = _check(variant, stream, settings)
        except ConnectorError as error:
            raise ConnectorError(error.code, f"Locale {locale}: {error.what}", error.advice) from None
        for warning in warnings:
            message = f"Locale {locale}: {warning.message}"[:1000]
            found.setdefault(warning.code, warning.model_copy(update={"message": message}))
    return list(found.values())


def _check(content: Template, stream: Stream, settings: ConnectorSettings) -> list[SendWarning]:
    if not content.subject.strip():
        raise ConnectorError(ErrorCode.TEMPLATE_INVALID, "The template's subject is empty")
    size = len(content.html.encode())
    if size > settings.template_max_bytes:
        raise ConnectorError(
            ErrorCode.TEMPLATE_TOO_LARGE,
            f"The HTML has {size} bytes, and template_max_bytes is {settings.template_max_bytes}",
        )
    texts = _texts(content)
    parsed = {name: _parsed(name, text) for name, text in texts.items()}
    for name, one in parsed.items():
        _check_reserved(name, one, texts[name])
    for name in _HEADERS:
        if _CONTROLS.search(getattr(content, name) or ""):
            what = f"The template's {name} has line breaks or other control characters, which no header of an email has"
            raise ConnectorError(ErrorCode.TEMPLATE_INVALID, what)
    warnings = [*_sender(content, settings), *_doubts(parsed), *_unsubscribe(parsed, stream, settings)]
    if size > GMAIL_CLIPS:
        warnings.append(
            SendWarning(
                code=WarningCode.TEMPLATE_CLIPPED,
                message=f"The HTML has {size} bytes before merge tags are filled; Gmail hides what is beyond "
                f"{GMAIL_CLIPS}",
            )
        )
    return warnings


def check_tags(content: Template) -> list[SendWarning]:
    """The merge tags of a template, in each locale, whatever it will be sent as. Raises `ConnectorError`:
    `template_invalid`."""
    parsed = {name: _parsed(name, text) for name, text in _texts(content).items()}
    for locale, variant in content.variants().items():
        parsed |= {f"{name} ({locale})": _parsed(f"{name} ({locale})", text) for name, text in _texts(variant).items()}
    return _doubts(parsed)


def check_data(content: Template, data: Mapping[str, Any], profile: Mapping[str, Any]) -> list[SendWarning]:
    """What a send's data means for a template that was checked. Which locale Iterable takes is up to the profile there;
    here it is what the send says, or none."""
    content = content.for_locale(data.get("locale") or profile.get("locale"))
    warnings: list[SendWarning] = []
    missing = missing_data(content, data, profile)
    if missing:
        warnings.append(
            SendWarning(
                code=WarningCode.DATA_MISSING,
                message=f"Neither data nor recipient.profile has {', '.join(missing)}"[:900]
                + ": shown as nothing, unless the profile in Iterable has it",
            )
        )
    length = len(json.dumps(data, ensure_ascii=False, separators=(",", ":"))) + _CORRELATION
    if length > TRANSACTIONAL_DATA:
        warnings.append(
            SendWarning(
                code=WarningCode.DATA_TOO_LONG,
                message=f"The data has {length} characters, and Iterable gives {TRANSACTIONAL_DATA} of them back: "
                "events of this send may have to be joined by campaign, recipient and time",
            )
        )
    return warnings


def missing_data(content: Template, data: Mapping[str, Any], profile: Mapping[str, Any]) -> list[str]:
    """Paths that a checked template shows, and neither the data nor the profile has."""
    parsed = [_parsed(name, text).body for name, text in _texts(content).items()]
    return missing_names(parsed, {**profile, **data})


def _texts(content: Template) -> dict[str, str]:
    fields = ((name, getattr(content, name)) for name in _RENDERED)
    return {name: text for name, text in fields if text}


def _parsed(name: str, text: str) -> Parsed:
    try:
        return _parse(text)
    except HandlebarsError as error:
        raise ConnectorError(
            ErrorCode.TEMPLATE_INVALID,
            f"The template's {name} is no valid Handlebars: line {error.line}, column {error.column}: {error.what}",
            "Correct the merge tag in GenieOS; braces that are meant as text are listed in the template's `literals`.",
        ) from None


@lru_cache(maxsize=256)
def _parse(text: str) -> Parsed:
    """A template is sent often: it is parsed once a process. Nothing that comes out of here is changed."""
    return parse(text)


def _check_reserved(field: str, parsed: Parsed, text: str) -> None:
    for start, name in _names(parsed.body):
        if name.parts[:1] == (RESERVED_DATA_KEY,) and not name.at:
            line = text.count("\n", 0, start) + 1
            raise ConnectorError(
                ErrorCode.TEMPLATE_INVALID,
                f"The template's {field} shows {{{{{RESERVED_DATA_KEY}}}}} in line {line}, a name that is reserved for "
                "the connector",
            )


def _sender(content: Template, settings: ConnectorSettings) -> list[SendWarning]:
    sender, reply_to = content.from_email or "", content.reply_to
    if "{{" not in sender and not _ADDRESS.fullmatch(sender):
        raise ConnectorError(ErrorCode.TEMPLATE_INVALID, "The template's from_email is not an address")
    if reply_to and "{{" not in reply_to and not _ADDRESS.fullmatch(reply_to):
        raise ConnectorError(ErrorCode.TEMPLATE_INVALID, "The template's reply_to is not an address")
    if not settings.may_send_from(sender):
        raise ConnectorError(
            ErrorCode.SENDER_NOT_AUTHORISED,
            "The template's from_email is none of the connector's allowed_senders",
            "Use a sender that is, or have an admin add this one to them.",
        )
    told: list[str] = []
    if "{{" in sender:
        told.append("from_email has merge tags: Iterable's project must allow dynamic senders")
    if content.from_name and content.from_name != content.from_name.strip():
        told.append("from_name begins or ends with a space, which can break sends")
    return [SendWarning(code=WarningCode.SENDER_UNCLEAR, message="; ".join(told))] if told else []


def _doubts(parsed: Mapping[str, Parsed]) -> list[SendWarning]:
    found = [(name, doubt) for name, one in parsed.items() for doubt in one.doubts]
    told = [f"{name}, line {doubt.line}, column {doubt.column}: {doubt.what}" for name, doubt in found[:_MOST_TOLD]]
    if len(found) > _MOST_TOLD:
        told.append(f"and {len(found) - _MOST_TOLD} more")
    return [SendWarning(code=WarningCode.TEMPLATE_UNCLEAR, message="; ".join(told)[:1000])] if told else []


def _unsubscribe(parsed: Mapping[str, Parsed], stream: Stream, settings: ConnectorSettings) -> list[SendWarning]:
    if stream != "marketing" or settings.marketing_without_unsubscribe == "allow":
        return []
    bodies = [parsed[name].body for name in ("html", "text") if name in parsed]
    names = [name for body in bodies for _, name in _names(body)]
    if any(name.parts[:1] and name.parts[0] in UNSUBSCRIBE for name in names):
        return []
    what = f"The template is marketing and has none of {', '.join(f'{{{{{name}}}}}' for name in sorted(UNSUBSCRIBE))}"
    elsewhere = any(_comes_from_elsewhere(body) for body in bodies)
    if settings.marketing_without_unsubscribe == "refuse" and not elsewhere:
        raise ConnectorError(ErrorCode.TEMPLATE_INVALID, what)
    if elsewhere:
        what += "; one of its snippets may"
    return [SendWarning(code=WarningCode.UNSUBSCRIBE_MISSING, message=what)]


def _comes_from_elsewhere(nodes: Sequence[Node]) -> bool:
    """Whether snippets or partials put in what is not here to be looked at."""
    for node in nodes:
        if isinstance(node, Partial) or node.call.helper == "snippet":
            return True
        if isinstance(node, Block) and (_comes_from_elsewhere(node.body) or _comes_from_elsewhere(node.inverse)):
            return True
    return False


def _names(nodes: Sequence[Node]) -> list[tuple[int, Name]]:
    """Every name, with the place of its tag."""
    found: list[tuple[int, Name]] = []
    for node in nodes:
        found += [(node.start, name) for name in _names_in(node.call)]
        if isinstance(node, Block):
            found += [*_names(node.body), *_names(node.inverse)]
    return found


def _names_in(expression: Expression) -> list[Name]:
    match expression:
        case Literal():
            return []
        case Name():
            return [expression]
        case Call():
            parts = (expression.head, *expression.arguments, *(value for _, value in expression.named))
            return [name for part in parts for name in _names_in(part)]
