"""What goes over the wire: the envelope, its codes, dates, and errors.

Sources: Iterable help centre (API response codes) and recorded traffic. `code` is no safe success test at Iterable:
the status is.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from starlette.responses import HTMLResponse, Response

EMAIL_FORM: Final = re.compile(r"[^@\s<>(),;:\"]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
# Iterable: up to 52 characters, ASCII, no trailing space.
USER_ID_FORM: Final = re.compile(r"[\x20-\x7e]{0,51}[\x21-\x7e]")
_TIME_FORM: Final = re.compile(r"(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})(?:\.\d+)?\s*(Z|[+-]\d{2}:?\d{2})?")


class ApiError(Exception):
    """An answer that is an error. `code` is Iterable's word for it."""

    def __init__(self, status: int, code: str, msg: str, params: Mapping[str, Any] | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.msg = msg
        self.params = params

    def response(self) -> Response:
        return envelope(self.msg, code=self.code, params=self.params, status=self.status)


def bad_params(msg: str, params: Mapping[str, Any] | None = None) -> ApiError:
    """400 for a request that is well formed and wrong."""
    return ApiError(400, "BadParams", msg, params)


def answer(body: Any, status: int = 200) -> Response:
    """JSON, as reads answer it."""
    return Response(orjson.dumps(body), status, media_type="application/json")


def envelope(
    msg: str, *, code: str = "Success", params: Mapping[str, Any] | None = None, status: int = 200
) -> Response:
    """The envelope that most writes answer."""
    return answer({"msg": msg, "code": code, "params": params}, status)


def text(body: str, status: int = 200) -> Response:
    return Response(body, status, media_type="text/plain")


def not_a_path() -> Response:
    """A path that is none: a page of HTML, not JSON (seen in recorded traffic)."""
    return HTMLResponse("<!DOCTYPE html><html><head><title>Action not found</title></head></html>", 404)


def moment(at: float) -> str:
    """The date form of webhooks, events and exports: no ISO 8601, and whole seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S +00:00")


def millis(at: float) -> int:
    """The date form of templates, campaigns, lists and message types."""
    return int(at * 1000)


def parse_moment(value: str, field: str) -> float:
    """Reads `yyyy-MM-dd HH:mm:ss [ZZ]`; without an offset it is UTC. Raises a 400."""
    match = _TIME_FORM.fullmatch(value.strip())
    if match is None:
        raise bad_params(f"Invalid {field}")
    day, hour, offset = match.groups()
    try:
        return datetime.fromisoformat(f"{day}T{hour}{_offset(offset)}").timestamp()
    except ValueError:
        raise bad_params(f"Invalid {field}") from None


def _offset(offset: str | None) -> str:
    if offset is None or offset == "Z":
        return "+00:00"
    return offset if ":" in offset else f"{offset[:3]}:{offset[3:]}"


def check_email(address: str) -> str:
    """Returns the address as it is, or raises Iterable's answer to a bad one (seen in recorded traffic)."""
    if len(address) > 254 or EMAIL_FORM.fullmatch(address) is None:
        raise ApiError(400, "InvalidEmailAddressError", f"Invalid email: {address}")
    return address


def check_user_id(user_id: str) -> str:
    if USER_ID_FORM.fullmatch(user_id) is None:
        raise ApiError(400, "InvalidUserIdError", f"Invalid userId: {user_id}")
    return user_id
