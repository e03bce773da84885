"""Who has a bearer token."""

import pytest
from pydantic import SecretStr
from starlette.requests import Request

from endpoint.bearer import bears


def request(*offered: str) -> Request:
    return Request({"type": "http", "headers": [(b"authorization", one.encode()) for one in offered]})


@pytest.mark.parametrize("offered", ["Bearer token", "bearer token"])
def test_who_has_the_token(offered: str) -> None:
    assert bears(request(offered), SecretStr("token"))


@pytest.mark.parametrize("offered", ["", "Bearer", "Bearer ", "token", "Basic token", "Bearer token ", "Bearer wrong"])
def test_who_has_not(offered: str) -> None:
    assert not bears(request(offered), SecretStr("token"))


@pytest.mark.parametrize("offered", [(), ("",), ("Bearer",), ("Bearer ",)])
def test_nobody_has_an_empty_token(offered: tuple[str, ...]) -> None:
    assert not bears(request(*offered), SecretStr(""))
