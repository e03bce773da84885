"""Faults, switched on while the sandbox runs. Over a real connection: test_connection.py."""

import asyncio

import httpx
import pytest

from tests.sandbox.conftest import Project, Sandbox

TARGET = "/api/email/target"


async def attempt(project: Project, campaign_id: int) -> httpx.Response:
    body = {"campaignId": campaign_id, "recipientEmail": "ann@example.com"}
    return await project.call("POST", TARGET, body=body, checked=False)


async def test_a_refusal_for_its_rate_takes_every_form(sandbox: Sandbox, project: Project) -> None:
    campaign_id = await project.campaign()
    await sandbox.fault(TARGET, "rate_limited", count=1)
    await sandbox.fault(TARGET, "rate_limited", count=1, retry_after=7)
    await sandbox.fault(TARGET, "rate_limited", count=1, plain_text=True)
    bare, with_wait, plain = [await attempt(project, campaign_id) for _ in range(3)]
    assert (bare.status_code, bare.json()["code"]) == (429, "RateLimitExceeded")
    assert "Retry-After" not in bare.headers
    assert with_wait.headers["Retry-After"] == "7"
    assert plain.text == "Rate limit exceeded. Please try again later."
    assert (await attempt(project, campaign_id)).status_code == 200
    assert len(await project.outbox()) == 1


@pytest.mark.parametrize(("kind", "taken"), [("error_before", 0), ("error_after", 1)])
async def test_an_error_comes_before_or_after_the_message_was_taken(
    sandbox: Sandbox, project: Project, kind: str, taken: int
) -> None:
    campaign_id = await project.campaign()
    await sandbox.fault(TARGET, kind, status=503)
    answer = await attempt(project, campaign_id)
    assert (answer.status_code, answer.json()["code"]) == (503, "GenericError")
    assert len(await project.outbox()) == taken


@pytest.mark.parametrize(("kind", "taken"), [("reset_before", 0), ("reset_after", 1)])
async def test_a_cut_is_an_error_of_the_transport(sandbox: Sandbox, project: Project, kind: str, taken: int) -> None:
    campaign_id = await project.campaign()
    await sandbox.fault(TARGET, kind)
    with pytest.raises(httpx.ReadError):
        await attempt(project, campaign_id)
    assert len(await project.outbox()) == taken


@pytest.mark.parametrize(("kind", "taken"), [("hang_before", 0), ("hang_after", 1)])
async def test_silence_is_a_timeout(sandbox: Sandbox, project: Project, kind: str, taken: int) -> None:
    campaign_id = await project.campaign()
    await sandbox.fault(TARGET, kind)
    with pytest.raises(httpx.ReadTimeout):
        await attempt(project, campaign_id)
    assert len(await project.outbox()) == taken


async def test_slowness_goes_together_with_what_comes_after_it(sandbox: Sandbox, project: Project) -> None:
    campaign_id = await project.campaign()
    await sandbox.fault(TARGET, "slow", seconds=3)
    await sandbox.fault(TARGET, "error_after")
    call = asyncio.ensure_future(attempt(project, campaign_id))
    await sandbox.clock.advance(2.9)
    assert not call.done()
    assert await project.outbox() == []
    await sandbox.clock.advance(0.2)
    assert (await call).status_code == 500
    assert len(await project.outbox()) == 1


async def test_a_fault_strikes_where_and_whom_it_is_meant_for(sandbox: Sandbox, project: Project) -> None:
    other = await sandbox.project(name="Other")
    await sandbox.fault("/api/users/{email}", "error_before", project_id=project.id, method="GET")
    await sandbox.fault("/api/users/bob@example.com", "error_before", status=504)
    for email, status in (("ann@example.com", 500), ("bob@example.com", 500)):
        assert (await project.call("GET", f"/api/users/{email}")).status_code == status
    assert (await other.call("GET", "/api/users/ann@example.com")).status_code == 200
    assert (await other.call("GET", "/api/users/bob@example.com")).status_code == 504
    assert (await project.call("DELETE", "/api/users/ann@example.com")).status_code == 400


async def test_a_rate_is_a_share_that_the_seed_fixes(sandbox: Sandbox, project: Project) -> None:
    await project.change(rate_limits={"GET /api/channels": None})
    runs: list[list[int]] = []
    for _ in range(2):
        fault_id = await sandbox.fault("*", "error_before", rate=0.3, seed=5)
        runs.append([(await project.call("GET", "/api/channels")).status_code for _ in range(100)])
        listed = (await sandbox.http.get("/_sandbox/faults")).json()["faults"]
        assert listed[0]["fired"] == runs[-1].count(500)
        assert (await sandbox.http.delete(f"/_sandbox/faults/{fault_id}")).status_code == 204
    assert runs[0] == runs[1]
    assert 15 < runs[0].count(500) < 45


async def test_faults_can_be_listed_and_switched_off(sandbox: Sandbox, project: Project) -> None:
    await sandbox.fault("/api/channels", "error_before")
    assert (await sandbox.http.delete("/_sandbox/faults")).status_code == 204
    assert (await sandbox.http.get("/_sandbox/faults")).json() == {"faults": []}
    assert (await project.call("GET", "/api/channels")).status_code == 200
    assert (await sandbox.http.delete("/_sandbox/faults/1")).status_code == 404
    wrong = await sandbox.http.post("/_sandbox/faults", json={"path": "*", "kind": "earthquake"})
    assert wrong.status_code == 400
