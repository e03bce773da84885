"""A stand-in for the wire: it answers what it is told and remembers what it was asked."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from iterable.client import CallRecord, IterableClient

REQUEST_ID = "3f2b8c1e-7d4a-4e0b-9a51-0c6d2e8f7a90"


class Wire:
    """Gives its answers in turn, the last one for ever."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.records: list[CallRecord] = []
        self._answers: list[Callable[[httpx.Request], httpx.Response]] = []

    def answers(self, status: int = 200, *, headers: dict[str, str] | None = None, **body: Any) -> None:
        """Adds an answer; `json=`, `text=` or `content=` as for httpx."""
        sent = {"Iterable-Request-Id": REQUEST_ID, **(headers or {})}
        self._answers.append(lambda request: httpx.Response(status, headers=sent, **body))

    def fails(self, error: Exception) -> None:
        """Adds a failure in place of an answer."""

        def fail(request: httpx.Request) -> httpx.Response:
            raise error

        self._answers.append(fail)

    @property
    def last(self) -> httpx.Request:
        """The latest request."""
        return self.requests[-1]

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer(request)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def client(wire: Wire) -> AsyncGenerator[IterableClient]:
    async with IterableClient(
        data_center="us",
        api_key=SecretStr("0123456789abcdef0123456789abcdef"),
        transport=httpx.MockTransport(wire.handle),
        on_call=wire.records.append,
    ) as client:
        yield client
