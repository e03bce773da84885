"""One request to the API: who asks, for what, and with which body."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from starlette.requests import Request
from starlette.responses import Response

from sandbox.keys import Grant
from sandbox.project import Project
from sandbox.wire import ApiError, bad_params
from sandbox.world import World


@dataclass(frozen=True)
class Call:
    """A request with a key that is good for it. `operation` is its method and documented path."""

    world: World
    project: Project
    grant: Grant
    request: Request
    operation: str
    raw: bytes

    @property
    def now(self) -> float:
        return self.world.clock.now()

    @property
    def profile_lag(self) -> float:
        return self.project.settings.lags.profiles

    # Parameters. A bad one is a 400.

    def path_text(self, name: str) -> str:
        return self.request.path_params[name]

    def path_number(self, name: str) -> int:
        return _number(self.request.path_params[name], name)

    def text(self, name: str) -> str | None:
        return self.request.query_params.get(name) or None

    def required_text(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise bad_params(f"Missing parameter: {name}")
        return value

    def required_number(self, name: str) -> int:
        return _number(self.required_text(name), name)

    def number(self, name: str, default: int, *, most: int | None = None) -> int:
        """At least 1 and at most `most`."""
        value = self.text(name)
        number = default if value is None else _number(value, name)
        if number < 1 or (most is not None and number > most):
            raise bad_params(f"Invalid {name}")
        return number

    def flag(self, name: str) -> bool:
        value = self.text(name)
        if value not in {None, "true", "false"}:
            raise bad_params(f"Invalid {name}")
        return value == "true"

    def texts(self, name: str) -> list[str]:
        """A parameter that may be repeated."""
        return [value for value in self.request.query_params.getlist(name) if value]


def _number(value: str, name: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise bad_params(f"Invalid {name}") from None


Handler = Callable[[Call], Response]


@dataclass(frozen=True)
class Operation:
    """An endpoint. Server keys may call each; `read_only` and `client` keys where it says so."""

    method: str
    path: str
    handler: Handler
    read_only: bool = False
    client: bool = False

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def admits(self, grant: Grant) -> bool:
        return grant.kind == "server" or (self.read_only if grant.kind == "read_only" else self.client)


class Body(BaseModel):
    """A request's body: no types are converted, unknown fields are ignored, names are in camel case."""

    model_config = ConfigDict(strict=True, extra="ignore", alias_generator=to_camel)

    def given(self) -> dict[str, Any]:
        """The fields that were given and are not null, under their own names."""
        return self.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)


B = TypeVar("B", bound=Body)


def with_body(model: type[B], handler: Callable[[Call, B], Response]) -> Handler:
    """A handler that is given its body, checked."""

    def handle(call: Call) -> Response:
        return handler(call, parse(model, call))

    return handle


def parse(model: type[B], call: Call) -> B:
    try:
        body: Any = orjson.loads(call.raw)
    except orjson.JSONDecodeError:
        raise bad_json(call, {}) from None
    if not isinstance(body, dict):
        raise bad_json(call, {"obj": [_complaint("error.expected.jsobject")]})
    try:
        return model.model_validate(body)
    except ValidationError as error:
        problems = {
            _place(one["loc"]): [_complaint(_WORDS.get(one["type"], "error.invalid"))] for one in error.errors()
        }
        raise bad_json(call, problems) from None


_WORDS: Final = {
    "missing": "error.path.missing",
    "int_type": "error.expected.jsnumber",
    "float_type": "error.expected.jsnumber",
    "string_type": "error.expected.jsstring",
    "bool_type": "error.expected.jsboolean",
    "dict_type": "error.expected.jsobject",
    "model_type": "error.expected.jsobject",
    "list_type": "error.expected.jsarray",
}


def _place(loc: tuple[int | str, ...]) -> str:
    return "obj" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)


def _complaint(word: str) -> dict[str, Any]:
    return {"msg": [word], "args": []}


def bad_json(call: Call, problems: dict[str, Any]) -> ApiError:
    """The newer form names the endpoint, with complaints by JSON path; older ones echo the request, key and all."""
    path = call.operation.partition(" ")[2]
    msg = f"[{path}] Invalid JSON body"
    if call.project.settings.bad_json_echoes_request:
        headers = dict(call.request.headers)
        msg = f"Invalid JSON body: {call.raw.decode(errors='replace')} headers: {headers}"
    return ApiError(400, "BadJsonBody", msg, problems)
