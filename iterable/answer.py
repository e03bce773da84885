"""An answer of the API, read leniently: Iterable adds fields without notice and does not always answer in JSON."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from iterable.mending import without_halves

A = TypeVar("A", bound="AnswerModel")
T = TypeVar("T")

_JSON: TypeAdapter[Any] = TypeAdapter(Any)


class AnswerModel(BaseModel):
    """Base of answers: unknown fields are ignored, types are coerced where that loses nothing."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. The body is for reading, never for logs or errors."""

    status: int
    request_id: str | None = None
    retry_after: str | None = field(default=None, repr=False)
    content_type: str = field(default="", repr=False)
    body: bytes | None = field(default=None, repr=False)
    """None where it broke off, could not be decoded or was too long. The status stands all the same."""

    @property
    def taken(self) -> bool:
        """Whether Iterable has taken the request, whatever its body says."""
        return 200 <= self.status < 300

    def text(self) -> str:
        """The body as text, however broken."""
        return (self.body or b"").decode("utf-8", errors="replace")

    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        return self._read(_JSON.validate_json)

    def fields(self) -> dict[str, Any]:
        """The body as a JSON object; empty where it is none."""
        value = self.json()
        return cast("dict[str, Any]", value) if isinstance(value, dict) else {}

    def read(self, model: type[A]) -> A | None:
        """The body as a model; None where it does not fit."""
        return self._read(model.model_validate_json)

    def _read(self, reader: Callable[[bytes], T]) -> T | None:
        if self.body is None:
            return None
        with suppress(ValidationError):
            return reader(self.body)
        with suppress(ValidationError):
            return reader(without_halves(self.body))
        return None
