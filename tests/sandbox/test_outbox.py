"""The outbox: every message as it was rendered, for programs and for people."""

import httpx

from sandbox.app import create_app
from sandbox.clock import ManualClock
from sandbox.settings import SandboxSettings
from tests.sandbox.conftest import Project, Receiver, Sandbox


async def test_a_message_shows_everything_about_itself(sandbox: Sandbox, project: Project) -> None:
    campaign_id = await project.campaign(preheaderText="Pre", fromName="Acme", replyToEmail="re@acme.test")
    await project.target(campaign_id, dataFields={"first_name": "Ann"}, metadata={"m": 1})
    (message,) = await project.outbox()
    assert message["project_id"] == project.id
    assert message["campaignId"] == campaign_id
    assert (message["email"], message["userId"]) == ("ann@example.com", None)
    assert (message["subject"], message["preheader"]) == ("Hi Ann", "Pre")
    assert (message["from_email"], message["from_name"]) == ("hello@acme.test", "Acme")
    assert message["reply_to"] == "re@acme.test"
    assert "Hi Ann" in message["html"]
    assert (message["dataFields"], message["metadata"]) == ({"first_name": "Ann"}, {"m": 1})
    assert (message["status"], message["events"]) == ("sent", ["emailSend"])
    one = await sandbox.http.get(f"/_sandbox/outbox/{message['messageId']}")
    assert one.json() == message
    assert (await sandbox.http.get("/_sandbox/outbox/none")).status_code == 404


async def test_messages_can_be_chosen(sandbox: Sandbox, project: Project) -> None:
    other = await sandbox.project(name="Other")
    first, second = await project.campaign("a"), await project.campaign("b")
    await other.target(await other.campaign())
    await project.target(first)
    await project.target(second, "Bob@example.com")
    await project.target(second)
    messages = await project.outbox()
    assert [one["campaignId"] for one in messages] == [second, second, first]
    assert len(await project.outbox(to="bob@example.com")) == 1
    assert len(await project.outbox(campaign_id=second)) == 2
    assert len(await project.outbox(after=messages[1]["messageId"])) == 1
    everything = (await sandbox.http.get("/_sandbox/outbox", params={"to": "ann@example.com", "limit": 2})).json()
    assert (everything["total"], len(everything["messages"])) == (3, 2)


async def test_it_can_be_emptied_for_one_project(sandbox: Sandbox, project: Project) -> None:
    other = await sandbox.project(name="Other")
    await other.target(await other.campaign())
    await project.target(await project.campaign())
    answer = await sandbox.http.delete("/_sandbox/outbox", params={"project_id": project.id})
    assert answer.json() == {"deleted": 1}
    assert await project.outbox() == []
    assert len(await other.outbox()) == 1
    await sandbox.http.delete("/_sandbox/outbox")
    assert await other.outbox() == []


async def test_people_see_a_list_and_a_message_in_which_nothing_runs(sandbox: Sandbox, project: Project) -> None:
    html = "<script>alert(1)</script><p>Hello</p>"
    await project.target(await project.campaign(subject="<b>{{first_name}}</b>", html=html))
    await project.target(await project.campaign("b"), "skip-emptycontent@x.test")
    page = {"Accept": "text/html,*/*"}
    listed = await sandbox.http.get("/_sandbox/outbox", headers=page)
    assert listed.headers["Content-Type"].startswith("text/html")
    assert "skipped: EmptyContent" in listed.text
    assert "<b></b>" not in listed.text
    message_id = (await project.outbox())[1]["messageId"]
    shown = await sandbox.http.get(f"/_sandbox/outbox/{message_id}", headers=page)
    assert "<iframe sandbox " in shown.text
    assert "<script>" not in shown.text
    frame = await sandbox.http.get(f"/_sandbox/outbox/{message_id}/html")
    assert frame.text == html
    assert frame.headers["Content-Security-Policy"].startswith("sandbox;")


async def test_memory_is_bounded_the_oldest_going_first() -> None:
    app = create_app(SandboxSettings(clock=ManualClock(), messages_kept=5, bodies_kept=2, events_kept=4))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sandbox.test") as http:
        clock = app.state.world.clock
        project = await Sandbox(http, clock, Receiver()).project()
        campaign_id = await project.campaign()
        for number in range(8):
            await project.target(campaign_id, f"p{number}@example.com")
        messages = await project.outbox()
        assert [one["email"] for one in messages] == [f"p{number}@example.com" for number in range(7, 2, -1)]
        assert [one["html"] is not None for one in messages] == [True, True, False, False, False]
        assert await project.outbox(to="p0@example.com") == []
        await clock.advance(5)
        assert (await project.counts())["events"] == 4
        assert await project.get("/api/events/p3@example.com") == {"events": []}
        assert len((await project.get("/api/events/p4@example.com"))["events"]) == 1
    await app.state.world.close()
