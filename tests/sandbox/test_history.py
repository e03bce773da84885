"""Finding out what happened: events of a person, messages sent, the export."""

from typing import Any

import orjson

from tests.sandbox.conftest import Project, Sandbox


async def lines(project: Project, **query: Any) -> list[dict[str, Any]]:
    answer = await project.call("GET", "/api/export/data.json", query=query)
    assert answer.status_code == 200, answer.text
    return [orjson.loads(line) for line in answer.text.splitlines()]


async def test_events_of_a_person_show_after_a_few_seconds_newest_first(sandbox: Sandbox) -> None:
    project = await sandbox.project(lags={"events": 5})
    campaign_id = await project.campaign()
    await project.target(campaign_id, "open@x.test", dataFields={"secret": 1})
    assert await project.get("/api/events/open@x.test") == {"events": []}
    await sandbox.clock.advance(10)
    opened, sent = (await project.get("/api/events/open@x.test"))["events"]
    assert (opened["eventType"], sent["eventType"]) == ("emailOpen", "emailSend")
    assert sent["campaignId"] == campaign_id
    assert sent["messageId"] == (await project.outbox())[0]["messageId"]
    assert "transactionalData" not in sent
    assert len((await project.get("/api/events/open@x.test", limit=1))["events"]) == 1
    too_many = await project.call("GET", "/api/events/open@x.test", query={"limit": 201})
    assert too_many.status_code == 400


async def test_skips_and_bounces_are_told_in_full(sandbox: Sandbox, project: Project) -> None:
    campaign_id = await project.campaign()
    for email in ("skip-emptycontent@x.test", "hard-bounce@x.test"):
        await project.target(campaign_id, email)
    await sandbox.clock.advance(5)
    (skip,) = (await project.get("/api/events/skip-emptycontent@x.test"))["events"]
    assert (skip["eventType"], skip["reason"], skip["campaignName"]) == ("emailSendSkip", "EmptyContent", "Welcome")
    _, bounce, _ = (await project.get("/api/events/hard-bounce@x.test"))["events"]
    assert (bounce["recipientState"], bounce["status"]) == ("HardBounce", "5.1.1")


async def test_events_go_by_user_id_too(sandbox: Sandbox) -> None:
    project = await sandbox.project(type="userid", events_carry_transactional_data=True)
    campaign_id = await project.campaign()
    await project.post("/api/users/update", userId="u/1", email="ann@example.com")
    await sandbox.clock.advance(1)
    await project.post("/api/email/target", campaignId=campaign_id, recipientUserId="u/1", dataFields={"a": 1})
    await sandbox.clock.advance(1)
    answer = await project.call("GET", "/api/events/byUserId/u/1", checked=False)
    (event,) = answer.json()["events"]
    assert (event["userId"], event["transactionalData"]) == ("u/1", {"a": 1})


async def test_sent_messages_tell_ids_and_times_and_nothing_of_the_request(sandbox: Sandbox, project: Project) -> None:
    first = await project.campaign("a")
    second = await project.campaign("b")
    await project.target(first, dataFields={"secret": 1}, metadata={"secret": 1})
    await sandbox.clock.advance(10)
    await project.target(second)
    await project.target(second, "skip-emptycontent@x.test")
    await project.target(second, sendAt="2026-02-01 00:00:00")
    await sandbox.clock.advance(10)
    newest, oldest = (await project.get("/api/users/getSentMessages", email="ann@example.com"))["messages"]
    assert (newest["campaignId"], oldest["campaignId"]) == (second, first)
    assert set(oldest) == {"messageId", "campaignId", "templateId", "createdAt"}
    await sandbox.clock.advance(10)
    only = await project.get("/api/users/getSentMessages", email="ann@example.com", campaignIds=[first, 1])
    assert [one["messageId"] for one in only["messages"]] == [oldest["messageId"]]
    since = await project.get(
        "/api/users/getSentMessages", email="ann@example.com", startDateTime=newest["createdAt"], limit=5
    )
    assert [one["messageId"] for one in since["messages"]] == [newest["messageId"]]
    assert await project.get(
        "/api/users/getSentMessages", email="ann@example.com", endDateTime=oldest["createdAt"]
    ) == {"messages": []}
    await sandbox.clock.advance(10)
    assert await project.get("/api/users/getSentMessages", email="skip-emptycontent@x.test") == {"messages": []}
    nobody = await project.call("GET", "/api/users/getSentMessages", query={})
    assert nobody.status_code == 400


async def test_an_export_is_one_object_a_line_with_transactional_data_as_text(
    sandbox: Sandbox, project: Project
) -> None:
    campaign_id = await project.campaign()
    await project.target(campaign_id, dataFields={"genieos": {"send": "s1"}})
    await project.target(campaign_id, "skip-emptycontent@x.test", dataFields={"genieos": {"send": "s2"}})
    await sandbox.clock.advance(5)
    (sent,) = await lines(project, dataTypeName="emailSend", range="All")
    assert orjson.loads(sent["transactionalData"]) == {"genieos": {"send": "s1"}}
    (skipped,) = await lines(project, dataTypeName="emailSendSkip", campaignId=campaign_id)
    assert orjson.loads(skipped["transactionalData"]) == {"genieos": {"send": "s2"}}
    narrow = await lines(project, dataTypeName="emailSend", onlyFields=["email", "messageId"])
    assert set(narrow[0]) == {"email", "messageId"}


async def test_an_export_covers_the_span_that_was_asked_for(sandbox: Sandbox, project: Project) -> None:
    await project.change(rate_limits={"GET /api/export/data.json": None})
    campaign_id = await project.campaign()
    await project.target(campaign_id)
    sent_at = (await project.outbox())[0]["sentAt"]
    await sandbox.clock.advance(86_400)
    counts = {span: len(await lines(project, dataTypeName="emailSend", range=span)) for span in
              ("Today", "Yesterday", "BeforeToday", "All")}  # fmt: skip
    assert counts == {"Today": 0, "Yesterday": 1, "BeforeToday": 1, "All": 1}
    assert len(await lines(project, dataTypeName="emailSend", startDateTime=sent_at)) == 1
    assert (
        await lines(project, dataTypeName="emailSend", startDateTime="2020-01-01 00:00:00", endDateTime=sent_at) == []
    )
    assert await lines(project, dataTypeName="smsSend") == []
    assert [one["email"] for one in await lines(project, dataTypeName="user", range="All")] == ["ann@example.com"]
    wrong = await project.call("GET", "/api/export/data.json", query={"dataTypeName": "weather"}, checked=False)
    assert wrong.status_code == 400
