"""How fast a broadcast is, against a loop that targets the same recipients and keeps no record: `make bench-broadcast`.

Everything on this machine in one run: Temporal, the sandbox, one worker for broadcasts and one for single sends. The
ratios mean something where the rates do not. No webhook is set up, so that the sandbox does the same for both.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from bench.stage import UNLIMITED, Project, new_project, p95, quiet, say
from cli.broadcasts import start_broadcast
from cli.development import Development, development_stack
from cli.sending import send_accepted
from contracts.broadcast import BroadcastRequest
from contracts.send import SendRequest
from runtime.logging import configure_logging
from runtime.process import run
from tests.stage import TEMPLATE

_CONCURRENCY = 50
_SINGLE_SENDS = 40
_BROADCAST_ACTIVITY = "target_audience"


@dataclass(frozen=True)
class Measured:
    """One broadcast. `seconds` from the first page's start to the last one's end."""

    recipients: int
    seconds: float
    events: int
    peak_mb: float
    project: Project

    @property
    def rate(self) -> float:
        """Recipients a second."""
        return self.recipients / self.seconds


class Bench:
    """The stack, and what is measured on it."""

    def __init__(self, development: Development, folder: Path) -> None:
        self._development = development
        self._folder = folder
        self._sandbox = httpx.AsyncClient(base_url=development.addresses.sandbox, timeout=120)

    async def project(self, sends_per_second: float) -> Project:
        """A project and its connector."""
        settings: dict[str, object] = {"sends_per_second": sends_per_second, "confirm_within_seconds": 1}
        return await new_project(self._sandbox, self._development.connection, settings)

    def audience(self, recipients: int) -> Path:
        """A file of JSON Lines."""
        path = self._folder / f"{recipients}.jsonl"
        with path.open("wb") as file:
            for n in range(recipients):
                file.write(orjson.dumps(row(n)) + b"\n")
        return path

    async def broadcast(self, recipients: int, project: Project, rate: float | None = None) -> Measured:
        """One broadcast by a worker that was just started."""
        await self._development.stack.restart("broadcasts")
        c = self._development.connection
        request = BroadcastRequest.model_validate(
            {
                "workspace_id": project.workspace_id,
                "broadcast_id": f"b-{uuid.uuid4().hex[:6]}",
                "template": TEMPLATE,
                "audience": {"uri": str(self.audience(recipients))},
                "rate": rate,
            }
        )
        handle = await start_broadcast(c.temporal, c.settings.task_queue, request)
        result = await handle.result()
        if result.tally.taken != recipients:
            raise SystemExit(f"not everybody was targeted: {result}")
        times: list[float] = []
        events = 0
        pages: set[int] = set()
        async for event in handle.fetch_history_events():
            events += 1
            if event.activity_task_scheduled_event_attributes.activity_type.name == _BROADCAST_ACTIVITY:
                pages.add(event.event_id)
                times.append(event.event_time.ToNanoseconds() / 1e9)
            if event.activity_task_completed_event_attributes.scheduled_event_id in pages:
                times.append(event.event_time.ToNanoseconds() / 1e9)
        pid = self._development.stack.pid_of("broadcasts")
        return Measured(recipients, max(times) - min(times), events, peak_mb(pid), project)

    async def loop(self, recipients: int, project: Project) -> float:
        """Recipients a second of the plain loop, in a process of its own, at a campaign that exists."""
        answer = await self._sandbox.get("/_sandbox/outbox", params={"project_id": project.project_id, "limit": 1})
        campaign = answer.raise_for_status().json()["messages"][0]["campaignId"]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.broadcast", "--loop", str(recipients), str(campaign), project.key),
            self._development.addresses.sandbox,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        return float(output)

    async def per_second(self, project: Project) -> Counter[str]:
        """Messages by the second in which the sandbox took them."""
        answer = await self._sandbox.get("/_sandbox/outbox", params={"project_id": project.project_id})
        return Counter(message["createdAt"] for message in answer.raise_for_status().json()["messages"])

    async def accepted_ms(self, project: Project) -> list[float]:
        """Milliseconds until single transactional sends were accepted, one after another."""
        c = self._development.connection
        took: list[float] = []
        for n in range(_SINGLE_SENDS):
            request = SendRequest.model_validate(
                {
                    "workspace_id": project.workspace_id,
                    "send_id": f"snd-{uuid.uuid4().hex[:8]}",
                    "template": TEMPLATE,
                    "recipient": {"email": f"single{n}@example.com"},
                    "data": row(n)["data"],
                }
            )
            began = time.perf_counter()
            await send_accepted(c.temporal, c.settings.task_queue, request)
            took.append((time.perf_counter() - began) * 1000)
        return took[3:]  # the first ones make the shadow and warm up

    async def aclose(self) -> None:
        """Closes the client."""
        await self._sandbox.aclose()


def row(n: int) -> dict[str, Any]:
    """A recipient."""
    return {"recipient": {"email": f"sent+{n}@example.com"}, "data": {"first_name": f"P{n}", "order": {"number": n}}}


def peak_mb(pid: int) -> float:
    """The most memory that a process has had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM")


