"""In front of the API: the bearer token, and how much of a body is read. Nothing of a request is looked at before."""

from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.errors import ApiCode
from endpoint.bearer import bears
from endpoint.problems import answer

_GUARDED = "/v1/"
_MAX_BYTES = 16_000_000
"""A template is the largest thing that is taken: its HTML, and its images as base64."""


class Guard:
    """Lets pass what has the admin token, and what shows the API's description."""

    def __init__(self, app: ASGIApp, admin_token: SecretStr | None) -> None:
        self._app = app
        self._admin_token = admin_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or not scope["path"].startswith(_GUARDED):
            await self._app(scope, receive, send)
        elif self._admin_token is None:
            await answer(503, ApiCode.API_DISABLED, "Set CONNECTOR_ADMIN_TOKEN to open this API.")(scope, receive, send)
        elif not bears(Request(scope), self._admin_token):
            refused = answer(401, ApiCode.UNAUTHORISED, "Send the admin token as a bearer token.")
            refused.headers["WWW-Authenticate"] = "Bearer"
            await refused(scope, receive, send)
        else:
            await self._app(scope, _bounded(receive), send)


def _bounded(receive: Receive) -> Receive:
    size = 0

    async def receive_some() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > _MAX_BYTES:
            raise HTTPException(413, f"A request may have {_MAX_BYTES} bytes.")
        return message

    return receive_some
