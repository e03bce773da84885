"""The life of a connector, from the first key to the uninstall, as an admin lives it."""

import asyncio
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from cli.sending import send_accepted
from contracts.connector import ConnectorSettings, ConnectorState, ConnectorStatus
from contracts.errors import ErrorCode
from contracts.finding import Level
from contracts.install import TestReport, TestRequest, UninstallRequest
from contracts.names import INSTALL_WORKFLOW, connector_workflow_id
from endpoint.administration import AdminRefused
from endpoint.tokens import HEADER
from tests.stage import Project, Stage

pytestmark = pytest.mark.scenario


@dataclass
class Admin:
    """One who has a key, and nothing else yet."""

    stage: Stage
    workspace_id: str
    made: dict[str, Any]

    @property
    def settings(self) -> ConnectorSettings:
        kinds = {kind["name"].lower(): kind["id"] for kind in self.made["message_types"]}
        return ConnectorSettings(
            data_center="us",
            transactional_message_type_id=kinds["transactional"],
            default_from_email="hello@acme.test",
            settle_for_seconds=1,
            confirm_within_seconds=600,
            activation_wait_seconds=60,
            webhook_token_overlap_seconds=1,
        )

    @property
    def sandbox(self) -> str:
        return f"/_sandbox/projects/{self.made['project_id']}"

    async def post(self, path: str, **body: Any) -> dict[str, Any]:
        return (await self.stage.sandbox_http.post(f"{self.sandbox}{path}", json=body)).raise_for_status().json()

    async def status(self) -> ConnectorStatus:
        handle = self.stage.client.get_workflow_handle(connector_workflow_id(self.workspace_id))
        return await handle.query("status", result_type=ConnectorStatus)

    async def becomes(self, state: ConnectorState) -> ConnectorStatus:
        """Looks, until the connector is in a state."""
        handle = self.stage.client.get_workflow_handle(connector_workflow_id(self.workspace_id))
        for _ in range(240):
            status = await self.status()
            if status.state is state:
                return status
            await handle.signal("look")
            await asyncio.sleep(0.25)
        raise AssertionError(f"is {status.state}: {status.reason}")

    async def test(self, **request: Any) -> TestReport:
        asked = {"send_to": "admin@example.com", "webhook_within_seconds": 10, **request}
        return await self.stage.admin.test(self.workspace_id, TestRequest.model_validate(asked))

    async def send(self) -> str:
        """The code that a send fails with; empty where Iterable has the message."""
        project = Project(self.stage, self.workspace_id, str(self.made["project_id"]), self.made["keys"], "", {})
        try:
            await send_accepted(self.stage.client, self.stage.settings.task_queue, project.request())
        except WorkflowUpdateFailedError as error:
            return str(getattr(error.cause, "type", error))
        return ""


@pytest.fixture
async def admin(the_stage: Stage) -> Admin:
    workspace_id = f"ws-{uuid.uuid4().hex[:8]}"
    answer = await the_stage.sandbox_http.post("/_sandbox/projects", json={"name": workspace_id})
    return Admin(the_stage, workspace_id, answer.raise_for_status().json())


def legs(report: TestReport) -> dict[str, Level]:
    return {leg.point: leg.level for leg in report.legs}


