"""A connector's life as an admin types it: every command once, with its exit code and the words that help."""

import asyncio
import hashlib
import json
import re
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typer.testing import CliRunner

from cli import admin
from cli.main import app
from cli.output import FAILED, NOT_FOUND, OK, UNREACHABLE, USAGE, out
from cli.sending import start_send
from contracts.broadcast import BroadcastStatus
from contracts.names import broadcast_workflow_id
from contracts.send import Recipient, SendRequest
from store.broadcasts import total
from tests.stage import TEMPLATE, Project, Stage, served

pytestmark = pytest.mark.scenario

DEAD = "dead".ljust(32, "0")


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cell of a table is wrapped. Set on the console itself: where the environment had COLUMNS as it was made,
    as that of pytest's workers has, its width is fixed since then."""
    monkeypatch.setattr(out, "width", 2000)


class Terminal:
    """Where commands are typed."""

    def __init__(self, stage: Stage) -> None:
        self.environment = {
            "CONNECTOR_DATABASE_URL": stage.settings.database_url,
            "CONNECTOR_MASTER_KEY": stage.settings.master_key.get_secret_value() if stage.settings.master_key else "",
            "CONNECTOR_PUBLIC_URL": stage.endpoint_url,
            "CONNECTOR_ASSETS_STORE": stage.settings.assets_store,
            "CONNECTOR_ITERABLE_US_URL": stage.settings.iterable_us_url,
            "CONNECTOR_ITERABLE_EU_URL": stage.settings.iterable_eu_url,
            "TEMPORAL_ADDRESS": stage.client.service_client.config.target_host,
        }

    async def type(self, *words: str, given: str | None = None, ends: int = OK, **changed: str) -> str:
        """What a command printed, and what the workers of this process logged meanwhile; it must end with the code."""
        environment = {**self.environment, **changed}
        result = await asyncio.to_thread(CliRunner().invoke, app, words, given, environment)
        assert result.exit_code == ends, result.output
        assert not any(key in result.output for key in (given or "").split())
        return result.output


