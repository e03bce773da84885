"""The process: how it begins and ends."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from store.keyring import new_key_text
from store.migrate import migrate
from tests.stage import free_port

ROOT = Path(__file__).parents[2]
Starts = Callable[[int], AbstractAsyncContextManager[asyncio.subprocess.Process]]

# It says so where its store is closed, and is an endpoint in all else.
_TELLING = """
import runpy
from store.store import Store
close = Store.close
async def told(self):
    await close(self)
    print("closed", flush=True)
Store.close = told
runpy.run_module("endpoint", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def start(sqlite_url: str) -> Starts:
    """Starts one on a port, and in the end makes sure that it is gone."""

    @asynccontextmanager
    async def started(port: int) -> AsyncGenerator[asyncio.subprocess.Process]:
        environment = {
            **os.environ,
            "CONNECTOR_DATABASE_URL": sqlite_url,
            "CONNECTOR_MASTER_KEY": new_key_text().strip(),
            "TEMPORAL_ADDRESS": "127.0.0.1:1",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _TELLING, "--port", str(port),
            cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    return started


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_stop_it_closes_what_it_opened(start: Starts, number: signal.Signals) -> None:
    port = free_port(0, "endpoint")
    async with asyncio.timeout(60), start(port) as process, httpx.AsyncClient() as http:
        while True:
            try:
                (await http.get(f"http://127.0.0.1:{port}/healthz")).raise_for_status()
                break
            except httpx.ConnectError:
                await asyncio.sleep(0.1)
        process.send_signal(number)
        out, _ = await process.communicate()
    assert (process.returncode, out) == (0, b"closed\n")


async def test_where_its_port_is_taken_it_closes_too_and_does_not_look_well(start: Starts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with asyncio.timeout(60), start(taken.getsockname()[1]) as process:
            out, _ = await process.communicate()
    assert process.returncode not in {0, None}
    assert out == b"closed\n"


@pytest.mark.parametrize(
    ("process", "revision", "told"),
    [
        ("endpoint", "0010", "connector migrate"),
        ("worker", "base", "connector migrate"),
        ("worker", "head", "CONNECTOR_MASTER_KEY"),
    ],
)
async def test_what_it_cannot_begin_with_is_its_last_line(
    process: str, revision: str, told: str, tmp_path: Path
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'connector.db'}"
    await migrate(url, revision)
    key = "" if revision == "head" else new_key_text().strip()
    environment = {**os.environ, "CONNECTOR_DATABASE_URL": url, "CONNECTOR_MASTER_KEY": key}
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", process, cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        _, err = await started.communicate()
    assert started.returncode == 1
    lines = err.decode().splitlines()
    assert told in lines[-1]
    assert "Traceback" not in err.decode()
