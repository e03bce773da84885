"""Chaos: many sends on a real stack while it is being broken, judged by the sandbox's outbox and never by our records.

    python -m tests.chaos --sends 2000 --seed 1 --policy at_most_once

Every send is started twice on purpose, by several clients. Meanwhile workers are killed, the Temporal server and the
endpoint are killed and restarted, and the sandbox breaks a share of the requests and webhooks. Exits non-zero unless
every send has a true end and, with `at_most_once`, nothing was doubled; with `at_least_once`, nothing was lost, and
doubled was only what nobody could have known to be out: no webhook that names the first message was delivered in time,
and another send of the same content to the same person may as well have caused what Iterable's records show.
"""

import argparse
import asyncio
import itertools
import os
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError

from cli.development import Development, Workspace, development_stack, install_against_sandbox
from cli.sending import start_send
from contracts.errors import ErrorCode
from contracts.names import send_workflow_id
from contracts.send import RESERVED_DATA_KEY, SendRequest, SendResult
from runtime.logging import configure_logging
from runtime.process import run
from tests.stage import TEMPLATE

WORKSPACE = "chaos"
TARGET = "/api/email/target"
WORKERS = ("worker", "worker-2")
CLIENTS = 4
WENT_OUT = frozenset({"sent", "delivered", "bounced", "complained", "skipped", "unconfirmed"})
_RETRY_SECONDS = 0.5
_NEWS_TAKES = timedelta(seconds=5)
"""From a webhook's arrival until a send knows of it, while its processes are being killed."""


@dataclass(frozen=True)
class Plan:
    """How much of what. A worker is killed every `kill_every` seconds on a machine that starts the whole stack in
    `quick_start`; a slower one has as much longer, or it would do nothing but start processes."""

    sends: int
    seed: int
    policy: str
    fault_rate: float = 0.05
    kill_every: float = 6.0
    quick_start: float = 8.0


@dataclass
class Verdict:
    """What the judge found. `doubled` and `lost` name sends; `unprovable` are those of the doubled that left no
    evidence."""

    sends: int
    messages: int
    statuses: Counter[str] = field(default_factory=Counter[str])
    doubled: list[str] = field(default_factory=list[str])
    unprovable: list[str] = field(default_factory=list[str])
    lost: list[str] = field(default_factory=list[str])
    untrue: list[str] = field(default_factory=list[str])
    told: list[str] = field(default_factory=list[str])
    """What our ledger says of the sends that broke the promise: for who mends it, never for the judgement."""
    kills: Counter[str] = field(default_factory=Counter[str])
    seconds: float = 0.0

    def holds(self, policy: str) -> bool:
        """Whether the promise of the policy was kept."""
        return not self.untrue and not self.offenders(policy)

    def offenders(self, policy: str) -> list[str]:
        """The sends that broke the promise of the policy."""
        if policy == "at_most_once":
            return self.doubled
        return [*self.lost, *(send_id for send_id in self.doubled if send_id not in self.unprovable)]


async def chaos(plan: Plan, folder: Path) -> Verdict:
    """Builds the stack, breaks it, waits for every send to end, and judges."""
    started = time.monotonic()
    chance = random.Random(plan.seed)  # noqa: S311 - repeatable by design
    os.environ["CONNECTOR_LEAST_EVIDENCE_AFTER_SECONDS"] = "0"  # the sandbox's records are not as late as that
    async with development_stack(folder, _quiet, temporal_database=folder.with_suffix(".temporal.db")) as development:
        for name in WORKERS[1:]:
            await development.stack.start(
                name,
                [sys.executable, "-m", "worker"],
                env={"CONNECTOR_ITERABLE_READ_TIMEOUT_SECONDS": "5"},
            )
        kill_every = plan.kill_every * max((time.monotonic() - started) / plan.quick_start, 1)
        workspace = await install_against_sandbox(
            development,
            WORKSPACE,
            settings={
                "settle_for_seconds": 2,
                "confirm_within_seconds": 20,
                "reconcile_within_seconds": 150,
                "evidence_every_seconds": 3,
                "evidence_after_seconds": 12,
                "give_up_after_seconds": 1200,
                "transactional_outcome_policy": plan.policy,
            },
        )
        await _break_iterable(development, workspace, plan)
        requests = [_request(number) for number in range(plan.sends)]
        kills: Counter[str] = Counter()
        async with asyncio.TaskGroup() as tasks:  # a process that cannot be started again ends all of it
            monkey = tasks.create_task(_break_processes(development, kill_every, chance, kills))
            handles = await _start_all(development, requests, chance)
            ends = await asyncio.gather(*(_end(handle) for handle in handles))
            monkey.cancel()
        verdict = judge(requests, ends, await _outbox(development, workspace))
        verdict.told = [await _told(development, send_id) for send_id in verdict.offenders(plan.policy)[:20]]
    verdict.kills = kills
    verdict.seconds = time.monotonic() - started
    return verdict