@pytest.mark.long
async def test_a_connectors_whole_life(admin: Admin) -> None:
    stage, workspace_id, key = admin.stage, admin.workspace_id, SecretStr(admin.made["keys"]["server"])
    assert await admin.send() == ErrorCode.CONNECTOR_NOT_INSTALLED
    with pytest.raises(AdminRefused) as refused:
        await stage.admin.install(workspace_id, admin.settings, SecretStr("dead".ljust(32, "0")))
    assert refused.value.code == ErrorCode.API_KEY_INVALID
    status = await admin.status()
    assert (status.state, status.refused) == (ConnectorState.VALIDATING, True)
    assert (status.reason or "").startswith("api_key_invalid: ")

    installed = await stage.admin.install(workspace_id, admin.settings, key)
    token = installed.webhook_token
    assert token is not None
    assert installed.status.state is ConnectorState.AWAITING_WEBHOOK
    assert not installed.status.refused
    assert "no webhook" in (installed.status.reason or "")
    report = await admin.test(webhook_within_seconds=1)
    assert not report.ok
    assert [point for point, level in legs(report).items() if level is not Level.OK] == ["webhook", "webhook came back"]
    assert "nothing came within 1 s" in report.legs[-1].found

    # Somebody creates the webhook in Iterable; its header is set for them.
    await admin.post("/webhooks", endpoint=f"{stage.endpoint_url}/webhooks/iterable/{workspace_id}", enabled=False)
    report = await admin.test()
    assert report.ok, report
    assert {"template", "preview", "campaign", "target", "webhook came back"} <= set(legs(report))
    assert all(leg.seconds is not None for leg in report.legs[-5:])
    assert (await admin.becomes(ConnectorState.ACTIVE)).reason is None

    # Changes: refused ones leave everything as it was.
    for refuse in (
        stage.admin.install(workspace_id, admin.settings.model_copy(update={"all_list_id": 7}), None),
        stage.admin.rotate_api_key(workspace_id, SecretStr("dead".ljust(32, "0"))),
    ):
        with pytest.raises(AdminRefused):
            await refuse
    assert (await admin.status()).settings == admin.settings
    assert await admin.send() == ""
    fresh = (await admin.post("/keys/server"))["keys"]["server"]
    await stage.admin.rotate_api_key(workspace_id, SecretStr(fresh))
    rotated = await stage.admin.rotate_webhook_token(workspace_id)
    assert rotated.rotated.webhook.level is Level.OK
    assert rotated.webhook_token != token
    await asyncio.sleep(3.2)  # until the old token has expired, and the endpoint has forgotten it
    assert (await admin.test()).ok
    path = f"/webhooks/iterable/{workspace_id}"
    assert (await stage.endpoint_http.post(path, json=[], headers={HEADER: token})).status_code == 401

    await stage.admin.pause(workspace_id)
    assert await admin.send() == ErrorCode.CONNECTOR_DISABLED
    await stage.admin.resume(workspace_id)
    assert await admin.send() == ""

    # Uninstalled and installed again, it finds its campaigns.
    campaigns = await _campaigns(stage, admin)
    await stage.admin.uninstall(workspace_id, UninstallRequest(wait_seconds=5))
    assert await admin.send() == ErrorCode.CONNECTOR_DISABLED
    ended = stage.client.get_workflow_handle(connector_workflow_id(workspace_id), result_type=ConnectorStatus)
    assert (await ended.result()).state is ConnectorState.UNINSTALLED
    async with stage.store.read() as tx:
        assert await tx.connectors.offered_key(workspace_id) is None  # the key is forgotten
        assert await tx.webhooks.token_hashes(workspace_id) == []
    again = await stage.admin.install(workspace_id, admin.settings, SecretStr(fresh))
    assert again.webhook_token is not None
    assert await admin.send() == ""
    assert await _campaigns(stage, admin) == campaigns

    # Uninstalled with its campaigns archived, it makes new ones.
    await stage.admin.uninstall(workspace_id, UninstallRequest(archive_campaigns=True, wait_seconds=5))
    ended = stage.client.get_workflow_handle(connector_workflow_id(workspace_id), result_type=ConnectorStatus)
    assert f"{len(campaigns)} campaigns were archived, 0 could not be" in ((await ended.result()).reason or "")
    await asyncio.sleep(1)  # states change some time after the call
    assert set((await _campaigns(stage, admin)).values()) == {"Archived"}
    await stage.admin.install(workspace_id, admin.settings, SecretStr(fresh))
    assert await admin.send() == ""
    assert "Running" in (await _campaigns(stage, admin)).values()


async def _campaigns(stage: Stage, admin: Admin) -> dict[int, str]:
    project = (await stage.sandbox_http.get(admin.sandbox)).raise_for_status().json()
    answer = await stage.sandbox_http.get(
        "/us/api/campaigns", params={"pageSize": 100}, headers={"Api-Key": project["keys"]["server"]}
    )
    return {one["id"]: one["campaignState"] for one in answer.raise_for_status().json()["campaigns"]}


