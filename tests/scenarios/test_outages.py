"""What sends live through."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url
from temporalio.client import WorkflowExecutionStatus

from cli.sending import start_send
from contracts.connector import ConnectorState, ConnectorStatus
from contracts.names import connector_workflow_id
from contracts.send import SendResult, SendStatus
from sandbox.clock import SystemClock
from sandbox.settings import SandboxSettings
from store.sends import TAKEN
from tests.postgres import NoPostgres, Postgres, postgres
from tests.stage import Project, Stage, stage

pytestmark = pytest.mark.scenario


async def start(project: Project, **changes: Any) -> Any:
    stage = project.stage
    return await start_send(stage.client, stage.settings.task_queue, project.request(**changes))


async def settled(project: Project, **changes: Any) -> SendResult:
    return await (await start(project, **changes)).result()


async def no_faults(project: Project) -> None:
    (await project.stage.sandbox_http.delete("/_sandbox/faults")).raise_for_status()


async def test_iterable_is_away_for_longer_than_the_reconcile_window(the_stage: Stage) -> None:
    project = await the_stage.new_project(settings={"reconcile_within_seconds": 2})
    await settled(project, email="first@example.com")
    await project.fault("*", "error_before", status=503)
    handles = [await start(project, email=f"person{number}@example.com") for number in range(5)]
    await asyncio.sleep(6)
    for handle in handles:
        assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    await no_faults(project)
    results = await asyncio.gather(*(handle.result() for handle in handles))
    assert {result.status for result in results} == {SendStatus.SENT}
    assert (await project.counts())["messages"] == 6


async def test_a_new_content_while_iterable_is_away(the_stage: Stage, project: Project) -> None:
    await project.fault("*", "reset_before")
    handle = await start(project)
    await asyncio.sleep(4)
    await no_faults(project)
    assert (await handle.result()).status is SendStatus.SENT
    counts = await project.counts()
    assert (counts["templates_written"], counts["campaigns"], counts["messages"]) == (1, 1, 1)


async def _why_degraded(project: Project) -> str:
    connector = project.stage.client.get_workflow_handle(connector_workflow_id(project.workspace_id))
    for _ in range(240):
        status = await connector.query("status", result_type=ConnectorStatus)
        if status.state is ConnectorState.DEGRADED:
            return status.reason or ""
        await asyncio.sleep(0.25)
    raise AssertionError(f"is {status.state}")


async def test_a_key_that_is_revoked_and_replaced_in_mid_flight(the_stage: Stage, project: Project) -> None:
    await settled(project, email="first@example.com")
    path = f"/_sandbox/projects/{project.project_id}/keys/server"
    replaced = (await the_stage.sandbox_http.post(path)).raise_for_status().json()
    handle = await start(project)
    assert "refused" in await _why_degraded(project)  # told at once, not at the next look in a quarter of an hour
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING  # waits, and says why
    await the_stage.admin.rotate_api_key(project.workspace_id, SecretStr(replaced["keys"]["server"]))
    assert (await handle.result()).status is SendStatus.SENT
    assert (await project.counts())["messages"] == 2


async def test_a_revoked_key_fails_sends_at_once_where_the_connector_says_so(the_stage: Stage) -> None:
    project = await the_stage.new_project(settings={"on_key_refused": "fail"})
    await settled(project, email="first@example.com")
    await the_stage.sandbox_http.post(f"/_sandbox/projects/{project.project_id}/keys/server")
    handle = await start(project)
    with pytest.raises(Exception, match="Workflow execution failed") as failed:
        await handle.result()
    assert "api_key_invalid" in str(failed.value.__cause__)


async def test_a_database_that_is_locked_for_a_while(the_stage: Stage, project: Project) -> None:
    await settled(project, email="first@example.com")
    url = make_url(the_stage.settings.database_url)

    def hold() -> None:
        with ExitStack() as stack:
            if url.get_backend_name() == "sqlite":
                file = stack.enter_context(closing(sqlite3.connect(url.database or "", isolation_level=None)))
                file.execute("BEGIN IMMEDIATE")
            else:
                server = stack.enter_context(psycopg.connect(url.set(drivername="postgresql").render_as_string()))
                server.execute("LOCK TABLE send, attempt, shadow IN ACCESS EXCLUSIVE MODE")
            time.sleep(12)  # longer than a transaction waits for the lock

    held = asyncio.create_task(asyncio.to_thread(hold))
    handles = [await start(project, email=f"person{number}@example.com") for number in range(5)]
    await held
    results = await asyncio.gather(*(handle.result() for handle in handles))
    assert {result.status for result in results} == {SendStatus.SENT}
    assert (await project.counts())["messages"] == 6


async def test_a_database_that_is_restarted_and_then_locked_while_requests_are_under_way(tmp_path: Path) -> None:
    with a_postgres() as server:
        url = server.create("connector")

        def lock() -> None:
            with psycopg.connect(url.replace("+psycopg", "")) as connection:
                connection.execute(
                    "LOCK TABLE send IN ACCESS EXCLUSIVE MODE"
                )  # one: a second could wait for who waits for it
                time.sleep(2)

        async with stage(tmp_path, database_url=url) as built:
            project = await built.new_project(settings={"settle_for_seconds": 0})
            await settled(project, email="first@example.com")
            await project.fault("/api/email/target", "slow", seconds=1)
            handles = [await start(project, email=f"restart{number}@example.com") for number in range(5)]
            while (await project.counts())["requests"]["POST /api/email/target"] < 6:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await asyncio.to_thread(server.restart)
            locked = asyncio.create_task(asyncio.to_thread(lock))
            handles += [await start(project, email=f"lock{number}@example.com") for number in range(5)]
            await locked
            results = await asyncio.gather(*(handle.result() for handle in handles))
            assert {result.status for result in results} == {SendStatus.SENT}
            assert (await project.counts())["messages"] == 11


@contextmanager
def a_postgres() -> Iterator[Postgres]:
    """One that may be broken, and keeps what was committed."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(postgres(durable=True))
        except NoPostgres as error:
            pytest.skip(f"no PostgreSQL: {error}")
        yield server


