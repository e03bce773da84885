"""Dry runs: checked and rendered by Iterable, and nothing goes out or stays."""

from typing import Any

import pytest
from sqlalchemy import func, select

from cli.sending import send_accepted, start_send
from contracts.send import SendRequest, SendResult, SendStatus
from store.tables import send
from tests.stage import TEMPLATE, Project

pytestmark = pytest.mark.scenario


async def tried(project: Project, request: SendRequest) -> SendResult:
    return await send_accepted(project.stage.client, project.stage.settings.task_queue, request)


async def shown(project: Project, send_id: str) -> dict[str, Any]:
    answer = await project.stage.endpoint_http.get(
        f"/v1/workspaces/{project.workspace_id}/previews/{send_id}", headers={"Authorization": "Bearer admin-token"}
    )
    return answer.raise_for_status().json()


async def templates(project: Project) -> int:
    answer = await project.stage.sandbox_http.get(
        f"{project.stage.sandbox_url}/us/api/templates", headers={"Api-Key": project.keys["server"]}
    )
    return answer.raise_for_status().json()["totalTemplatesCount"]


async def test_a_dry_run_of_new_content_leaves_nothing_behind(project: Project) -> None:
    request = project.request(dry_run=True)
    result = await tried(project, request)
    assert (result.status, result.reason, result.warnings) == (SendStatus.SKIPPED, "dry_run", [])
    assert result.preview is not None
    assert (result.preview.rendered_by_iterable, result.preview.differences) == (True, 0)
    assert "Ann" not in result.model_dump_json()
    made = await shown(project, request.send_id)
    assert made["html"] == "<html><body><p>Hi Ann, order 7</p></body></html>"
    assert (made["local"]["subject"], made["differences"], made["temporary_template"]) == ("Hi Ann", [], True)
    counts = await project.counts()
    assert (counts["campaigns"], await project.outbox(), await templates(project)) == (0, [], 0)
    async with project.stage.store.read() as tx:
        rows = select(func.count()).select_from(send).where(send.c.workspace_id == project.workspace_id)
        assert await tx.sends._connection.scalar(rows) == 0


async def test_a_dry_run_of_known_content_uses_its_template(project: Project) -> None:
    handle = await start_send(project.stage.client, project.stage.settings.task_queue, project.request())
    await handle.result()
    before = await templates(project)
    request = project.request(dry_run=True, data={"first_name": "<Bo>", "order": {"number": 8}})
    result = await tried(project, request)
    assert result.preview is not None
    made = await shown(project, request.send_id)
    assert (made["temporary_template"], "&lt;Bo&gt;, order 8" in made["html"]) == (False, True)
    assert (len(await project.outbox()), await templates(project)) == (1, before)


async def test_without_leave_to_make_a_template_it_is_rendered_here_only(project: Project) -> None:
    stage = project.stage
    strict = await stage.new_project(settings={"preview_templates": False})
    request = strict.request(dry_run=True)
    result = await tried(strict, request)
    assert result.preview is not None
    assert (result.preview.rendered_by_iterable, result.preview.differences) == (False, None)
    assert "preview_templates" in result.preview.problems[0]
    assert (await shown(strict, request.send_id))["local"]["html"].startswith("<html>")
    assert (await strict.counts())["templates"] == 0


async def test_what_iterable_refuses_to_render_is_told_and_cleared_away(project: Project) -> None:
    html = "<p>{{notAHelper first_name}}</p>"
    result = await tried(project, project.request(dry_run=True, template={**TEMPLATE.model_dump(), "html": html}))
    assert result.preview is not None
    assert not result.preview.rendered_by_iterable
    assert any("refused to render" in problem for problem in result.preview.problems)
    assert await templates(project) == 0