async def test_from_the_first_key_to_the_uninstall(the_stage: Stage) -> None:
    terminal, workspace = Terminal(the_stage), f"hand-{uuid.uuid4().hex[:8]}"
    made = (await the_stage.sandbox_http.post("/_sandbox/projects", json={})).raise_for_status().json()
    sandbox, key = f"/_sandbox/projects/{made['project_id']}", made["keys"]["server"]
    kinds = {kind["name"].lower(): str(kind["id"]) for kind in made["message_types"]}
    install = ("install", workspace, "--data-center", "us", "--default-from", "hello@acme.test")
    transactional = ("--transactional-message-type", kinds["transactional"])

    request = SendRequest(
        workspace_id=workspace,
        send_id="s1",
        stream="transactional",
        template=TEMPLATE,
        recipient=Recipient(user_id="u"),
    )
    file = the_stage.folder / f"{workspace}.json"
    file.write_text(request.model_dump_json())
    for words in (
        ("send", str(file)),
        ("preview", str(file)),
        ("suppressions", "push", workspace),
        ("broadcast", "retry", workspace, "b1"),
    ):
        assert "connector_not_installed" in await terminal.type(*words, ends=NOT_FOUND)
    assert "api_key_invalid" in await terminal.type(*install, *transactional, given=DEAD, ends=FAILED)
    told = await terminal.type("status", workspace)
    assert f"{workspace}: refused" in told
    assert "Nothing is in force" in told
    assert "connector install" in await terminal.type("pause", workspace, ends=NOT_FOUND)
    told = await terminal.type(*install, "--transactional-message-type", kinds["marketing"], given=key, ends=FAILED)
    assert f"{kinds['transactional']} (Transactional)" in told
    told = await terminal.type("install", workspace, "--data-center", "eu", *transactional, given=key, ends=FAILED)
    assert "belongs to the data center us" in told

    told = await terminal.type(*install, *transactional, given=key)
    assert "in force: awaiting_webhook" in told
    assert f"{the_stage.endpoint_url}/webhooks/iterable/{workspace}" in told
    assert "shown this once" in told
    assert f"connector test {workspace} --send-to ADDRESS" in await terminal.type("doctor", workspace, ends=FAILED)
    await _made(the_stage, f"{sandbox}/webhooks", endpoint=f"{the_stage.endpoint_url}/webhooks/iterable/{workspace}")
    told = await terminal.type("test", workspace, "--send-to", "open@example.com", "--wait", "10", "--json")
    report, _ = json.JSONDecoder().raw_decode(told, told.index("{\n"))
    assert [leg["level"] for leg in report["legs"] if leg["point"] == "webhook came back"] == ["ok"]

    assert "settle_for_seconds: 900 → 3" in await terminal.type("configure", workspace, "--set", "settle_for_seconds=3")
    assert "no list 7" in await terminal.type("configure", workspace, "--set", "all_list_id=7", ends=FAILED)
    told = await terminal.type("status", workspace)
    assert "hello@acme.test" in told  # what was not named stayed
    assert f"{workspace}: active" in told

    assert "paused" in await terminal.type("pause", workspace)
    assert f"connector resume {workspace}" in await terminal.type("doctor", workspace, ends=FAILED)
    assert "active" in await terminal.type("resume", workspace)
    assert await terminal.type("doctor", workspace)
    assert "were registered already" in await terminal.type("search-attributes")
    told = await terminal.type("search-attributes", ends=UNREACHABLE, TEMPORAL_NAMESPACE="nowhere")
    assert "Temporal refuses: NOT_FOUND. `connector doctor` tells more" in told
    assert "nothing is set aside" in await terminal.type("events", "replay", workspace, "--all")
    await terminal.type("events", "replay", workspace, "--id", "1", ends=NOT_FOUND)
    assert "configure WORKSPACE --set all_list_id" in await terminal.type(
        "suppressions", "push", workspace, ends=FAILED
    )
    assert "api_key_invalid" in await terminal.type("rotate", "key", workspace, given=DEAD, ends=FAILED)
    fresh = (await _made(the_stage, f"{sandbox}/keys/server"))["keys"]["server"]
    assert "delete the old one in Iterable" in await terminal.type("rotate", "key", workspace, given=fresh)
    assert "the old one is valid until" in await terminal.type("rotate", "webhook-token", workspace)
    told = await terminal.type("rotate", "master-key")
    assert re.search(r"schedules in Temporal: [1-9]\d* written anew", told)
    assert "older keys can go" in told

    told = await terminal.type("uninstall", workspace, "--archive-campaigns", "--wait", "--wait-seconds", "0")
    assert "were archived" in told
    assert "were archived" in await terminal.type("status", workspace)  # and stays to be read
    await terminal.type("uninstall", workspace, ends=NOT_FOUND)
    assert "uninstalled" in await terminal.type("doctor", workspace)


