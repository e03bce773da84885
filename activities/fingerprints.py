"""Fingerprints: one name for everything that Iterable will render alike.

Canonical JSON (RFC 8785) of the content, hashed with SHA-256: the same in any process, language and release. `RECIPE`
changes only when Iterable would render the same content differently than before; then every shadow is made anew.
"""

import hashlib

import orjson

from contracts.template import Template

RECIPE = 1
_ADDED = frozenset({"locales", "literals"})
"""Fields of later releases: where they are empty a template has the name it had before."""
_RENDERED = ("subject", "preheader", "html", "text", "from_email", "from_name", "reply_to")


def template_ref(template: Template) -> str:
    """Names what GenieOS handed over, images included, whatever it is sent as."""
    given = template.model_dump(mode="json")
    return _sha256({name: value for name, value in given.items() if value or name not in _ADDED})


def fingerprint(template: Template, message_type_id: int) -> str:
    """Names what Iterable will render. `name` and `template_id` are for people and are left out; an absent text and an
    empty one render alike. A locale's content counts as a whole: leaving a field out is the same as repeating it.
    Literals are escaped before (`activities/literals.py`)."""
    named: dict[str, object] = {
        "recipe": RECIPE,
        "message_type_id": message_type_id,
        "content": _rendered(template),
    }
    if template.locales:
        named["locales"] = {locale: _rendered(variant) for locale, variant in template.variants().items()}
    return _sha256(named)


def _rendered(template: Template) -> dict[str, str]:
    return {name: getattr(template, name) or "" for name in _RENDERED}


def _sha256(value: object) -> str:
    """Of what these documents are made of (text, whole numbers, names in ASCII), sorted JSON without white space is the
    canonical form of RFC 8785; a test holds that against another implementation."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
