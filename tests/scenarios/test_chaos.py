"""The small form of `make chaos`, in a process of its own: it sets its environment and kills its children."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from contracts.send import SendRequest
from tests.chaos import judge
from tests.stage import TEMPLATE

pytestmark = pytest.mark.timeout(400)
ROOT = Path(__file__).parent.parent.parent


@pytest.mark.scenario
@pytest.mark.long
@pytest.mark.parametrize(("policy", "seed"), [("at_most_once", "1"), ("at_least_once", "2")])
async def test_what_is_promised_holds_while_everything_is_killed(policy: str, seed: str) -> None:
    plan = ["--sends", "12", "--seed", seed, "--policy", policy, "--kill-every", "8"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos", *plan),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()[-3000:]


def request(send_id: str) -> SendRequest:
    return SendRequest.model_validate(
        {"workspace_id": "w", "send_id": send_id, "template": TEMPLATE, "recipient": {"email": "ann@example.com"}}
    )


def message(send: str, second: int, named: int | None, email: str = "ann@example.com") -> dict[str, Any]:
    def at(moment: int) -> str:
        return f"2026-01-01 00:00:{moment:02} +00:00"

    return {
        "dataFields": {"genieos": {"send": send}},
        "campaignId": 1,
        "email": email,
        "createdAt": at(second),
        "namedAt": None if named is None else at(named),
    }


@pytest.mark.parametrize(
    ("outbox", "offenders"),
    [
        ([message("a", 0, 1), message("b", 9, 10)], []),
        ([message("a", 0, 1)], ["b"]),  # lost
        ([message("a", 0, None), message("a", 30, 31), message("b", 9, None)], []),  # nobody could know
        ([message("a", 0, 1), message("a", 30, 31), message("b", 9, None)], ["a"]),  # a webhook had told
        ([message("a", 0, 28), message("a", 30, 31), message("b", 9, None)], []),  # too late
        ([message("a", 0, None), message("a", 30, 31), message("b", 9, None, "bob@example.com")], ["a"]),  # no other's
    ],
)
def test_a_doubled_send_is_excused_only_where_no_evidence_could_be_had(
    outbox: list[dict[str, Any]], offenders: list[str]
) -> None:
    verdict = judge([request("a"), request("b")], ["sent", "sent"], outbox)
    assert verdict.offenders("at_least_once") == offenders
    assert verdict.offenders("at_most_once") == verdict.doubled
