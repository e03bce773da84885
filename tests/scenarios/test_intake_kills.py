"""Endpoint, worker and Temporal are killed, hard, while events pour in: what was answered 2xx is on its timeline, once.

The processes are real and so are the kills; only their number is small. `make bench-kills` has the flood.
"""

from pathlib import Path

import pytest

from bench.kills import VICTIMS, flood_and_kill

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(240)]


async def test_nothing_acknowledged_is_lost_whoever_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", "")  # the stack sets its own; put back afterwards
    for name in ("MASTER_KEY_FILE", "ADMIN_TOKEN", "PUBLIC_URL", "ITERABLE_US_URL", "ITERABLE_EU_URL"):
        monkeypatch.setenv(f"CONNECTOR_{name}", "")
    monkeypatch.setenv("CONNECTOR_TEMPORAL_UI_URL", "")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "")
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "")
    # Every connection rests between two events, so that the machine has time for the kills.
    found = await flood_and_kill(tmp_path, seconds=8, sends=50, connections=4, pause_ms=20, every=0.7, patience=90)
    assert found.acknowledged
    assert found.kills >= len(VICTIMS)
    assert (found.lost, found.twice) == (0, 0)
