"""The network itself, over real sockets: had the request left, and what of an answer counts."""

import asyncio
import logging
import re
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from pydantic import SecretStr

import iterable
from iterable.client import BaseUrls, CallRecord, IterableClient, Timeouts
from iterable.email import TargetEmail
from iterable.errors import NoAnswer, NotConnected, OddAnswer, Refused
from tests.iterable.conftest import Wire

MESSAGE = TargetEmail(campaign_id=1, recipient_email="ann@example.com")
KEY = SecretStr("0123456789abcdef0123456789abcdef")
SHORT = Timeouts(connect=30.0, pool=30.0, write=30.0, read=0.5, total=60.0)
"""For an answer that does not come. A busy machine must not make others late."""

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Speaks as the test says, and keeps every request that it read whole."""

    def __init__(self, talk: Talk) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._talk = talk
        self._read = asyncio.Semaphore(0)

    async def has_read(self, count: int) -> None:
        """Waits until it has read so many requests more."""
        for _ in range(count):
            await self._read.acquire()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"(?i)content-length: (\d+)", head)
                self.requests.append(head + await reader.readexactly(int(length[1]) if length else 0))
                self._read.release()
                await self._talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(
    talk: Talk, timeouts: Timeouts = SHORT, on_call: Callable[[CallRecord], None] | None = None
) -> AsyncGenerator[tuple[IterableClient, Server]]:
    server = Server(talk)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with (
        listener,
        IterableClient(
            data_center="us", api_key=KEY, base_urls=BaseUrls(us=url), timeouts=timeouts, on_call=on_call
        ) as client,
    ):
        yield client, server


def says(*pieces: bytes, then: str = "wait") -> Talk:
    """Answers with these bytes; then waits, closes or resets."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.writelines(pieces)
        await writer.drain()
        if then == "close":
            writer.close()
        elif then == "reset":
            await asyncio.sleep(0.02)  # so that what was said arrives first; a reset discards what is under way
            sock = cast("socket.socket", writer.get_extra_info("socket"))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            writer.transport.abort()

    return talk


async def test_a_refused_connection_is_not_taken() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can have the port meanwhile
        urls = BaseUrls(us=f"http://127.0.0.1:{closed.getsockname()[1]}")
        async with IterableClient(data_center="us", api_key=KEY, base_urls=urls) as client:
            with pytest.raises(NotConnected) as caught:
                await client.email.target(MESSAGE)
    assert caught.value.cause == "ConnectError"


async def test_a_host_without_tls_is_not_taken() -> None:
    """The handshake fails before any of the request is written."""
    async with serving(says(b"HTTP/1.1 400 Bad Request\r\n\r\n", then="close")) as (plain, server):
        url = str(plain._transport._base_url).replace("http://", "https://")
        async with IterableClient(
            data_center="us", api_key=KEY, base_urls=BaseUrls(us=url), timeouts=Timeouts(connect=0.3)
        ) as client:
            with pytest.raises(NotConnected):
                await client.email.target(MESSAGE)
    assert server.requests == []


async def test_no_free_connection_is_not_taken() -> None:
    """A hundred calls wait for answers; one more finds no connection in time, and never leaves."""
    timeouts = Timeouts(connect=60.0, pool=0.1, write=60.0, read=100.0, total=200.0)
    async with serving(says(), timeouts) as (client, server):
        waiting = [asyncio.create_task(client.channels.all()) for _ in range(100)]
        await server.has_read(100)
        with pytest.raises(NotConnected) as caught:
            await client.email.target(MESSAGE)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert caught.value.cause == "PoolTimeout"
    assert len(server.requests) == 100