async def test_a_broadcast_from_a_file(project: Project) -> None:
    terminal, broadcast_id = Terminal(project.stage), f"brc-{uuid.uuid4().hex[:8]}"
    request = {"workspace_id": project.workspace_id, "broadcast_id": broadcast_id}
    request |= {"template": TEMPLATE.model_dump(mode="json")}
    file, rows = (project.stage.folder / f"{broadcast_id}.{kind}" for kind in ("json", "csv"))
    file.write_text(json.dumps(request))
    rows.write_text("email,first_name\n" + "".join(f"sent+{n}@example.com,P{n}\n" for n in range(20)) + "nonsense,X\n")
    run, audience = ("broadcast", "run", str(file)), ("--audience", str(rows))
    assert "an audience is needed" in await terminal.type(*run, ends=USAGE)
    assert "request_invalid" in await terminal.type("broadcast", "run", str(rows), *audience, ends=USAGE)
    told = await terminal.type(*run, *audience, "--dry-run")
    assert "would be targeted: 20" in told
    assert "bad row 21: recipient.email: " in told
    assert (await project.counts())["messages"] == 0
    name = (project.workspace_id, broadcast_id)
    for steer in ("pause", "retry"):  # neither takes the id from the broadcast that is yet to come
        assert "has no broadcast" in await terminal.type("broadcast", steer, *name, ends=NOT_FOUND)
    told = await terminal.type(*run, *audience)
    assert "completed" in told
    assert "--status bad" in told
    assert (await project.counts())["messages"] == 20
    assert "started before" in await terminal.type(*run, *audience, ends=FAILED)
    assert "completed" in await terminal.type("broadcast", "watch", *name)
    assert "recipient.email" in await terminal.type("broadcast", "recipients", *name, "--status", "bad")
    for steer in (("pause",), ("resume",), ("cancel",), ("set-rate", "5")):
        told = await terminal.type("broadcast", steer[0], *name, *steer[1:], ends=FAILED)
        assert "has ended: completed" in told
    assert "nothing to retry" in await terminal.type("broadcast", "retry", *name)


AUDIENCE = 400
"""At twenty a second that is long enough for some commands in between."""


async def test_a_send_under_way_tells_what_it_waits_for(project: Project) -> None:
    terminal, request = Terminal(project.stage), project.request()
    send = ("status", project.workspace_id, request.send_id)
    await project.fault("/api/email/target", "rate_limited", retry_after=20)
    run = await start_send(project.stage.client, project.stage.settings.task_queue, request)
    async with asyncio.timeout(60):
        while [one.attempt for one in (await run.describe()).raw_description.pending_activities] != [2]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    told = await terminal.type(*send)
    assert "under way: target_recipient, attempt 2; the last one failed with rate_limited: " in told
    assert "Temporal does not answer" in await terminal.type(*send, TEMPORAL_ADDRESS="127.0.0.1:1")
    await run.terminate()
    assert "its run is over: terminated" in await terminal.type(*send)


@dataclass
class Bucket:
    """Files behind URLs that are good while they have the signature of the day."""

    files: dict[str, bytes]
    signature: str = "first"

    def __post_init__(self) -> None:
        self.app = Starlette(routes=[Route("/{name}", self._give)])

    async def _give(self, request: Request) -> Response:
        if request.query_params.get("signature") != self.signature:
            return Response(status_code=403)
        content = self.files[request.path_params["name"]]
        return Response(content, headers={"ETag": hashlib.sha256(content).hexdigest()})


def _people(count: int) -> str:
    return "email,first_name\n" + "".join(f"sent+{n}@example.com,P{n}\n" for n in range(count))


async def _begun(project: Project, audience: str) -> str:
    """A broadcast that has reached some twenty people and goes on slowly; its id. Answers are lost meanwhile."""
    broadcast_id = f"brc-{uuid.uuid4().hex[:8]}"
    request = {"workspace_id": project.workspace_id, "broadcast_id": broadcast_id, "rate": 20}
    file = project.stage.folder / f"{broadcast_id}.json"
    file.write_text(json.dumps(request | {"template": TEMPLATE.model_dump(mode="json")}))
    await project.fault("/api/email/target", "error_after", count=2)
    words = ("broadcast", "run", str(file), "--audience", audience, "--no-wait")
    assert "started" in await Terminal(project.stage).type(*words)
    async with asyncio.timeout(90):
        while (await project.counts())["messages"] < 20:  # noqa: ASYNC110 - another process counts
            await asyncio.sleep(0.05)
    return broadcast_id


async def _reached(project: Project) -> Counter[str]:
    return Counter(message["email"] for message in await project.outbox())