@pytest.mark.timeout(400)
async def test_a_long_run_continues_as_new_and_loses_nothing_that_was_asked_of_it(admin: Admin) -> None:
    stage, workspace_id = admin.stage, admin.workspace_id
    await admin.post("/webhooks", endpoint=f"{stage.endpoint_url}/webhooks/iterable/{workspace_id}")
    await stage.admin.install(workspace_id, admin.settings, SecretStr(admin.made["keys"]["server"]))
    handle = stage.client.get_workflow_handle(connector_workflow_id(workspace_id))
    first = (await handle.describe()).run_id
    runs, answered, is_over = {first}, 0, False

    async def look() -> None:
        while not is_over:
            await handle.signal("look")
            await asyncio.sleep(0.2)

    async def change() -> None:
        nonlocal answered
        while not is_over:
            paused: ConnectorStatus = await handle.execute_update("pause", result_type=ConnectorStatus)
            assert paused.state is ConnectorState.PAUSED
            resumed: ConnectorStatus = await handle.execute_update("resume", result_type=ConnectorStatus)
            assert resumed.state is not ConnectorState.PAUSED
            answered += 2
            await asyncio.sleep(0.2)

    async with asyncio.timeout(380), asyncio.TaskGroup() as tasks:
        tasks.create_task(look())
        tasks.create_task(change())
        while len(runs) < 3:
            await asyncio.sleep(0.1)
            runs.add((await handle.describe()).run_id)
        is_over = True
    assert answered > 4
    await stage.admin.uninstall(workspace_id, UninstallRequest(wait_seconds=1))
    ended = stage.client.get_workflow_handle(connector_workflow_id(workspace_id), result_type=ConnectorStatus)
    assert (await ended.result()).state is ConnectorState.UNINSTALLED


async def test_what_is_asked_beside_an_uninstall_does_not_undo_it(admin: Admin) -> None:
    stage, workspace_id = admin.stage, admin.workspace_id
    await stage.admin.install(workspace_id, admin.settings, SecretStr(admin.made["keys"]["server"]))
    handle = stage.client.get_workflow_handle(connector_workflow_id(workspace_id), result_type=ConnectorStatus)
    asked = [
        handle.execute_update("uninstall", UninstallRequest(wait_seconds=0)),
        *(handle.execute_update("configure", admin.settings) for _ in range(3)),
        *(handle.execute_update("resume") for _ in range(3)),
    ]
    await asyncio.gather(*asked, return_exceptions=True)
    assert (await handle.result()).state is ConnectorState.UNINSTALLED
    assert await admin.send() == ErrorCode.CONNECTOR_DISABLED
    schedules = [one.id async for one in await stage.client.list_schedules()]
    assert not [one for one in schedules if workspace_id in one]


async def test_a_campaign_waits_until_somebody_presses_activate(admin: Admin) -> None:
    stage = admin.stage
    (await stage.sandbox_http.patch(admin.sandbox, json={"activation_enabled": False})).raise_for_status()
    installed = await stage.admin.install(admin.workspace_id, admin.settings, SecretStr(admin.made["keys"]["server"]))
    assert installed.status.state is ConnectorState.DEGRADED
    assert "press Activate" in (installed.status.reason or "")
    sending = asyncio.create_task(admin.send())
    await asyncio.sleep(7)  # beyond the polls that follow a refusal at once
    campaigns = await _campaigns(stage, admin)
    assert not sending.done()
    await admin.post(f"/campaigns/{next(iter(campaigns))}/activate")
    assert await sending == ""


@pytest.mark.parametrize("arguments", [[], [None], [{}], ["text"], [{"workspace_id": "other"}], [{}, {}]], ids=range(6))
async def test_a_run_started_with_nonsense_fails_with_a_code(the_stage: Stage, arguments: list[Any]) -> None:
    handle = await the_stage.client.start_workflow(
        INSTALL_WORKFLOW,
        args=arguments,
        id=connector_workflow_id(f"nonsense-{uuid.uuid4().hex[:8]}"),
        task_queue=the_stage.settings.task_queue,
    )
    with pytest.raises(WorkflowFailureError) as failed:
        await asyncio.wait_for(handle.result(), 60)
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == ErrorCode.REQUEST_INVALID


@pytest.mark.parametrize(
    ("update", "arguments"),
    [
        ("configure", []),
        ("configure", [{"data_center": "moon"}]),
        ("configure", [{}, {}]),
        ("test", [{"send_to": "nobody"}]),
        ("uninstall", [{"wait_seconds": -1}]),
        ("rotate_webhook_token", []),
        ("rotate_webhook_token", [{"token_hash": "0" * 64}]),
    ],
)
async def test_an_update_with_nonsense_is_refused_and_the_run_goes_on(
    project: Project, update: str, arguments: list[Any]
) -> None:
    handle = project.stage.client.get_workflow_handle(connector_workflow_id(project.workspace_id))
    with pytest.raises(WorkflowUpdateFailedError) as failed:
        await asyncio.wait_for(handle.execute_update(update, args=arguments), 60)
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == ErrorCode.REQUEST_INVALID
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    assert (await handle.query("status", result_type=ConnectorStatus)).settings is not None