async def plain_loop(recipients: int, campaign: int, key: str, sandbox: str) -> None:
    """Targets everybody and forgets it: the most that this client and this sandbox can do together."""
    numbers = iter(range(recipients))
    limits = httpx.Limits(max_connections=_CONCURRENCY, max_keepalive_connections=_CONCURRENCY)
    async with httpx.AsyncClient(headers={"Api-Key": key}, limits=limits, timeout=30) as client:

        async def sender() -> None:
            for n in numbers:
                given = row(n)
                body = {
                    "campaignId": campaign,
                    "recipientEmail": given["recipient"]["email"],
                    "dataFields": {**given["data"], "genieos": {"workspace": "bench", "send": f"s{n}"}},
                }
                answer = await client.post(f"{sandbox}/us/api/email/target", json=body)
                answer.raise_for_status()

        began = time.perf_counter()
        await asyncio.gather(*(sender() for _ in range(_CONCURRENCY)))
    sys.stdout.write(f"{recipients / (time.perf_counter() - began)}\n")


async def measure(asked: argparse.Namespace, folder: Path) -> None:
    """What was asked for."""
    os.environ["CONNECTOR_BROADCAST_CONCURRENCY"] = str(_CONCURRENCY)
    async with development_stack(folder / "stack", quiet) as development:
        os.environ["CONNECTOR_AUDIENCE_ROOTS"] = str(folder)
        await development.stack.stop("worker")
        for name, queues in {"sends": "sends", "broadcasts": "broadcasts"}.items():
            environment = {"CONNECTOR_WORKER_QUEUES": queues, "CONNECTOR_AUDIENCE_ROOTS": str(folder)}
            await development.stack.start(name, [sys.executable, "-m", "worker"], env=environment)
        bench = Bench(development, folder)
        try:
            parts = {"speed": _speed, "rate": _rate, "memory": _memory, "latency": _latency}
            for name in asked.only:
                await parts[name](bench, asked)
        finally:
            await bench.aclose()


async def _speed(bench: Bench, asked: argparse.Namespace) -> None:
    ratios: list[float] = []
    for _ in range(asked.rounds):
        project = await bench.project(UNLIMITED)
        fast = await bench.broadcast(asked.recipients, project)
        plain = await bench.loop(asked.recipients, project)
        ratios.append(fast.rate / plain)
        say(f"{asked.recipients:,} recipients", f"{fast.rate:,.0f}/s; plain loop {plain:,.0f}/s")
        per_thousand = fast.events / asked.recipients * 1000
    say("broadcast / plain loop", f"{statistics.median(ratios):.2f}", "≥ 0.80")
    say("history events per 1,000", f"{per_thousand:.1f}", "flat")


async def _rate(bench: Bench, asked: argparse.Namespace) -> None:
    project = await bench.project(UNLIMITED)
    slow = await bench.broadcast(asked.rate * asked.rate_seconds, project, rate=asked.rate)
    seconds = await bench.per_second(project)
    say(f"rate of {asked.rate}/s, {asked.rate_seconds} s", f"{slow.rate / asked.rate:.3f}", "0.97 to 1.00")
    say("most in one second", f"{max(seconds.values())}", f"≤ {asked.rate}")


async def _memory(bench: Bench, asked: argparse.Namespace) -> None:
    peaks: list[float] = []
    for recipients in asked.memory:
        measured = await bench.broadcast(recipients, await bench.project(UNLIMITED))
        peaks.append(measured.peak_mb)
    sizes = " → ".join(f"{size:,}: {peak:.0f} MB" for size, peak in zip(asked.memory, peaks, strict=True))
    say("peak memory of the worker", f"{sizes}; × {peaks[-1] / peaks[0]:.2f}", "≤ × 1.20")


async def _latency(bench: Bench, asked: argparse.Namespace) -> None:
    project = await bench.project(asked.rate)
    idle = await bench.accepted_ms(project)
    sending = asyncio.create_task(bench.broadcast(asked.rate * asked.rate_seconds, project))
    await asyncio.sleep(4)  # it is under way, and takes all of the rate that is left
    busy = await bench.accepted_ms(project)
    saturated = not sending.done()
    await sending
    say(
        "transactional p95, idle → beside a broadcast",
        f"{p95(idle):.0f} ms → {p95(busy):.0f} ms; × {p95(busy) / p95(idle):.2f}{'' if saturated else ' (too short)'}",
        "≤ × 2.00",
    )


def _sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


async def main() -> None:
    """Prints the table."""
    if sys.argv[1:2] == ["--loop"]:
        recipients, campaign, key, sandbox = sys.argv[2:]
        await plain_loop(int(recipients), int(campaign), key, sandbox)
        return
    parser = argparse.ArgumentParser(prog="bench.broadcast", description=__doc__)
    parser.add_argument("--recipients", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--rate-seconds", type=int, default=20)
    parser.add_argument("--memory", type=_sizes, default=[2_000, 20_000])
    parser.add_argument("--only", type=lambda text: text.split(","), default=["speed", "rate", "memory", "latency"])
    asked = parser.parse_args()
    configure_logging(level="ERROR")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        await measure(asked, Path(folder))


if __name__ == "__main__":
    run(main())
