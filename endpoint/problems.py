"""How the API says no: a status, a stable code and a message that says what to do. Never a value that was sent."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from temporalio.service import RPCError

from contracts.errors import ConnectorError, ErrorCode
from contracts.received import refusal_from
from endpoint.administration import AdminRefused


class ProblemBody(BaseModel):
    """The body of every answer that is no success."""

    code: str
    message: str


class Problem(Exception):
    """Ends a request."""

    def __init__(self, status: int, code: str, message: str) -> None:
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
ADMIN_RESPONSES = RESPONSES | {
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
        refusal = refusal_from([{**one, "loc": one["loc"][1:] or one["loc"]} for one in error.errors()])
        code = ErrorCode.TEMPLATE_INVALID if request.url.path.endswith("/templates") else ErrorCode.REQUEST_INVALID
        return answer(400, code, str(ConnectorError(code, refusal.what)))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:  # pyright: ignore[reportUnusedFunction]
        del request
        response = answer(error.status_code, "not_found" if error.status_code == 404 else "refused", error.detail)
        response.headers.update(error.headers or {})
        return response

    async def database_away(request: Request, error: Exception) -> Response:
        del request, error
        return answer(503, "database_away", "The database does not answer. Try again.")

    async def temporal_away(request: Request, error: Exception) -> Response:
        del request, error
        return answer(503, "temporal_away", "Temporal does not answer, or no worker does. Try again.")

    for kind in (SQLAlchemyError, OSError):
        app.add_exception_handler(kind, database_away)
    for kind in (RPCError, RuntimeError, TimeoutError):
        app.add_exception_handler(kind, temporal_away)


def answer(status: int, code: str, message: str) -> JSONResponse:
    """The answer to a request that is refused."""
    return JSONResponse({"code": code, "message": message}, status_code=status)