def _quiet(text: str) -> None:
    del text


def _request(number: int) -> SendRequest:
    fates = ("sent", "sent", "open", "soft-bounce", "skip-frequencycapping")
    return SendRequest.model_validate(
        {
            "workspace_id": WORKSPACE,
            "send_id": f"snd_{number:05}",
            "template": TEMPLATE.model_copy(update={"subject": f"Hi {number % 3}"}),  # three shadows, made meanwhile
            # Every tenth person gets the same content several times at once: their messages look alike in Iterable.
            "recipient": {"email": f"{fates[number % 5]}+{number // 3 if number % 10 else 0}@example.com"},
            "data": {"first_name": "Ann", "order": {"number": number}},
        }
    )


async def _break_iterable(development: Development, workspace: Workspace, plan: Plan) -> None:
    async with httpx.AsyncClient(base_url=development.addresses.sandbox, timeout=10) as sandbox:
        kinds = ("hang_after", "reset_after", "error_after", "error_before", "rate_limited")
        for path in (TARGET, "/api/campaigns/create"):
            for index, kind in enumerate(kinds):
                spec = {
                    "path": path,
                    "kind": kind,
                    "rate": plan.fault_rate,
                    "retry_after": 1,
                    "seed": plan.seed * 100 + index,
                }
                (await sandbox.post("/_sandbox/faults", json=spec)).raise_for_status()
        delivery = {
            "drop": plan.fault_rate,
            "duplicate": plan.fault_rate,
            "reorder": True,
            "delay_seconds": 0.2,
            "seed": plan.seed,
        }
        path = f"/_sandbox/projects/{workspace.project_id}/delivery"
        (await sandbox.put(path, json=delivery)).raise_for_status()


async def _break_processes(
    development: Development, kill_every: float, chance: random.Random, kills: Counter[str]
) -> None:
    """SIGKILL, a moment, a new process; until cancelled, and then until what was started is there."""
    stack = development.stack

    async def break_every(seconds: float, names: tuple[str, ...]) -> None:
        while True:
            await asyncio.sleep(seconds * chance.uniform(0.7, 1.3))
            name = chance.choice(names)
            await stack.kill(name)
            kills[name.partition("-")[0]] += 1
            await asyncio.sleep(chance.uniform(0.1, 1.0))
            restarting = asyncio.create_task(stack.restart(name))
            try:
                await asyncio.shield(restarting)
            finally:
                await asyncio.wait({restarting})

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(break_every(kill_every, WORKERS))
        tasks.create_task(break_every(3 * kill_every, ("endpoint",)))
        tasks.create_task(break_every(5 * kill_every, ("temporal",)))


async def _start_all(
    development: Development, requests: list[SendRequest], chance: random.Random
) -> list[WorkflowHandle[Any, SendResult]]:
    """Every send twice, from several clients, in an order of their own."""
    connection = development.connection

    async def start(request: SendRequest) -> None:
        while True:
            try:
                await start_send(connection.temporal, connection.settings.task_queue, request)
            except WorkflowAlreadyStartedError:
                return
            except RPCError:  # the server is being restarted: GenieOS tries again too
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def client(share: list[SendRequest]) -> None:
        for request in share:
            await start(request)
            await asyncio.sleep(chance.uniform(0, 0.02))

    twice = requests * 2
    chance.shuffle(twice)
    await asyncio.gather(*(client(twice[number::CLIENTS]) for number in range(CLIENTS)))
    return [
        connection.temporal.get_workflow_handle(send_workflow_id(WORKSPACE, request.send_id), result_type=SendResult)
        for request in requests
    ]


async def _end(handle: WorkflowHandle[Any, SendResult]) -> str:
    """The status a send ended with, or the code it failed with."""
    while True:
        try:
            return (await handle.result()).status.value
        except WorkflowFailureError as error:
            return str(error.cause.type) if isinstance(error.cause, ApplicationError) else type(error.cause).__name__
        except RPCError:
            await asyncio.sleep(_RETRY_SECONDS)


