"""Connecting to Temporal."""

import asyncio

import pytest

from runtime import temporal
from runtime.settings import Settings
from runtime.temporal import connect


async def test_a_server_that_takes_connections_and_says_nothing_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(temporal, "_ANSWER_SECONDS", 0.2)

    def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept.append(writer)

    kept: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        monkeypatch.setenv("TEMPORAL_ADDRESS", f"{host}:{port}")
        with pytest.raises(RuntimeError, match="nothing came back"):
            await connect(Settings(encrypt_payloads=False))
        for writer in kept:
            writer.close()
