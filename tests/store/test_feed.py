"""The feed: what a reader sees while writers write."""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.event import Event, EventKind
from contracts.shadow import Shadow
from store.events import Move, Recorded
from store.keyring import Keyring
from store.migrate import migrate
from store.sends import TAKEN, Claim
from store.store import Store

WRITERS = 6
BATCHES = 8
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def _postgres_tools() -> Path | None:
    """The folder with initdb and postgres, newest first."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    folders += [Path(found).parent] if found else []
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


@pytest.fixture
async def postgres_url(tmp_path: Path) -> AsyncGenerator[str]:
    """A PostgreSQL of this machine, for one test."""
    tools = _postgres_tools()
    if tools is None:
        pytest.skip("no PostgreSQL on this machine")
    user: str | None = None
    if os.geteuid() == 0:  # the server refuses to run as root
        if "postgres" not in {entry.pw_name for entry in pwd.getpwall()}:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        user = "postgres"
    folder = Path(f"/tmp/feed-{os.getpid()}")  # noqa: S108 - pytest's own folder is closed to other users
    folder.mkdir(mode=0o700)
    if user is not None:
        shutil.chown(folder, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    subprocess.run(
        [tools / "initdb", "-D", data, "-A", "trust", "-U", "tester", "-N"],
        check=True, user=user, cwd=folder, capture_output=True,
    )  # fmt: skip
    server = subprocess.Popen(
        [tools / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"],
        user=user, cwd=folder, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        ready = [tools / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-t", "30", "-q"]
        async with asyncio.timeout(30):
            while subprocess.run(ready, check=False).returncode != 0:
                await asyncio.sleep(0.1)
        yield f"postgresql+psycopg://tester@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder)


async def test_a_reader_misses_nothing_and_gets_nothing_twice(store: Store) -> None:
    await _read_while_writing(store)


async def test_the_same_on_postgresql_where_transactions_commit_in_any_order(postgres_url: str, keyring: Keyring) -> None:
    await migrate(postgres_url)
    store = await Store.open(postgres_url, keyring)
    try:
        await _read_while_writing(store)
    finally:
        await store.close()
    await migrate(postgres_url, "base")


async def _read_while_writing(store: Store) -> None:
    async with store.begin() as tx:
        await tx.sends.claim(Claim("acme", "s1", "r", "transactional", "f" * 64, "t" * 64, "h" * 64))
        await tx.sends.begin_attempt("acme", "s1", 1, Shadow(template_id=1, campaign_id=2))
        await tx.sends.end_attempt("acme", "s1", 1, TAKEN)
    written: list[int] = []
    seen: list[str] = []
    done = asyncio.Event()

    async def write(writer: int) -> None:
        for batch in range(BATCHES):
            ids = [f"{writer * 1000 + batch * 10 + n:064x}" for n in range(1 + (writer + batch) % 3)]
            async with store.begin() as tx:
                await tx.feed.lock("acme")
                await tx.events.add("acme", [_recorded(event_id) for event_id in ids])
                links = await tx.events.links("acme", ids)
                moves = [Move(link.id, "s1", firm=True) for link in links]
                cursors = await tx.feed.take("acme", len(moves))
                await tx.events.place("acme", moves, cursors)
                await asyncio.sleep(0.002 * ((writer * 7 + batch * 3) % 4))  # commits at odd moments
            written.extend(cursors)

    async def read() -> None:
        after = 0
        while True:
            last_round = done.is_set()
            async with store.read() as tx:
                entries = await tx.events.page("acme", after, 3)
            if entries:
                assert [entry.cursor for entry in entries] == list(range(after + 1, after + 1 + len(entries)))
                seen.extend(entry.event.event_id for entry in entries)
                after = entries[-1].cursor
            elif last_round:
                return
            else:
                await asyncio.sleep(0)

    reading = asyncio.create_task(read())
    await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
    done.set()
    await reading
    assert sorted(written) == list(range(1, len(written) + 1))
    assert len(seen) == len(set(seen)) == len(written)


def _recorded(event_id: str) -> Recorded:
    event = Event(event_id=event_id, kind=EventKind.SENT, occurred_at=NOW, message_id="m1")
    return Recorded(event, "s1", 2, "h" * 64, None, NOW, b"{}")