async def test_connections_are_used_again_whatever_pool_they_are_in() -> None:
    answer = says(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"channels": []}')
    async with serving(answer, Timeouts()) as (client, server):
        for _ in range(3):
            await asyncio.gather(*(client.channels.all() for _ in range(25)))
        assert server.connections == 25
        await client.channels.all()
    assert server.connections == 25


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_connection_lost_after_the_request_is_unknown(then: str) -> None:
    async with serving(says(then=then)) as (client, server):
        with pytest.raises(NoAnswer):
            await client.email.target(MESSAGE)
    assert len(server.requests) == 1
    assert b"ann@example.com" in server.requests[0]


async def test_no_answer_in_time_is_unknown() -> None:
    async with serving(says()) as (client, server):
        with pytest.raises(NoAnswer) as caught:
            await client.email.target(MESSAGE)
    assert caught.value.cause == "ReadTimeout"
    assert len(server.requests) == 1


async def test_an_answer_that_drips_ends_by_the_total() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(drip, Timeouts(connect=30.0, pool=30.0, write=30.0, read=30.0, total=0.3)) as (client, _):
        with pytest.raises(NoAnswer) as caught:
            await client.email.target(MESSAGE)
    assert caught.value.cause == "TimeoutError"


@pytest.mark.parametrize("answer", [b"hello\r\n\r\n", b"HTTP/1.1 xyz\r\n\r\n", b"\x00" * 200_000])
async def test_what_is_no_http_is_unknown(answer: bytes) -> None:
    async with serving(says(answer, then="close")) as (client, _):
        with pytest.raises(NoAnswer):
            await client.email.target(MESSAGE)


@pytest.mark.parametrize("then", ["wait", "close", "reset"])
async def test_a_status_counts_although_the_body_is_lost(then: str) -> None:
    """The commonest way to send twice: the message was taken, and only the words about it got lost."""
    async with serving(says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", then=then)) as (client, _):
        taken = await client.email.target(MESSAGE)
        assert taken.request_id is None
        with pytest.raises(OddAnswer) as caught:
            await client.campaigns.create_triggered(name="n", template_id=1)
        assert caught.value.status == 200
    async with serving(says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\n{", then=then)) as (client, _):
        with pytest.raises(Refused):
            await client.email.target(MESSAGE)


async def test_a_body_that_cannot_be_unpacked_does_not_undo_the_status() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"
    async with serving(says(answer)) as (client, _):
        await client.email.target(MESSAGE)
        with pytest.raises(OddAnswer):
            await client.channels.all()


async def test_connections_are_used_again() -> None:
    async with serving(says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")) as (client, server):
        for _ in range(5):
            await client.email.target(MESSAGE)
    assert (len(server.requests), server.connections) == (5, 1)


async def test_a_connection_that_was_closed_while_idle_costs_nothing() -> None:
    async with serving(says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", then="close")) as (client, server):
        for _ in range(3):
            await client.email.target(MESSAGE)
            await asyncio.sleep(0.02)
    assert (len(server.requests), server.connections) == (3, 3)


async def test_a_call_that_is_cancelled_is_recorded_and_stays_cancelled() -> None:
    records: list[CallRecord] = []
    async with serving(says(), Timeouts(), records.append) as (client, server):
        task = asyncio.create_task(client.email.target(MESSAGE))
        await server.has_read(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert records[-1].outcome == "abandoned"


async def test_the_library_logs_no_address(
    client: IterableClient, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    """Even where somebody has turned its logs up. It logs each URL at INFO."""
    wire.answers(json={"events": []})
    library = logging.getLogger("httpx")
    level = library.level
    try:
        with caplog.at_level(logging.DEBUG):
            library.setLevel(logging.DEBUG)
            await client.events.for_user(email="ann@example.com")
    finally:
        library.setLevel(level)
    assert "HTTP Request" not in caplog.text


def test_the_http_library_is_known_to_one_file_only() -> None:
    folder = Path(iterable.__path__[0])
    users = {
        file.name
        for file in folder.glob("*.py")
        if re.search(r"^\s*(import|from) http(x|core)\b", file.read_text(), re.MULTILINE)
    }
    assert users == {"transport.py"}
