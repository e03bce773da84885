"""A new build takes over: Worker Versioning as the upgrade procedure uses it, on a server that knows it."""

import asyncio
import sys
import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from activities.connectors import InstalledConnectors
from cli.sending import start_send
from contracts.send import SendStatus
from runtime.clients import client_factory
from runtime.settings import Settings
from tests.stage import Project, Stage
from worker import make_workers

pytestmark = pytest.mark.scenario


@asynccontextmanager
async def _build(stage: Stage, settings: Settings, build_id: str) -> AsyncGenerator[None]:
    """Workers of one build, on queues of their own."""
    of_build = settings.model_copy(update={"build_id": build_id})
    async with AsyncExitStack() as stack:
        connectors = InstalledConnectors(stage.store, client_factory(of_build))
        stack.push_async_callback(connectors.close)
        for worker in make_workers(stage.client, stage.store, connectors, of_build):
            await stack.enter_async_context(worker)
        yield


async def _make_current(stage: Stage, settings: Settings, build_id: str) -> None:
    """As the runbook has it. The server hears of a build when its workers poll: the first tries may be too soon."""
    command = [
        *(str(Path(sys.executable).parent / "temporal"), "worker", "deployment", "set-current-version", "--yes"),
        *("--address", stage.client.service_client.config.target_host),
        *("--deployment-name", settings.deployment_name, "--build-id", build_id),
    ]
    async with asyncio.timeout(60):
        while True:
            process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            said, _ = await process.communicate()
            if process.returncode == 0:
                return
            print(said.decode())  # noqa: T201 - shown where the test fails
            await asyncio.sleep(0.5)


async def _builds_that_worked(handle: WorkflowHandle[Any, Any]) -> list[str]:
    return [
        event.workflow_task_completed_event_attributes.deployment_version.build_id
        for event in (await handle.fetch_history()).events
        if event.HasField("workflow_task_completed_event_attributes")
    ]


async def test_a_waiting_send_moves_to_the_new_build(project: Project) -> None:
    stage = project.stage
    name = uuid.uuid4().hex[:8]
    settings = stage.settings.model_copy(update={"task_queue": f"versions-{name}", "deployment_name": f"build-{name}"})
    later = datetime.now(UTC) + timedelta(seconds=15)
    async with _build(stage, settings, "old"):
        await _make_current(stage, settings, "old")
        handle = await start_send(stage.client, settings.task_queue, project.request(send_at=later))
        while not await _builds_that_worked(handle):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    async with _build(stage, settings, "new"):
        await _make_current(stage, settings, "new")
        result = await handle.result()
    assert result.status is SendStatus.SENT
    builds = await _builds_that_worked(handle)
    assert (builds[0], builds[-1]) == ("old", "new")
    assert len(await project.outbox()) == 1
