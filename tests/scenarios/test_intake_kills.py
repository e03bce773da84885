"""Endpoint, worker and Temporal are killed, hard, while events pour in: what was answered 2xx is on its timeline, once.

The processes are real and so are the kills; only their number is small. `make bench-events` has the flood.
"""

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from bench.load import KINDS, Generator
from cli.development import Development, development_stack
from endpoint.tokens import new_token, token_hash
from store.sends import Claim
from store.store import make_engine
from store.tables import event

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(240)]

_SENDS = 50
_PATIENCE_SECONDS = 90.0


async def prepared(development: Development) -> str:
    """A workspace with sends in its ledger that no run follows; its token."""
    token = new_token()
    async with development.connection.store.begin() as tx:
        await tx.connectors.add_webhook_token("bench", token_hash(token))
        for n in range(_SENDS):
            await tx.sends.claim(Claim("bench", f"s{n}", "r", "marketing", "f" * 64, "r" * 64, "h" * 64))
        await tx.sends.run_ended("bench", [f"s{n}" for n in range(_SENDS)])
    return token


async def kept(url: str) -> Counter[tuple[str, str, int]]:
    """(send, kind, second) of every event on a timeline."""
    engine = make_engine(url)
    async with engine.connect() as connection:
        rows = await connection.execute(
            select(event.c.send_id, event.c.kind, event.c.occurred_at).where(event.c.send_id.is_not(None))
        )
        found = Counter((row.send_id, row.kind, row.occurred_at.hour * 3600 + row.occurred_at.second) for row in rows)
    await engine.dispose()
    return found


def expected(numbers: list[int]) -> set[tuple[str, str, int]]:
    """The same of the events that were acknowledged, by their numbers (`bench.load.event`)."""
    ours = dict(zip(KINDS, ("sent", "opened", "clicked"), strict=True))
    return {(f"s{n % _SENDS}", ours[KINDS[n // _SENDS % 3]], n // _SENDS // 3 % 60) for n in numbers}


async def test_nothing_acknowledged_is_lost_whoever_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", "")  # the stack sets its own; put back afterwards
    for name in ("MASTER_KEY_FILE", "ADMIN_TOKEN", "PUBLIC_URL", "ITERABLE_US_URL", "ITERABLE_EU_URL"):
        monkeypatch.setenv(f"CONNECTOR_{name}", "")
    monkeypatch.setenv("CONNECTOR_TEMPORAL_UI_URL", "")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "")
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "")
    told: list[str] = []
    async with development_stack(tmp_path / "dev", told.append, tmp_path / "temporal.db") as development:
        token = await prepared(development)
        url = f"{development.addresses.endpoint}/webhooks/iterable/bench"
        # Every connection rests between two events, so that the machine has time for the kills.
        generator = Generator(url, token, run=1, sends=_SENDS, pause_ms=20)
        flood = asyncio.create_task(generator.run(8, connections=4))
        for victim in ("endpoint", "worker", "temporal", "endpoint"):
            await asyncio.sleep(0.7)
            await development.stack.kill(victim)
            await development.stack.restart(victim)
        await flood
        assert generator.acknowledged
        wanted = expected(generator.acknowledged)
        end = time.monotonic() + _PATIENCE_SECONDS
        found: Counter[tuple[str, str, int]] = Counter()
        while not wanted <= set(found) and time.monotonic() < end:
            await asyncio.sleep(0.5)
            found = await kept(development.settings.database_url)
    assert wanted - set(found) == set()
    assert max(found.values()) == 1