async def _outbox(development: Development, workspace: Workspace) -> list[dict[str, Any]]:
    """Every message that the sandbox took."""
    async with httpx.AsyncClient(base_url=development.addresses.sandbox, timeout=60) as sandbox:
        answer = await sandbox.get("/_sandbox/outbox", params={"project_id": workspace.project_id})
    return answer.raise_for_status().json()["messages"]


async def _told(development: Development, send_id: str) -> str:
    """One send's attempts and events as our ledger has them."""
    async with development.connection.store.read() as tx:
        attempts = await tx.sends.attempts(WORKSPACE, send_id)
        events = (await tx.events.of_sends(WORKSPACE, [send_id])).get(send_id, [])
    tried = ", ".join(f"{attempt.started_at:%H:%M:%S.%f} {attempt.end}" for attempt in attempts)
    seen = ", ".join(f"{event.occurred_at:%H:%M:%S.%f} {event.kind}" for event in events)
    return f"{send_id}: attempts {tried or 'none'}; events {seen or 'none'}"


def judge(requests: list[SendRequest], ends: list[str], outbox: list[dict[str, Any]]) -> Verdict:
    """By the sandbox's outbox alone."""
    caused: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    sharing: defaultdict[tuple[int, str], set[str]] = defaultdict(set)
    for message in sorted(outbox, key=_taken_at):
        send_id = message["dataFields"][RESERVED_DATA_KEY]["send"]
        caused[send_id].append(message)
        sharing[_look_alike(message)].add(send_id)
    verdict = Verdict(sends=len(requests), messages=len(outbox), statuses=Counter(ends))
    for request, end in zip(requests, ends, strict=True):
        theirs = caused[request.send_id]
        messages = len(theirs)
        if messages > 1:
            verdict.doubled.append(request.send_id)
            pairs = itertools.pairwise(theirs)
            if all(len(sharing[_look_alike(first)]) > 1 and not _was_named(first, then) for first, then in pairs):
                verdict.unprovable.append(request.send_id)
        if messages == 0:
            verdict.lost.append(request.send_id)
        true = messages >= 1 if end in WENT_OUT else messages <= 1 and end == ErrorCode.OUTCOME_UNKNOWN
        if not true:
            verdict.untrue.append(f"{request.send_id} ended as {end} with {messages} messages")
    return verdict


def _taken_at(message: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(message["createdAt"])


def _look_alike(message: dict[str, Any]) -> tuple[int, str]:
    """What Iterable's records tell messages apart by, and no further."""
    return message["campaignId"], message["email"].lower()


def _was_named(first: dict[str, Any], then: dict[str, Any]) -> bool:
    """Whether somebody could have known, before the second message, that the first one was out."""
    named = first["namedAt"]
    return named is not None and datetime.fromisoformat(named) + _NEWS_TAKES < _taken_at(then)


def report(plan: Plan, verdict: Verdict) -> Table:
    """One table."""
    table = Table("", "", title=f"chaos: {plan.policy}, seed {plan.seed}", title_justify="left", show_header=False)
    rows = {
        "sends, each started twice": verdict.sends,
        "messages in the outbox": verdict.messages,
        "doubled": len(verdict.doubled),
        "of these without any evidence": len(verdict.unprovable),
        "without a message": len(verdict.lost),
        "outcome unknown": verdict.statuses[ErrorCode.OUTCOME_UNKNOWN],
        "ends": ", ".join(f"{name} {count}" for name, count in sorted(verdict.statuses.items())),
        "untrue ends": ", ".join(verdict.untrue[:5]) or "none",
        "kills": ", ".join(f"{name} {count}" for name, count in sorted(verdict.kills.items())),
        "wall time": f"{verdict.seconds:.0f} s",
        "promise": "kept" if verdict.holds(plan.policy) else "BROKEN",
    }
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table


async def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sends", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--policy", choices=["at_most_once", "at_least_once"], default="at_most_once")
    parser.add_argument("--kill-every", type=float, default=Plan.kill_every, help="seconds between kills of a worker")
    given = parser.parse_args()
    configure_logging(level="ERROR")
    plan = Plan(given.sends, given.seed, given.policy, kill_every=given.kill_every)
    with tempfile.TemporaryDirectory() as folder:
        verdict = await chaos(plan, Path(folder) / "stack")
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(report(plan, verdict))
    for line in verdict.told:
        console.print(line)
    return 0 if verdict.holds(plan.policy) else 1


if __name__ == "__main__":
    sys.exit(run(main()))