async def test_a_broadcast_whose_run_was_terminated_is_taken_up(project: Project) -> None:
    terminal, rows = Terminal(project.stage), project.stage.folder / f"{uuid.uuid4().hex}.csv"
    rows.write_text(_people(AUDIENCE))
    name = (project.workspace_id, await _begun(project, str(rows)))
    run = project.stage.client.get_workflow_handle(broadcast_workflow_id(*name))
    await run.terminate()
    for steer in ("pause", "retry"):
        assert "`connector broadcast resume` takes it up" in await terminal.type("broadcast", steer, *name, ends=FAILED)
    await terminal.type("pause", project.workspace_id)
    assert "connector_disabled" in await terminal.type("broadcast", "resume", *name, ends=FAILED)
    await terminal.type("resume", project.workspace_id)
    assert len(await _reached(project)) < AUDIENCE
    assert "sending" in await terminal.type("broadcast", "resume", *name)
    await terminal.type("broadcast", "set-rate", *name)
    assert "completed" in await terminal.type("broadcast", "watch", *name)
    assert await _reached(project) == {f"sent+{n}@example.com": 1 for n in range(AUDIENCE)}
    assert "has ended: completed" in await terminal.type("broadcast", "resume", *name, ends=FAILED)

    async with project.stage.store.begin() as tx:  # as a backup has it
        await tx.broadcasts.take_over(*name, "a run")
        await tx.broadcasts.show(*name, BroadcastStatus.SENDING, None)
    assert "ended by itself" in await terminal.type("broadcast", "resume", *name, ends=FAILED)


async def test_a_broadcast_whose_run_was_terminated_is_cancelled_and_not_taken_up(project: Project) -> None:
    terminal, rows = Terminal(project.stage), project.stage.folder / f"{uuid.uuid4().hex}.csv"
    rows.write_text(_people(AUDIENCE))
    name = (project.workspace_id, await _begun(project, str(rows)))
    await project.stage.client.get_workflow_handle(broadcast_workflow_id(*name)).terminate()
    assert "being cancelled" in await terminal.type("broadcast", "cancel", *name)
    assert "cancelled" in await terminal.type("broadcast", "watch", *name)
    reached = await _reached(project)
    assert len(reached) < AUDIENCE
    assert set(reached.values()) == {1}
    async with project.stage.store.read() as tx:
        tally = total((await tx.broadcasts.lanes(*name)).values())
    assert tally.taken + sum(tally.failed.values()) == len(reached)


@pytest.mark.parametrize("is_lost", [False, True])
async def test_a_broadcast_whose_signed_url_expired_is_read_on_under_a_fresh_one(
    project: Project, *, is_lost: bool
) -> None:
    terminal = Terminal(project.stage)
    bucket = Bucket({"people.csv": _people(AUDIENCE).encode(), "others.csv": _people(AUDIENCE + 1).encode()})
    async with served(bucket.app) as url:
        name = (project.workspace_id, await _begun(project, f"{url}/people.csv?signature=first"))
        bucket.signature = "second"
        if is_lost:
            run = project.stage.client.get_workflow_handle(broadcast_workflow_id(*name))
            await run.terminate()
        else:
            await _paused(project, *name)
        resume = ("broadcast", "resume", *name, "--audience")
        for audience, problem in {
            f"{url}/others.csv?signature=second": "is another one than was begun with",
            f"{url}/people.csv?signature=first": "does not let this worker read it",
            f"{url}/people.csv?signature=": "does not let this worker read it",
            "http://127.0.0.1:1/people.csv?signature=second": "does not answer",
        }.items():
            told = await terminal.type(*resume, audience, ends=FAILED)
            assert problem in told
            assert "signature" not in told
        assert len(await _reached(project)) < AUDIENCE
        assert "sending" in await terminal.type(*resume, f"{url}/people.csv?signature=second")
        await terminal.type("broadcast", "set-rate", *name)
        assert "completed" in await terminal.type("broadcast", "watch", *name)
    assert await _reached(project) == {f"sent+{n}@example.com": 1 for n in range(AUDIENCE)}


