"""A request, before it is HTTP."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

BULK_MAX = 1000
"""Items in one bulk call. Other integrations keep to it and Iterable answers `BatchTooLarge` beyond some number; the
Swagger gives no number except 4 MB for the body of `users/bulkUpdate`."""

PAGE_MAX = 1000
"""Items on one page of campaigns, and messages in one answer of `getSentMessages`. Source: Swagger 1.8."""

Identity = Annotated[str, Field(min_length=1)]
"""An address or a user id: personal data, so fields of this type stay out of the repr. What else makes one valid is
Iterable's to say (user ids: up to 52 ASCII characters, help centre)."""


class Body(BaseModel):
    """Base of request bodies: strict, so that a typo or a wrong type is found here and not in Iterable's answer.

    Its validation errors do not quote the input. A field that is None is left out of the JSON; None inside free-form
    data stays, as null.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=False,
        hide_input_in_errors=True,
    )

    def to_json(self) -> dict[str, Any]:
        """With Iterable's names."""
        return self.model_dump(by_alias=True, exclude_none=True)


class Unsendable(Exception):
    """No HTTP request can carry the value of the parameter `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True, slots=True)
class Request:
    """One call of the API. Only `operation` and `names` may be logged."""

    method: str
    path: str
    """A template, with the names of the Swagger: `/api/campaigns/{id}`."""
    path_params: Mapping[str, str | int] = field(default_factory=dict[str, str | int], repr=False)
    query: tuple[tuple[str, str | int], ...] = field(default=(), repr=False)
    body: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def operation(self) -> str:
        """Names the call in logs, metrics and errors."""
        return f"{self.method} {self.path}"

    @property
    def names(self) -> frozenset[str]:
        """The parameters that this request sets, by name."""
        return frozenset(self.path_params) | {name for name, _ in self.query} | frozenset(self.body or ())

    def target(self) -> str:
        """The path, each parameter percent-encoded whole: `a+b/c@x` must stay one segment. Raises `Unsendable`."""
        target = self.path
        for name, value in self.path_params.items():
            target = target.replace(f"{{{name}}}", _segment(name, str(value)))
        return target

    def content(self) -> bytes | None:
        """The body as JSON. Raises `Unsendable`: JSON has no NaN, and UTF-8 no lone surrogate.

        Not orjson, which would quietly turn NaN into null and refuses integers beyond 64 bits.
        """
        if self.body is None:
            return None
        parts: list[str] = []
        for name, value in self.body.items():
            part = _json(value)
            if part is None:
                raise Unsendable(name)
            parts.append(f'"{name}":{part}')
        return f"{{{','.join(parts)}}}".encode()


def _json(value: object) -> str | None:
    """None where JSON in UTF-8 cannot carry it. No error, for that would quote it."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        text.encode()
    except (ValueError, TypeError, RecursionError):
        return None
    return text


def _segment(name: str, value: str) -> str:
    try:
        encoded = quote(value, safe="")
    except UnicodeEncodeError:
        encoded = ""
    if encoded in {"", ".", ".."}:  # dots would be taken for a step up the path, and so reach another endpoint
        raise Unsendable(name)
    return encoded


def one_identity(email: str | None, user_id: str | None) -> tuple[str, str]:
    """The name and value of the one identity that is given. Raises `ValueError` for none or both."""
    if email and not user_id:
        return "email", email
    if user_id and not email:
        return "userId", user_id
    raise ValueError("give either an email or a user id")
