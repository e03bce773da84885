"""Care of the shadows, against a sandbox: archived ones are made anew when they are needed, lost ones are found."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import activities.shadow_care
import workflows.shadow_care
from activities.connectors import InstalledConnectors
from activities.shadow_care import ShadowCareActivities
from cli.sending import start_send
from contracts.names import shadow_care_id
from contracts.send import SendRequest, SendResult, SendStatus
from contracts.shadow import CareRequest
from runtime.clients import client_factory
from store.tables import shadow
from tests.stage import Project
from workflows.shadow_care import ShadowCareWorkflow

pytestmark = pytest.mark.scenario


async def sent(project: Project, request: SendRequest) -> SendResult:
    handle = await start_send(project.stage.client, project.stage.settings.task_queue, request)
    return await handle.result()


@pytest.fixture
async def connectors(project: Project) -> AsyncGenerator[InstalledConnectors]:
    opened = InstalledConnectors(project.stage.store, client_factory(project.stage.settings))
    yield opened
    await opened.close()


@pytest.fixture
def care(project: Project, connectors: InstalledConnectors) -> ShadowCareActivities:
    stage = project.stage
    return ShadowCareActivities(stage.store, connectors, stage.client, stage.settings.task_queue)


async def test_a_retired_shadow_that_is_needed_again_is_made_anew(
    project: Project, care: ShadowCareActivities, connectors: InstalledConnectors
) -> None:
    stage = project.stage
    soon = datetime.now(UTC) + timedelta(minutes=1)
    first = await sent(project, project.request("first@example.com"))
    async with stage.store.begin() as tx:
        assert await tx.shadows.mark_idle(project.workspace_id, soon) == 1
        assert await tx.shadows.retire(project.workspace_id, soon) == (1, 0)
    # Iterable still shows the campaign Running, under the name that a new one gets
    second = await sent(project, project.request("second@example.com"))
    assert (second.status, second.fingerprint) == (SendStatus.SENT, first.fingerprint)
    assert second.campaign_id != first.campaign_id
    request = CareRequest(workspace_id=project.workspace_id, marked_before=soon)
    done = await care.retire_shadows(request)
    assert (done.retired, done.archived, done.failed) == (0, 1, [])
    assert (await care.retire_shadows(request)).archived == 0
    assert first.campaign_id is not None
    iterable = (await connectors.get(project.workspace_id)).iterable
    for _ in range(50):  # states change some time after the call
        if (await iterable.campaigns.get(first.campaign_id)).state == "Archived":
            return
        await asyncio.sleep(0.1)
    pytest.fail("the campaign was not archived")


async def test_a_run_archives_what_is_named(
    project: Project, care: ShadowCareActivities, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflows.shadow_care, "BARRIER", timedelta(seconds=1))
    monkeypatch.setattr(activities.shadow_care, "_JUST_USED", -timedelta(minutes=1))
    client, queue = project.stage.client, f"care-{project.workspace_id}"
    ended = await sent(project, project.request())
    async with Worker(
        client,
        task_queue=queue,
        workflows=[ShadowCareWorkflow],
        activities=[care.mark_idle_shadows, care.retire_shadows],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        request = CareRequest(workspace_id=project.workspace_id, fingerprints=[ended.fingerprint or ""])
        id_ = shadow_care_id(project.workspace_id)
        done = await client.execute_workflow(ShadowCareWorkflow.run, request, id=id_, task_queue=queue)
    assert (done.marked, done.retired, done.in_use, done.archived, done.failed) == (1, 1, 0, 1, [])


async def test_shadows_are_found_again_after_a_lost_database(project: Project, care: ShadowCareActivities) -> None:
    stage = project.stage
    first = await sent(project, project.request("first@example.com"))
    async with stage.store.begin() as tx:
        await tx.shadows._connection.execute(delete(shadow).where(shadow.c.workspace_id == project.workspace_id))
    done = await care.adopt_shadows(project.workspace_id)
    assert (done.adopted, done.known, done.spare) == (1, 0, 0)
    assert (await care.adopt_shadows(project.workspace_id)).known == 1
    async with stage.store.read() as tx:
        (found,) = await tx.shadows.page(project.workspace_id, "", 10)
    assert (found.fingerprint, found.template_id, found.campaign_id) == (
        first.fingerprint,
        first.template_id,
        first.campaign_id,
    )
    answer = await stage.endpoint_http.get(
        f"/v1/workspaces/{project.workspace_id}/shadows", headers={"Authorization": "Bearer admin-token"}
    )
    assert answer.json()["shadows"][0]["fingerprint"] == first.fingerprint
