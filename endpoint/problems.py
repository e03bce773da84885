"""How the API says no: a status, a stable code and a message that says what to do. Never a value that was sent."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from temporalio.service import RPCError

from contracts.errors import ApiCode, ConnectorError, ErrorCode
from contracts.received import refusal_from
from endpoint.administration import AdminRefused


class ProblemBody(BaseModel):
    """The body of every answer that is no success."""

    code: str
    message: str


class Problem(Exception):
    """Ends a request."""

    def __init__(self, status: int, code: ErrorCode | ApiCode, message: str) -> None:
        self.status = status
        self.code = code
        super().__init__(message)


_MISSING = ConnectorError(ErrorCode.CONNECTOR_NOT_INSTALLED, "This workspace has no connector")
NOT_INSTALLED = Problem(404, _MISSING.code, str(_MISSING))
_STATUS_OF = {
    ErrorCode.REQUEST_INVALID: 400,
    ErrorCode.CONNECTOR_NOT_INSTALLED: 404,
    ErrorCode.CONNECTOR_DISABLED: 409,
    ErrorCode.PROVIDER_UNAVAILABLE: 503,
    ErrorCode.RATE_LIMITED: 503,
}
_REFUSED = 422
"""What was asked for was understood, and Iterable or the checks said no."""

RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"model": ProblemBody, "description": "The request does not fit its contract."},
    401: {"model": ProblemBody, "description": "No admin token, or a wrong one."},
    404: {"model": ProblemBody, "description": "There is no such thing."},
    503: {"model": ProblemBody, "description": "The API is closed, or the database or Temporal does not answer."},
}
BODY_RESPONSES: dict[int | str, dict[str, Any]] = {
    413: {"model": ProblemBody, "description": "More than is read, or than is taken."},
    415: {"model": ProblemBody, "description": "The body did not come as application/json."},
}
ADMIN_RESPONSES = {
    **RESPONSES,
    **BODY_RESPONSES,
    409: {"model": ProblemBody, "description": "The connector is being uninstalled."},
    422: {"model": ProblemBody, "description": "Refused by Iterable or the checks; what was in force still is."},
}


def answer_problems(app: FastAPI) -> None:
    """Has the app answer every way of failing alike."""

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:  # pyright: ignore[reportUnusedFunction]
        del request
        return answer(error.status, error.code, str(error))

    @app.exception_handler(AdminRefused)
    async def refused(request: Request, error: AdminRefused) -> Response:  # pyright: ignore[reportUnusedFunction]
        del request
        known = next((code for code in ErrorCode if code == error.code), None)
        return answer(_REFUSED if known is None else _STATUS_OF.get(known, _REFUSED), error.code, str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:  # pyright: ignore[reportUnusedFunction]
        found = error.errors()
        if any(_is_no_object(one) for one in found) and not _comes_as_json(request):
            return answer(415, ApiCode.UNSUPPORTED_MEDIA_TYPE, "Send the body with Content-Type: application/json.")
        refusal = refusal_from([{**one, "loc": one["loc"][1:] or one["loc"]} for one in found])
        is_template = request.url.path.endswith("/templates") and all(_is_in_object(one) for one in found)
        code = ErrorCode.TEMPLATE_INVALID if is_template else ErrorCode.REQUEST_INVALID
        return answer(400, code, str(ConnectorError(code, refusal.what)))

    async def database_away(request: Request, error: Exception) -> Response:
        del request, error
        return answer(503, ApiCode.DATABASE_AWAY, "The database does not answer. Try again.")

    async def temporal_away(request: Request, error: Exception) -> Response:
        del request, error
        return answer(503, ApiCode.TEMPORAL_AWAY, "Temporal does not answer, or no worker does. Try again.")

    app.add_exception_handler(HTTPException, not_taken)
    for kind in (SQLAlchemyError, OSError):
        app.add_exception_handler(kind, database_away)
    for kind in (RPCError, RuntimeError, TimeoutError):
        app.add_exception_handler(kind, temporal_away)


async def not_taken(request: Request, error: Exception) -> Response:
    """What the framework refuses before anything of ours is asked: the address, the method, or the body as such."""
    del request
    if not isinstance(error, HTTPException):
        raise error
    code: ErrorCode | ApiCode
    match error.status_code:
        case 404:
            code, message = ApiCode.NOT_FOUND, "Nothing is at this address: /docs shows what is."
        case 405:
            code, message = ApiCode.METHOD_NOT_ALLOWED, "This address takes other methods: /docs shows which."
        case 413:
            code, message = ApiCode.TOO_LARGE, error.detail
        case _:
            code, message = ErrorCode.REQUEST_INVALID, "The body could not be read: send JSON, in UTF-8."
    response = answer(error.status_code, code, message)
    response.headers.update(error.headers or {})
    return response


def _is_no_object(problem: dict[str, Any]) -> bool:
    """A body is there, and is none; so is one that is not read as JSON."""
    return problem["loc"] == ("body",) and problem["type"] != "missing"


def _is_in_object(problem: dict[str, Any]) -> bool:
    """A field of the body is wrong: its address can be read, and so can it."""
    return problem["loc"][0] == "body" and len(problem["loc"]) > 1 and problem["type"] != "json_invalid"


def _comes_as_json(request: Request) -> bool:
    kind, _, subtype = request.headers.get("Content-Type", "").partition(";")[0].strip().lower().partition("/")
    return kind == "application" and (subtype == "json" or subtype.endswith("+json"))


def answer(status: int, code: str, message: str) -> JSONResponse:
    """The answer to a request that is refused."""
    return JSONResponse({"code": code, "message": message}, status_code=status)
