"""Floods a whole stack with webhooks while its processes are killed, hard: `make bench-kills`.

Endpoint, worker and Temporal are killed in turn (SIGKILL) and started again; what was answered 2xx must be on its
timeline, once. Events are told apart by send, kind and second: a lost one cannot hide behind one that is there twice.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from bench.load import KINDS, Generator
from cli.development import Development, development_stack
from endpoint.tokens import new_token, token_hash
from store.engine import make_engine
from store.sends import Claim
from store.tables import event

VICTIMS = ("endpoint", "worker", "temporal", "endpoint")
_OURS = dict(zip(KINDS, ("sent", "opened", "clicked"), strict=True))
_Named = tuple[str, str, int]
"""(send, kind, second of the day): names one event."""


@dataclass(frozen=True)
class Outcome:
    """`lost` were acknowledged and are on no timeline; `twice` are there more than once."""

    acknowledged: int
    unanswered: int
    refused: int
    kills: int
    lost: int
    twice: int
    settled_seconds: float


async def flood_and_kill(
    folder: Path, seconds: float, sends: int, connections: int, pause_ms: int, every: float, patience: float
) -> Outcome:
    """A stack of its own in `folder`; a kill every `every` seconds while the flood lasts, then up to `patience` seconds
    for the inbox to be empty."""
    async with development_stack(folder / "dev", lambda _: None, folder / "temporal.db") as development:
        token = await _prepare(development, sends)
        url = f"{development.addresses.endpoint}/webhooks/iterable/bench"
        generator = Generator(url, token, run=1, sends=sends, pause_ms=pause_ms)
        kills = await _flood_and_kill(development, lambda: generator.run(seconds, connections), every)
        began = time.monotonic()
        wanted = {_expected(n, sends) for n in generator.acknowledged}
        found = await _on_timelines(development.settings.database_url)
        while wanted - found.keys() and time.monotonic() - began < patience:
            await asyncio.sleep(0.5)
            found = await _on_timelines(development.settings.database_url)
    return Outcome(
        acknowledged=len(generator.acknowledged),
        unanswered=generator.lost,
        refused=generator.refused,
        kills=kills,
        lost=len(wanted - found.keys()),
        twice=sum(count > 1 for count in found.values()),
        settled_seconds=time.monotonic() - began,
    )


async def _flood_and_kill(development: Development, run: Callable[[], Coroutine[Any, Any, None]], every: float) -> int:
    """How many were killed: every victim once at least, so on a slow machine the flood comes again."""
    flood = asyncio.create_task(run())
    for kills, victim in enumerate(itertools.cycle(VICTIMS)):
        await asyncio.wait([flood], timeout=every)
        if flood.done():
            await flood
            if kills >= len(VICTIMS):
                return kills
            flood = asyncio.create_task(run())
        await development.stack.kill(victim)
        await development.stack.restart(victim)
    raise AssertionError("a cycle does not end")


async def _prepare(development: Development, sends: int) -> str:
    """A workspace with sends in its ledger that no run follows; its token."""
    token = new_token()
    ids = [f"s{n}" for n in range(sends)]
    async with development.connection.store.begin() as tx:
        await tx.webhooks.add_token("bench", token_hash(token))
        for send_id in ids:
            await tx.sends.claim(Claim("bench", send_id, "r", "marketing", "f" * 64, "r" * 64, "h" * 64))
        await tx.sends.run_ended("bench", ids)
    return token


async def _on_timelines(url: str) -> Counter[_Named]:
    engine = make_engine(url)
    async with engine.connect() as connection:
        rows = await connection.execute(
            select(event.c.send_id, event.c.kind, event.c.occurred_at).where(event.c.send_id.is_not(None))
        )
        found = Counter((row.send_id, row.kind, int(row.occurred_at.timestamp()) % 86_400) for row in rows)
    await engine.dispose()
    return found


def _expected(n: int, sends: int) -> _Named:
    """Event `n` of `bench.load.event`."""
    turn = n // sends
    return f"s{n % sends}", _OURS[KINDS[turn % 3]], turn // 3


async def main() -> None:
    """Prints the table; exit code 1 where something is lost or twice."""
    parser = argparse.ArgumentParser(prog="bench.kills", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--sends", type=int, default=2_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--every", type=float, default=3, help="seconds between two kills")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        found = await flood_and_kill(
            Path(folder), asked.seconds, asked.sends, asked.connections, pause_ms=0, every=asked.every, patience=300
        )
    table = Table("acknowledged", "without an answer", "refused", "kills", "lost", "twice", "all there after")
    counts = (found.acknowledged, found.unanswered, found.refused, found.kills, found.lost, found.twice)
    table.add_row(*(f"{count:,}" for count in counts), f"{found.settled_seconds:.0f} s")
    Console().print(table)
    if found.lost or found.twice:
        sys.exit(1)


if __name__ == "__main__":
    asyncio.run(main())
