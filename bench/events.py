"""How fast webhooks are taken and drained, against doing nothing and against a signal an event: `make bench-events`.

One HTTP request an event, as Iterable does it; everything on this machine in one run, side by side, so that ratios mean
something where rates do not. Each engine gets a fresh database, on PostgreSQL a server that waits for the disk.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_urlsafe

import orjson
from sqlalchemy import func, insert, select

from bench.load import Flood, flood
from bench.stage import say
from endpoint.tokens import token_hash
from runtime.settings import Settings
from runtime.temporal import connect
from sandbox.stack import Stack, free_port
from store import tables
from store.engine import make_engine
from store.keyring import create_key_file
from store.migrate import migrate
from store.store import Store
from tests.postgres import NoPostgres, postgres

_SENDS = 20_000
_LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
_HALF = 0.5


@dataclass(frozen=True)
class Measured:
    """Events a second, and what was found in the timelines afterwards."""

    nothing: float
    endpoint: float
    signalling: float
    p99_ms: float
    half_rate: float
    drain: float
    acknowledged: int
    on_timeline: int
    twice: int


async def measure(url: str, folder: Path, seconds: int, connections: int, rounds: int) -> Measured:
    """All of it on one database."""
    token = token_urlsafe(32)
    create_key_file(folder / "master.key")
    ports = {name: free_port(port, name) for name, port in {"temporal": 7300, "a": 8701, "b": 8702, "c": 8703}.items()}
    os.environ |= {
        "CONNECTOR_DATABASE_URL": url,
        "CONNECTOR_MASTER_KEY_FILE": str(folder / "master.key"),
        "TEMPORAL_ADDRESS": f"127.0.0.1:{ports['temporal']}",
        "TEMPORAL_NAMESPACE": "default",
    }
    await _prepare(url, token)
    address = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    hook = {name: f"{address[name]}/webhooks/iterable/bench" for name in "abc"}
    async with Stack(folder / "logs") as stack:
        python = sys.executable
        temporal = [str(Path(python).parent / "temporal"), "server", "start-dev", "--headless", "--log-level", "error"]
        await stack.start("temporal", [*temporal, "--port", str(ports["temporal"])], ready=_temporal_answers)
        endpoint = [python, "-m", "endpoint", "--port", str(ports["a"])]
        await stack.start("a", endpoint, ready=f"{address['a']}/healthz")
        await stack.start("b", [python, "-m", "bench.servers", "signalling", str(ports["b"])], ready=None)
        await stack.start("c", [python, "-m", "bench.servers", "nothing", str(ports["c"])], ready=address["c"])
        await asyncio.sleep(2)  # b has no address that does nothing
        floods: dict[str, list[Flood]] = {"a": [], "b": [], "c": []}
        kept: list[Flood] = []
        run = 0
        for _ in range(rounds):
            for name in ("c", "a", "b"):
                run += 1
                floods[name].append(await flood(hook[name], token, run, _SENDS, seconds, connections))
        kept += floods["a"]
        rate = {name: statistics.median(one.rate for one in some) for name, some in floods.items()}
        # A connection's turn is its pause and the answer's time: the first run is to learn that.
        turn_ms, answer_ms = connections / (rate["a"] * _HALF) * 1000, 0
        for _ in range(2):
            run += 1
            pause_ms = max(1, round(turn_ms - answer_ms))
            half = await flood(hook["a"], token, run, _SENDS, seconds, connections, pause_ms)
            answer_ms = half.p50 // 1000
            kept.append(half)
        half = kept[-1]
        for name in "abc":
            await stack.stop(name)
        drained = await _drain()
        on_timeline, twice = await _timeline(url)
    return Measured(
        nothing=rate["c"],
        endpoint=rate["a"],
        signalling=rate["b"],
        p99_ms=half.p99 / 1000,
        half_rate=half.rate,
        drain=drained["drained"] / drained["seconds"],
        acknowledged=sum(one.acknowledged for one in kept),
        on_timeline=on_timeline,
        twice=twice,
    )


async def _prepare(url: str, token: str) -> None:
    """A workspace whose sends went out so long ago that their runs have ended."""
    await migrate(url)
    settings = Settings()
    store = await Store.open(url, settings.keyring())
    async with store.begin() as tx:
        await tx.webhooks.add_token("bench", token_hash(token))
    hashes = [store.hasher.of_email(f"user{n}@example.com") for n in range(_SENDS)]
    await store.close()
    engine = make_engine(url)
    async with engine.begin() as connection:
        await connection.execute(
            insert(tables.send),
            [
                {
                    "workspace_id": "bench",
                    "send_id": f"s{n}",
                    "run_id": "r",
                    "stream": "marketing",
                    "fingerprint": "f",
                    "template_ref": "t",
                    "recipient_hash": hashes[n],
                    "campaign_id": 1,
                    "status": "accepted",
                    "accepted_at": _LONG_AGO,
                    "created_at": _LONG_AGO,
                    "changed_at": _LONG_AGO,
                }
                for n in range(_SENDS)
            ],
        )
    await engine.dispose()


async def _drain() -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.drain", stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return orjson.loads(output)


async def _timeline(url: str) -> tuple[int, int]:
    """(events on timelines, occurrences that are there twice)."""
    engine = make_engine(url)
    async with engine.connect() as connection:
        joined = tables.event.c.send_id.is_not(None)
        rows, ids = (
            await connection.execute(select(func.count(), func.count(tables.event.c.event_id.distinct())).where(joined))
        ).one()
    await engine.dispose()
    return rows, rows - ids


async def _temporal_answers() -> bool:
    try:
        return await (await connect()).service_client.check_health()
    except RuntimeError:
        return False


@contextmanager
def _database(engine: str, folder: Path) -> Iterator[str]:
    if engine == "sqlite":
        yield f"sqlite+aiosqlite:///{folder / 'connector.db'}"
        return
    with postgres(durable=True) as server:
        yield server.create("bench")


def _tell(engine: str, found: Measured) -> None:
    rates = f"a {found.endpoint:,.0f}/s, b {found.signalling:,.0f}/s, c {found.nothing:,.0f}/s"
    say(f"{engine}: acknowledged, signalled, nothing", rates)
    say(f"{engine}: a / c", f"{found.endpoint / found.nothing:.2f}", "≥ 0.50")
    say(f"{engine}: a / b", f"{found.endpoint / found.signalling:.0f}", "≥ 10")
    say(f"{engine}: p99", f"{found.p99_ms:.0f} ms at {found.half_rate / found.endpoint:.2f} of a", "< 100 ms")
    say(f"{engine}: drain / a", f"{found.drain / found.endpoint:.2f} ({found.drain:,.0f}/s)", "≥ 0.30")
    checked = f"{found.acknowledged:,} acknowledged, {found.on_timeline:,} on timelines, {found.twice} twice"
    say(f"{engine}: checked", checked, "each once")


async def main() -> None:
    """Prints a line for each finding."""
    parser = argparse.ArgumentParser(prog="bench.events", description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", action="append", choices=["sqlite", "postgresql"])
    asked = parser.parse_args()
    for engine in asked.engine or ["sqlite", "postgresql"]:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            try:
                with _database(engine, Path(folder)) as url:
                    found = await measure(url, Path(folder), asked.seconds, asked.connections, asked.rounds)
            except NoPostgres as reason:
                say(engine, f"skipped: {reason}")
                continue
        _tell(engine, found)
        if found.on_timeline < found.acknowledged or found.twice:
            raise SystemExit(f"{engine}: events were lost, or are there twice: {found}")


if __name__ == "__main__":
    asyncio.run(main())
