"""Endpoint, worker and Temporal are killed, hard, while events pour in: what was answered 2xx is on its timeline, once.

The processes are real and so are the kills; only their number is small. `make bench-kills` has the flood.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.kills import VICTIMS, flood_and_kill

pytestmark = [pytest.mark.scenario, pytest.mark.long, pytest.mark.timeout(240)]


@pytest.fixture
def environment() -> Iterator[None]:
    """The stack sets its own, for its processes and for ours; put back afterwards."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.usefixtures("environment")
async def test_nothing_acknowledged_is_lost_whoever_is_killed(tmp_path: Path) -> None:
    # Every connection rests between two events, so that the machine has time for the kills.
    found = await flood_and_kill(tmp_path, seconds=8, sends=50, connections=4, pause_ms=20, every=0.7, patience=90)
    assert found.acknowledged
    assert found.kills >= len(VICTIMS)
    assert (found.lost, found.twice) == (0, 0)
