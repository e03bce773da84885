"""What a send costs: billable actions, history events and bytes for each shape, and database rows and bytes for each
send and each event: `python -m bench.costs`. Nothing here depends on how fast the machine is."""

import argparse
import asyncio
import sqlite3
import tempfile
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import httpx
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from bench.stage import UNLIMITED, new_project, quiet, say
from cli.development import Development, development_stack, install_against_sandbox
from cli.sending import send_accepted
from contracts.names import send_workflow_id, shadow_workflow_id
from contracts.send import SendRequest, SendResult
from runtime.logging import configure_logging
from runtime.process import run
from tests.stage import TEMPLATE

_BILLED = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
    EventType.EVENT_TYPE_TIMER_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
    EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
    EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
}
"""One action each; a repeat of an activity is one more, and so is a heartbeat that reaches the server."""


@dataclass(frozen=True)
class Cost:
    """What one run cost."""

    activities: int
    actions: int
    events: int
    size: int

    def __str__(self) -> str:
        return f"{self.activities} activities, {self.actions} actions, {self.events} events, {self.size:,} bytes"


async def cost_of(client: Client, workflow_id: str) -> Cost:
    """Of a run that has ended."""
    handle = client.get_workflow_handle(workflow_id)
    await handle.result()
    kinds: Counter[EventType.ValueType] = Counter()
    events = size = repeats = 0
    async for event in handle.fetch_history_events():
        kinds[event.event_type] += 1
        repeats += max(0, event.activity_task_started_event_attributes.attempt - 1)
        events += 1
        size += event.ByteSize()
    activities = kinds[EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED]
    return Cost(activities, sum(kinds[kind] for kind in _BILLED) + repeats, events, size)


def middle(costs: list[Cost]) -> Cost:
    """The run in the middle: how many batches the events come in is chance."""
    return sorted(costs, key=lambda cost: (cost.actions, cost.events))[len(costs) // 2]


class Bench:
    """The stack, and how it is asked for sends."""

    def __init__(self, development: Development) -> None:
        self._development = development
        self.client = development.connection.temporal

    async def send(
        self, workspace_id: str, fate: str = "open-click", html: str | None = None
    ) -> tuple[str, SendResult]:
        """The id of its run, and how it was accepted."""
        name = uuid.uuid4().hex
        template = TEMPLATE if html is None else TEMPLATE.model_copy(update={"html": html})
        request = SendRequest.model_validate(
            {
                "workspace_id": workspace_id,
                "send_id": f"snd_{name}",
                "template": template,
                "recipient": {"email": f"{fate}+{name}@example.com", "profile": {"firstName": "Ann"}},
                "data": {"first_name": "Ann", "order": {"number": 1}},
            }
        )
        task_queue = self._development.connection.settings.task_queue
        accepted = await send_accepted(self.client, task_queue, request)
        return send_workflow_id(workspace_id, request.send_id), accepted

    async def sends(self, workspace_id: str, count: int, fate: str) -> list[str]:
        """The ids of their runs."""
        return [(await self.send(workspace_id, fate))[0] for _ in range(count)]

    def database(self) -> tuple[Counter[str], int]:
        """Rows by table, and the bytes of all of it."""
        path = self._development.settings.database_url.rpartition("sqlite+aiosqlite:///")[2]
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            rows = {
                name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608 - our own names
                for name in tables
            }
            used = connection.execute("SELECT sum(pgsize - unused) FROM dbstat").fetchone()[0]
        connection.close()
        return Counter(rows), used


async def _shapes(bench: Bench, development: Development) -> None:
    settings: dict[str, object] = {"settle_for_seconds": 4, "confirm_within_seconds": 60}
    plain = (await install_against_sandbox(development, "bench-costs", settings=settings)).workspace_id
    thin = {**settings, "profile_policy": "always", "profile_fields": ["firstName"], "profile_wait_seconds": 1}
    profiled = (await install_against_sandbox(development, "bench-profiles", settings=thin)).workspace_id
    await bench.sends(plain, 1, "sent")
    await bench.sends(profiled, 1, "sent")

    fresh = [await bench.send(plain, "open-click", html=f"<p>Hi {{{{first_name}}}} {n}</p>") for n in range(5)]
    for shape, ids in {
        "cached": await bench.sends(plain, 5, "open-click"),
        "profile upsert": await bench.sends(profiled, 5, "open-click"),
        "new template": [workflow_id for workflow_id, _ in fresh],
    }.items():
        costs = await asyncio.gather(*(cost_of(bench.client, workflow_id) for workflow_id in ids))
        say(shape, str(middle(costs)))
    shadows = [shadow_workflow_id(plain, accepted.fingerprint or "") for _, accepted in fresh]
    costs = await asyncio.gather(*(cost_of(bench.client, workflow_id) for workflow_id in shadows))
    say("  and once, the run that makes the shadow", str(middle(costs)))


async def _rows(bench: Bench, development: Development, sends: int) -> None:
    async with httpx.AsyncClient(base_url=development.addresses.sandbox, timeout=60) as sandbox:
        settings: dict[str, object] = {"sends_per_second": UNLIMITED}
        silent = await new_project(sandbox, development.connection, settings)
    await bench.sends(silent.workspace_id, 1, "sent")
    before, used = bench.database()
    await bench.sends(silent.workspace_id, sends, "sent")
    after, used_after = bench.database()
    per_send = (used_after - used) / sends
    tables = ", ".join(f"{count / sends:.0f} {name}" for name, count in (after - before).items() if count >= sends)
    say("database rows a send", f"{tables}; {per_send:,.0f} bytes")

    heard = await install_against_sandbox(development, "bench-rows", settings={"settle_for_seconds": 4})
    await bench.sends(heard.workspace_id, 1, "open-click")
    before, used = bench.database()
    ids = await bench.sends(heard.workspace_id, sends, "open-click")
    await asyncio.gather(*(bench.client.get_workflow_handle(workflow_id).result() for workflow_id in ids))
    after, used_after = bench.database()
    events = after["event"] - before["event"]
    per_event = (used_after - used - per_send * sends) / events
    say("database rows an event", f"1 event ({events / sends:.1f} a send); {per_event:,.0f} bytes")


async def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="bench.costs", description=__doc__)
    parser.add_argument("--sends", type=int, default=200, help="for the database")
    asked = parser.parse_args()
    configure_logging(level="ERROR")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with development_stack(Path(folder) / "stack", quiet) as development:
            bench = Bench(development)
            await _shapes(bench, development)
            await _rows(bench, development, asked.sends)


if __name__ == "__main__":
    run(main())
