"""Chaos for broadcasts: the worker is killed again and again while the sandbox breaks a share of the requests, and the
outbox judges, never our records.

    python -m tests.broadcast_chaos --recipients 20000 --kills 5 --seed 1

Exits non-zero unless nobody got two messages, everybody who got none is told as `outcome_unknown`, and everybody who is
told as taken got one (`at_most_once`).
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson
from rich.console import Console
from rich.table import Table

from cli.broadcasts import start_broadcast
from cli.development import Development, Workspace, development_stack, install_against_sandbox
from contracts.broadcast import BroadcastProgress, BroadcastRequest
from contracts.errors import ErrorCode
from contracts.send import RESERVED_DATA_KEY
from runtime.logging import configure_logging
from runtime.process import run
from tests.stage import TEMPLATE

WORKSPACE = "chaos"
BROADCAST = "brc_chaos"
TARGET = "/api/email/target"
FAULTS = ("hang_after", "reset_after", "error_after", "error_before", "rate_limited")
_STEP_SECONDS = 0.1


@dataclass(frozen=True)
class Plan:
    """How much of what."""

    recipients: int
    kills: int
    seed: int
    fault_rate: float


@dataclass(frozen=True)
class Verdict:
    """What the judge found; rows of the audience."""

    progress: BroadcastProgress
    messages: int
    doubled: list[str]
    lost: list[str]
    unknown: list[str]
    untrue: list[str]
    kills: int
    seconds: float

    @property
    def holds(self) -> bool:
        """At most once, and nobody lost who is not told as unknown."""
        return not self.doubled and not self.lost and not self.untrue


async def chaos(plan: Plan, folder: Path) -> Verdict:
    """Builds the stack, breaks it, waits for the end, and judges."""
    began = time.monotonic()
    async with development_stack(folder / "stack", _quiet) as development:
        await development.stack.stop("worker")
        environment = {
            "CONNECTOR_AUDIENCE_ROOTS": str(folder),
            "CONNECTOR_BROADCAST_PAGE_SECONDS": "5",
            "CONNECTOR_ITERABLE_READ_TIMEOUT_SECONDS": "5",
            "CONNECTOR_LEAST_EVIDENCE_AFTER_SECONDS": "0",
        }
        await development.stack.start("broadcasts", [sys.executable, "-m", "worker"], env=environment)
        workspace = await install_against_sandbox(
            development,
            WORKSPACE,
            settings={
                "sends_per_second": 10_000,
                "reconcile_within_seconds": 900,
                "evidence_every_seconds": 3,
                "evidence_after_seconds": 12,
                "marketing_outcome_policy": "at_most_once",
            },
        )
        await _break_iterable(development, plan)
        path = folder / "audience.jsonl"
        path.write_bytes(b"".join(orjson.dumps(_row(n)) + b"\n" for n in range(plan.recipients)))
        request = BroadcastRequest.model_validate(
            {
                "workspace_id": WORKSPACE,
                "broadcast_id": BROADCAST,
                "template": TEMPLATE,
                "audience": {"uri": str(path)},
            }
        )
        c = development.connection
        handle = await start_broadcast(c.temporal, c.settings.task_queue, request)
        ended = asyncio.ensure_future(handle.result())
        kills = await _kill(development, workspace, plan, ended)
        progress = await ended
        return await _judge(development, workspace, plan, progress, kills, time.monotonic() - began)


def _quiet(text: str) -> None:
    del text


def _row(n: int) -> dict[str, object]:
    return {
        "send_id": f"snd_{n:06}",
        "recipient": {"email": f"sent+{n}@example.com"},
        "data": {"first_name": "Ann", "order": {"number": n}},
    }


async def _break_iterable(development: Development, plan: Plan) -> None:
    async with httpx.AsyncClient(base_url=development.addresses.sandbox, timeout=10) as sandbox:
        for index, kind in enumerate(FAULTS):
            spec = {
                "path": TARGET,
                "kind": kind,
                "rate": plan.fault_rate,
                "retry_after": 1,
                "seed": plan.seed * 100 + index,
            }
            (await sandbox.post("/_sandbox/faults", json=spec)).raise_for_status()


async def _kill(
    development: Development, workspace: Workspace, plan: Plan, ended: "asyncio.Future[BroadcastProgress]"
) -> int:
    """SIGKILL, spread over the audience, each while requests are under way."""
    kills = 0
    async with httpx.AsyncClient(base_url=development.addresses.sandbox, timeout=30) as sandbox:
        while kills < plan.kills and not ended.done():
            answer = await sandbox.get("/_sandbox/counts", params={"project_id": workspace.project_id})
            messages = answer.raise_for_status().json()["messages"]
            if messages >= plan.recipients * (kills + 0.5) / plan.kills * 0.9:
                await development.stack.kill("broadcasts")
                await development.stack.restart("broadcasts")
                kills += 1
            await asyncio.sleep(_STEP_SECONDS)
    return kills


async def _judge(
    development: Development,
    workspace: Workspace,
    plan: Plan,
    progress: BroadcastProgress,
    kills: int,
    seconds: float,
) -> Verdict:
    async with httpx.AsyncClient(base_url=development.addresses.sandbox, timeout=120) as sandbox:
        answer = await sandbox.get("/_sandbox/outbox", params={"project_id": workspace.project_id})
    messages = answer.raise_for_status().json()["messages"]
    caused = Counter(message["dataFields"][RESERVED_DATA_KEY]["send"] for message in messages)
    doubled, lost, unknown, untrue = [], [], [], []
    after = 0
    while True:
        async with development.connection.store.read() as tx:
            entries = await tx.recipients.page(WORKSPACE, BROADCAST, after, 1_000)
        for entry in entries:
            send_id = entry.send_id or ""
            is_unknown = entry.status == "failed" and entry.reason == ErrorCode.OUTCOME_UNKNOWN
            if is_unknown:
                unknown.append(send_id)
            elif caused[send_id] == 0:
                lost.append(f"{send_id} {entry.status}")
            if caused[send_id] > 1:
                doubled.append(send_id)
            if entry.accepted_at is not None and caused[send_id] == 0:
                untrue.append(f"{send_id} is told as {entry.status} and got nothing")
        if not entries:
            break
        after = entries[-1].row
    told = progress.tally.taken + progress.tally.failed.get(ErrorCode.OUTCOME_UNKNOWN, 0)
    if told != plan.recipients or progress.tally.rows != plan.recipients:
        untrue.append(f"the tally has {progress.tally.model_dump(exclude_defaults=True)}")
    return Verdict(progress, len(messages), doubled, lost, unknown, untrue, kills, seconds)


def report(plan: Plan, verdict: Verdict) -> Table:
    """One table."""
    table = Table("", "", title=f"chaos of a broadcast, seed {plan.seed}", title_justify="left", show_header=False)
    rows = {
        "recipients": plan.recipients,
        "messages in the outbox": verdict.messages,
        "doubled": len(verdict.doubled),
        "lost": len(verdict.lost),
        "outcome unknown": len(verdict.unknown),
        "untrue": ", ".join(verdict.untrue[:5]) or "none",
        "kills of the worker": verdict.kills,
        "tally": verdict.progress.tally.model_dump(exclude_defaults=True),
        "wall time": f"{verdict.seconds:.0f} s",
        "promise": "kept" if verdict.holds else "BROKEN",
    }
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table


async def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipients", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fault-rate", type=float, default=0.01)
    given = parser.parse_args()
    configure_logging(level="ERROR")
    plan = Plan(given.recipients, given.kills, given.seed, given.fault_rate)
    with tempfile.TemporaryDirectory() as folder:
        verdict = await chaos(plan, Path(folder))
    Console().print(report(plan, verdict))
    return 0 if verdict.holds and verdict.kills == plan.kills else 1


if __name__ == "__main__":
    sys.exit(run(main()))
