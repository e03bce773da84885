"""The export: lines that come while they are read."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from iterable.client import IterableClient
from iterable.errors import NoAnswer, OddAnswer, RateLimited
from tests.iterable.conftest import Wire

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


class Pieces(httpx.AsyncByteStream):
    """A body that arrives in pieces, and may break off."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def aclose(self) -> None:
        self.closed = True


async def entries(client: IterableClient) -> list[dict[str, Any]]:
    return [entry async for entry in client.export.data_json("emailSend", start=START, end=END)]


async def test_lines_cut_anywhere_and_line_ends_within_texts(client: IterableClient, wire: Wire) -> None:
    body = Pieces(b'{"a"', b':1}\n\n{"a":"\xe2\x80', b'\xa8\xc2\x85"}\r\n', b"  \n", b'{"a":3}')
    wire.answers(stream=body)
    assert await entries(client) == [{"a": 1}, {"a": "\u2028\u0085"}, {"a": 3}]
    assert body.closed
    assert wire.records[-1].outcome == "taken"


async def test_half_a_character_is_no_obstacle(client: IterableClient, wire: Wire) -> None:
    wire.answers(stream=Pieces(b'{"a":"\\ud83d"}\n{"a":2}\n'))
    assert await entries(client) == [{"a": "?"}, {"a": 2}]


async def test_nothing_happened(client: IterableClient, wire: Wire) -> None:
    wire.answers(stream=Pieces())
    assert await entries(client) == []


async def test_what_came_before_it_broke_off_is_given(client: IterableClient, wire: Wire) -> None:
    body = Pieces(b'{"a":1}\n{"a"', httpx.ReadError("ann@example.com"))
    wire.answers(stream=body)
    stream = client.export.data_json("emailSend", start=START, end=END)
    assert await anext(stream) == {"a": 1}
    with pytest.raises(NoAnswer) as caught:
        await anext(stream)
    assert (caught.value.status, caught.value.cause, caught.value.__context__) == (200, "ReadError", None)
    assert body.closed
    assert wire.records[-1].outcome == "NoAnswer"


@pytest.mark.parametrize("line", [b"<html>\n", b"[1]\n", b'{"a":\n', b"\xff\n", b"x" * (9 * 1024 * 1024)])
async def test_a_line_that_is_no_entry(line: bytes, client: IterableClient, wire: Wire) -> None:
    wire.answers(stream=Pieces(b'{"a":1}\n', line))
    with pytest.raises(OddAnswer):
        await entries(client)
    assert wire.records[-1].outcome == "OddAnswer"


async def test_four_a_minute(client: IterableClient, wire: Wire) -> None:
    wire.answers(429, text="Rate limit exceeded. Please try again later.", headers={"Retry-After": "15"})
    with pytest.raises(RateLimited) as caught:
        await entries(client)
    assert caught.value.retry_after == 15


async def test_stopping_early_gives_the_connection_back(client: IterableClient, wire: Wire) -> None:
    body = Pieces(b'{"a":1}\n', b'{"a":2}\n')
    wire.answers(stream=body)
    async with aclosing(client.export.data_json("emailSend", start=START, end=END)) as stream:
        assert await anext(stream) == {"a": 1}
    assert body.closed
    assert wire.records[-1].outcome == "abandoned"