async def _paused(project: Project, workspace: str, broadcast_id: str) -> None:
    url = f"/v1/workspaces/{workspace}/broadcasts/{broadcast_id}"
    async with asyncio.timeout(90):
        while True:
            answer = await project.stage.endpoint_http.get(url, headers={"Authorization": "Bearer admin-token"})
            if answer.json()["status"] == "paused":
                break
            await asyncio.sleep(0.1)
    assert answer.json()["reason"] == "audience_unavailable"


async def test_a_broadcast_that_reaches_nobody(project: Project) -> None:
    terminal, broadcast_id = Terminal(project.stage), f"brc-{uuid.uuid4().hex[:8]}"
    request = {"workspace_id": project.workspace_id, "template": TEMPLATE.model_dump(mode="json")}
    request |= {"audience": {"recipients": [{"recipient": {"email": "nonsense"}}]}}
    file = project.stage.folder / f"{broadcast_id}.json"
    file.write_text(json.dumps(request | {"broadcast_id": broadcast_id}))
    told = await terminal.type("broadcast", "run", str(file), ends=FAILED)
    assert "under another broadcast_id" in told
    later, name = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}", f"{broadcast_id}-later"
    file.write_text(json.dumps(request | {"broadcast_id": name, "send_at": later}))
    await terminal.type("broadcast", "run", str(file), "--no-wait")
    assert "paused" in await terminal.type("broadcast", "pause", project.workspace_id, name)
    assert "cancelled" in await terminal.type("broadcast", "cancel", project.workspace_id, name)


async def test_a_send_that_cannot_be(project: Project) -> None:
    terminal, send_id = Terminal(project.stage), f"snd-{uuid.uuid4().hex[:8]}"
    request = {"workspace_id": project.workspace_id, "send_id": send_id, "stream": "transactional"}
    request |= {"recipient": {"email": "sent@example.com"}}
    file = project.stage.folder / f"{send_id}.json"
    large = TEMPLATE.model_copy(update={"html": "x" * 2_000_000}).model_dump(mode="json")
    file.write_text(json.dumps(request | {"template": large}))
    for command in ("send", "preview"):
        told = await terminal.type(command, str(file), ends=FAILED)
        assert "template_too_large" in told
        assert "template_ref" in told
    file.write_text(json.dumps(request | {"template_ref": "0" * 64}))
    assert "template_unknown" in await terminal.type("send", str(file), ends=FAILED)
    told = await terminal.type("send", str(file), ends=FAILED)
    assert "started before" in told
    assert "template_unknown" in told
    told = await terminal.type("status", project.workspace_id, send_id, ends=NOT_FOUND)
    assert f"iterable/{project.workspace_id}/send/{send_id}" in told


async def test_a_back_fill_says_what_it_waits_for(project: Project) -> None:
    yesterday = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
    backfill = ("events", "backfill", project.workspace_id, "--event", "emailSend", "--from", yesterday)
    told = await Terminal(project.stage).type(*backfill, "--to", f"{yesterday}T12:00:00")
    assert "it takes some 1 min; Ctrl-C leaves it running" in told
    assert "0 read" in told


async def test_nobody_there_to_do_it(the_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "_SOON_SECONDS", 0.2)
    terminal = Terminal(the_stage)
    install = ("install", f"hand-{uuid.uuid4().hex[:8]}", "--data-center", "us", "--transactional-message-type", "1")
    told = await terminal.type(*install, given="k" * 32, ends=UNREACHABLE, CONNECTOR_TASK_QUEUE="nobody")
    assert "No worker polls the task queue 'nobody'" in told
    assert "python -m worker" in told
    assert "install again" in told
    assert "Temporal does not answer" in await terminal.type(
        *install, given="k" * 32, ends=UNREACHABLE, TEMPORAL_ADDRESS="127.0.0.1:1"
    )


async def _made(stage: Stage, path: str, **body: Any) -> dict[str, Any]:
    return (await stage.sandbox_http.post(path, json=body)).raise_for_status().json()
