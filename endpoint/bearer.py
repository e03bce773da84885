"""Who may ask: a bearer token, compared in constant time."""

import hmac

from pydantic import SecretStr
from starlette.requests import Request


def bears(request: Request, token: SecretStr) -> bool:
    """Whether the request has the token in its `Authorization` header. Nobody has an empty one."""
    wanted = token.get_secret_value()
    scheme, _, offered = request.headers.get("Authorization", "").partition(" ")
    fits = hmac.compare_digest(offered.encode(), wanted.encode())
    return scheme.lower() == "bearer" and fits and bool(wanted)