async def test_a_worker_that_is_told_to_stop_lets_a_target_finish(tmp_path: Path) -> None:
    async with stage(tmp_path) as built:
        project = await built.new_project()
        await settled(project, email="first@example.com")
        await project.fault("/api/email/target", "slow", seconds=3)
        request = project.request()
        await start_send(built.client, built.settings.task_queue, request)
        while (await project.counts())["requests"].get("POST /api/email/target", 0) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    with sqlite3.connect(tmp_path / "connector.db") as database:  # the stage and its workers are gone
        ends = database.execute('SELECT "end" FROM attempt WHERE send_id = ?', [request.send_id]).fetchall()
    database.close()
    assert ends == [(TAKEN,)]


class SkewedClock(SystemClock):
    """A clock that is wrong by some seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def now(self) -> float:
        return super().now() + self._seconds


@pytest.fixture(scope="module", params=[-240, 240], ids=["Iterable is behind", "Iterable is ahead"])
async def skewed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stage]:
    settings = SandboxSettings(clock=SkewedClock(request.param))
    async with stage(tmp_path_factory.mktemp("skewed"), settings) as built:
        yield built


@pytest.mark.parametrize("kind", ["error_after", "error_before"])
async def test_lost_answers_are_found_out_although_the_clocks_differ(skewed: Stage, kind: str) -> None:
    project = await skewed.new_project(settings={"confirm_within_seconds": 2})
    await project.deliver(drop=1.0)
    await settled(project, email="first@example.com")
    await project.fault("/api/email/target", kind, count=1)
    handle = await start(project)
    assert (await handle.result()).status is SendStatus.SENT  # Iterable was asked, since no webhook came
    assert (await project.counts())["messages"] == 2
