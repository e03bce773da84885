"""The small form of `make chaos`, in a process of its own: it sets its environment and kills its children."""

import asyncio
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(400)]
ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(("policy", "seed"), [("at_most_once", "1"), ("at_least_once", "2")])
async def test_what_is_promised_holds_while_everything_is_killed(policy: str, seed: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos", "--sends", "30", "--seed", seed, "--policy", policy),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()[-3000:]
