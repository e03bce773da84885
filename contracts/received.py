"""Input from outside that may not fit its contract.

Temporal decodes a workflow's input before the workflow's code runs, and an input that does not decode blocks the run
without an end. `Received[SendRequest]` always decodes; `take()` gives the request, or raises the refusal, so that a bad
request ends as a failure with a code and the names of the fields that are wrong.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar, cast, get_args

from pydantic import BaseModel, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from contracts.errors import ConnectorError, ErrorCode

M = TypeVar("M", bound=BaseModel)

_CODE_OF_FIELD = {
    "template": ErrorCode.TEMPLATE_INVALID,
    "template_ref": ErrorCode.TEMPLATE_UNKNOWN,
    "recipient": ErrorCode.RECIPIENT_INVALID,
    "attachments": ErrorCode.ATTACHMENTS_NOT_SUPPORTED,
}
_ADDRESS = "no email address"
_FORMS = {"email": _ADDRESS, "reply_to": _ADDRESS, "send_to": _ADDRESS, "_url": "no http or https address"}
"""What a text is not that breaks the pattern of a field with such a name."""
_MOST_NAMED = 10
_A_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def refusal_of(error: ValidationError) -> ConnectorError:
    """What GenieOS is told about input that does not fit: names and rules, never values."""
    return refusal_from(error.errors(include_url=False, include_context=False, include_input=False))


def refusal_from(problems: Sequence[Mapping[str, Any]]) -> ConnectorError:
    """As `refusal_of`, of the problems themselves as pydantic names them."""
    named = [f"{'.'.join(_shown(part) for part in p['loc']) or 'request'}: {plain(p)}" for p in problems[:_MOST_NAMED]]
    if len(problems) > _MOST_NAMED:
        named.append(f"and {len(problems) - _MOST_NAMED} more")
    fields = {str(p["loc"][0]) for p in problems if p["loc"]}
    codes = {_CODE_OF_FIELD.get(field, ErrorCode.REQUEST_INVALID) for field in fields}
    code = codes.pop() if len(codes) == 1 else ErrorCode.REQUEST_INVALID
    # Whatever else is wrong: no correction of it would let attachments through.
    if any("attachments" in problem["loc"] for problem in problems):
        code = ErrorCode.ATTACHMENTS_NOT_SUPPORTED
    return ConnectorError(code, f"The request does not fit its contract ({'; '.join(named)})")


def plain(problem: Mapping[str, Any]) -> str:
    """The rule that was broken, in words for people: they get no pattern to read, and of a rule of ours not pydantic's
    word for it."""
    if problem["type"] != "string_pattern_mismatch":
        return str(problem["msg"]).removeprefix("Value error, ")
    name = str(problem["loc"][-1]).lower() if problem["loc"] else ""
    return next((what for end, what in _FORMS.items() if name.endswith(end)), "not of the form that it needs")


def _shown(part: str | int) -> str:
    """A field's name, or a question mark where a caller chose a name that may be anything, an address say."""
    return str(part) if isinstance(part, int) or _A_NAME.fullmatch(part) else "?"


class Received(Generic[M]):
    """A `M`, or why it is none."""

    def __init__(self, value: M | ConnectorError) -> None:
        self._value = value

    @classmethod
    def of(cls, argument: object) -> "Received[M]":
        """What a workflow was started with, whatever that is: no argument and a payload that is no JSON are refused."""
        if isinstance(argument, cls):
            return argument
        return cls(ConnectorError(ErrorCode.REQUEST_INVALID, "One JSON object is needed as the only argument"))

    def take(self) -> M:
        """The value. Raises `ConnectorError` where the input did not fit."""
        if isinstance(self._value, ConnectorError):
            raise self._value
        return self._value

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        (model,) = get_args(source)

        def receive(raw: Any, inner: core_schema.ValidatorFunctionWrapHandler) -> "Received[M]":
            if isinstance(raw, cls):
                return cast("Received[M]", raw)
            try:
                return cls(cast("M", inner(raw)))
            except ValidationError as error:
                return cls(refusal_of(error))

        def give(received: "Received[M]") -> Any:
            return received.take()

        return core_schema.no_info_wrap_validator_function(
            receive,
            handler(model),
            serialization=core_schema.plain_serializer_function_ser_schema(give),
        )
