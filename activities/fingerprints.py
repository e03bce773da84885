"""Fingerprints: one name for everything that Iterable will render alike.

Canonical JSON (RFC 8785) of the content, hashed with SHA-256: the same in any process, language and release. `RECIPE`
changes only when Iterable would render the same content differently than before; then every shadow is made anew.
"""

import hashlib

import rfc8785

from contracts.template import Template

RECIPE = 1
_RENDERED = ("subject", "preheader", "html", "text", "from_email", "from_name", "reply_to")


def template_ref(template: Template) -> str:
    """Names what GenieOS handed over, images included, whatever it is sent as."""
    return _sha256(template.model_dump(mode="json"))


def fingerprint(template: Template, message_type_id: int) -> str:
    """Names what Iterable will render. `name` and `template_id` are for people and are left out; an absent text and an
    empty one render alike."""
    content = template.model_dump(mode="json", include=set(_RENDERED))
    return _sha256(
        {
            "recipe": RECIPE,
            "message_type_id": message_type_id,
            "content": {key: value or "" for key, value in content.items()},
        }
    )


def _sha256(value: object) -> str:
    return hashlib.sha256(rfc8785.dumps(value)).hexdigest()  # pyright: ignore[reportArgumentType]
