"""How many cached transactional sends there are in a second, and how soon Iterable has each, against a bare workflow
with as many activities that do nothing: `python -m bench.sends`.

Both on one Temporal server in one run, in turns, with the same number of worker processes and the same callers. Runs of
sends stay open and wait for events, as in production; the bare ones stay open as well. No webhook is set up.

Each number of processes is measured twice: *together*, where all share this machine's processors, so that whatever
takes more of them is slower by that; and *apart*, where Temporal's server has half of them to itself, as in production,
where workers are added at will and the server is what there is one of.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from bench.bare import QUEUE, WORKFLOW
from bench.stage import UNLIMITED, new_project, p95, quiet, say
from cli.development import Development, development_stack
from cli.sending import send_accepted
from contracts.send import SendRequest
from runtime.logging import configure_logging
from runtime.process import run
from runtime.temporal import update_with_start
from tests.stage import TEMPLATE

Call = Callable[[], Awaitable[object]]
_WARM_UP = 100
_ONE_BY_ONE = 40
_PROCESSORS = sorted(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Load:
    """What one load took. `took_ms` are the milliseconds from each caller's request to its answer, `cpu_ms` what the
    processes used for each call, by name."""

    per_second: float
    took_ms: list[float]
    cpu_ms: Counter[str] = field(default_factory=Counter[str])


async def load(call: Call, count: int, callers: int) -> Load:
    """`count` calls, as many at once as there are callers."""
    took: list[float] = []
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            began = time.perf_counter()
            await call()
            took.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return Load(count / (time.perf_counter() - began), took)


class Bench:
    """The two kinds of calls, and the worker processes of each."""

    def __init__(self, development: Development, workspace_id: str) -> None:
        self._development = development
        self._workspace_id = workspace_id
        self._workers: list[str] = []

    async def send(self) -> object:
        """A send of known content, until Iterable has it."""
        c = self._development.connection
        name = uuid.uuid4().hex
        request = SendRequest.model_validate(
            {
                "workspace_id": self._workspace_id,
                "send_id": f"snd_{name}",
                "template": TEMPLATE,
                "recipient": {"email": f"sent+{name}@example.com"},
                "data": {"first_name": "Ann", "order": {"number": 1}},
            }
        )
        return await send_accepted(c.temporal, c.settings.task_queue, request)

    async def bare(self) -> object:
        """A run of the bare workflow, until its activities are done."""
        return await update_with_start(
            self._development.connection.temporal,
            WORKFLOW,
            {"workspace_id": self._workspace_id},
            id_=f"bare/{uuid.uuid4().hex}",
            task_queue=QUEUE,
            update="accepted",
            result_type=bool,
        )

    async def measured(self, call: Call, count: int, callers: int) -> Load:
        """A load, and the processor time that it took."""
        before = self._cpu()
        one = await load(call, count, callers)
        after = self._cpu()
        after.subtract(before)
        return replace(one, cpu_ms=Counter({name: seconds * 1000 / count for name, seconds in after.items()}))

    def together(self) -> None:
        """Every process on all processors."""
        self._place(server=_PROCESSORS, others=_PROCESSORS)

    def apart(self) -> None:
        """Temporal's server on half of the processors, and all else on the others."""
        half = len(_PROCESSORS) // 2
        self._place(server=_PROCESSORS[:half], others=_PROCESSORS[half:])

    def _place(self, *, server: Sequence[int], others: Sequence[int]) -> None:
        for name in self._development.stack.names:
            _run_on(self._development.stack.pid_of(name), server if name == "temporal" else others)
        _run_on(os.getpid(), others)

    def _cpu(self) -> Counter[str]:
        """Seconds by kind of process."""
        used: Counter[str] = Counter({"callers": time.process_time()})
        for name in ("temporal", "sandbox", *self._workers):
            fields = Path(f"/proc/{self._development.stack.pid_of(name)}/stat").read_text().rpartition(")")[2].split()
            kind = "workers" if name in self._workers else name
            used[kind] += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return used

    async def workers(self, count: int) -> None:
        """So many worker processes of each kind, started anew."""
        stack = self._development.stack
        for name in self._workers:
            await stack.stop(name)
        self._workers = []
        for n in range(count):
            for module in ("worker", "bench.bare"):
                name = f"{module}-{n}"
                env = {**self._development.environment, "CONNECTOR_WORKER_QUEUES": "sends"}
                await stack.start(name, [sys.executable, "-m", module], env=env)
                self._workers.append(name)
        for call in (self.send, self.bare):
            await load(call, _WARM_UP, callers=10)


def _run_on(pid: int, processors: Sequence[int]) -> None:
    """All threads of a process; those that they start later follow."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread.name), processors)


def _tell(what: str, ours: list[Load], bare: list[Load], goal: str = "") -> None:
    ratio = statistics.median(one.per_second / other.per_second for one, other in zip(ours, bare, strict=True))

    def middle(loads: list[Load]) -> str:
        took = [ms for one in loads for ms in one.took_ms]
        rate = statistics.median(one.per_second for one in loads)
        return f"{rate:,.0f}/s, p50 {statistics.median(took):,.0f} ms, p95 {p95(took):,.0f} ms"

    say(f"{what}: sends", middle(ours))
    say(f"{what}: bare workflow", middle(bare))

    def processor(loads: list[Load]) -> str:
        mean = {name: statistics.mean(one.cpu_ms[name] for one in loads) for name in loads[0].cpu_ms}
        return ", ".join(f"{name} {ms:.1f}" for name, ms in mean.items())

    say(f"{what}: sends / bare", f"{ratio:.2f}", goal)
    say("  processor ms a send", processor(ours))
    say("  processor ms a bare workflow", processor(bare))


async def measure(asked: argparse.Namespace, folder: Path) -> None:
    """Prints a line for each finding."""
    async with development_stack(folder / "stack", quiet) as development:
        await development.stack.stop("worker")
        async with httpx.AsyncClient(base_url=development.addresses.sandbox, timeout=60) as sandbox:
            # The run that looks after a connector needs a worker.
            await development.stack.start("installer", [sys.executable, "-m", "worker"], env=development.environment)
            project = await new_project(sandbox, development.connection, {"sends_per_second": UNLIMITED})
            await development.stack.stop("installer")
        bench = Bench(development, project.workspace_id)
        for processes in asked.processes:
            bench.together()
            await bench.workers(processes)
            label = f"{processes} process{'es' * (processes > 1)}"
            if processes == asked.processes[0]:
                alone = [await bench.measured(call, _ONE_BY_ONE, callers=1) for call in (bench.send, bench.bare)]
                _tell("one after another", alone[:1], alone[1:])
            await _compare(bench, f"{label}, together", asked)
            if len(_PROCESSORS) > 1:
                bench.apart()
                await _compare(bench, f"{label}, apart", asked)


async def _compare(bench: Bench, label: str, asked: argparse.Namespace) -> None:
    """In turns, so that what else this machine does meets both."""
    ours: list[Load] = []
    bare: list[Load] = []
    for _ in range(asked.rounds):
        bare.append(await bench.measured(bench.bare, asked.sends, asked.callers))
        ours.append(await bench.measured(bench.send, asked.sends, asked.callers))
    _tell(label, ours, bare, "≥ 0.90")


async def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="bench.sends", description=__doc__)
    parser.add_argument("--sends", type=int, default=200, help="in a round")
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2, 4])
    asked = parser.parse_args()
    configure_logging(level="ERROR")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        await measure(asked, Path(folder))


if __name__ == "__main__":
    run(main())
