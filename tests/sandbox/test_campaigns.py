"""Campaigns: created from a copy, activated after a while."""

from tests.sandbox.conftest import Project, Sandbox


async def state(project: Project, campaign_id: int) -> str:
    return (await project.get(f"/api/campaigns/{campaign_id}"))["campaignState"]


async def test_a_triggered_campaign_lives_from_ready_to_archived(sandbox: Sandbox, project: Project) -> None:
    template_id = await project.template()
    campaign_id = (await project.post("/api/campaigns/create", name="c", templateId=template_id))["campaignId"]
    await sandbox.clock.advance(1)
    campaign = await project.get(f"/api/campaigns/{campaign_id}")
    assert (campaign["type"], campaign["campaignState"], campaign["name"]) == ("Triggered", "Ready", "c")
    assert campaign["templateId"] != template_id
    steps = [
        ("/api/campaigns/activateTriggered", {"campaignId": campaign_id}, "Running"),
        ("/api/campaigns/deactivateTriggered", {"campaignId": campaign_id}, "Finished"),
        ("/api/campaigns/archive", {"campaignIds": [campaign_id]}, "Archived"),
    ]
    for path, body, after in steps:
        await project.post(path, **body)
        await sandbox.clock.advance(1)
        assert await state(project, campaign_id) == after
    assert "endedAt" in await project.get(f"/api/campaigns/{campaign_id}")


async def test_a_new_campaign_does_not_exist_for_a_while(sandbox: Sandbox) -> None:
    project = await sandbox.project(lags={"campaigns": 10})
    template_id = await project.template()
    campaign_id = (await project.post("/api/campaigns/create", name="c", templateId=template_id))["campaignId"]
    status, code, body = await project.refused("/api/campaigns/activateTriggered", campaignId=campaign_id)
    assert (status, code, body["msg"]) == (400, "BadParams", "Invalid campaign id")
    assert (await project.call("GET", f"/api/campaigns/{campaign_id}")).status_code == 404
    assert (await project.get("/api/campaigns"))["campaigns"] == []
    await sandbox.clock.advance(10)
    await project.post("/api/campaigns/activateTriggered", campaignId=campaign_id)


async def test_activation_shows_after_a_lag(sandbox: Sandbox) -> None:
    project = await sandbox.project(lags={"activation": 30, "campaigns": 0})
    template_id = await project.template()
    campaign_id = (await project.post("/api/campaigns/create", name="c", templateId=template_id))["campaignId"]
    await project.post("/api/campaigns/activateTriggered", campaignId=campaign_id)
    await sandbox.clock.advance(29)
    assert await state(project, campaign_id) == "Ready"
    await sandbox.clock.advance(1)
    assert await state(project, campaign_id) == "Running"


async def test_activation_may_be_off_for_a_project_and_the_button_works_all_the_same(sandbox: Sandbox) -> None:
    project = await sandbox.project(activation_enabled=False)
    template_id = await project.template()
    campaign_id = (await project.post("/api/campaigns/create", name="c", templateId=template_id))["campaignId"]
    await sandbox.clock.advance(1)
    for path in ("activateTriggered", "deactivateTriggered"):
        status, code, _ = await project.refused(f"/api/campaigns/{path}", campaignId=campaign_id)
        assert (status, code) == (403, "Forbidden")
    pressed = await sandbox.http.post(f"/_sandbox/projects/{project.id}/campaigns/{campaign_id}/activate")
    assert pressed.status_code == 200
    await sandbox.clock.advance(1)
    assert await state(project, campaign_id) == "Running"


async def test_an_empty_list_of_lists_is_refused(project: Project) -> None:
    template_id = await project.template()
    status, code, body = await project.refused("/api/campaigns/create", name="c", templateId=template_id, listIds=[])
    assert (status, code, body["msg"]) == (400, "BadParams", "The listIds field must be specified")


async def test_a_template_that_does_not_exist_is_refused(project: Project) -> None:
    status, code, _ = await project.refused("/api/campaigns/create", name="c", templateId=1)
    assert (status, code) == (400, "BadParams")


async def test_a_campaign_of_an_incomplete_template_is_a_draft_and_cannot_run(
    sandbox: Sandbox, project: Project
) -> None:
    template_id = await project.template(subject="")
    campaign_id = (await project.post("/api/campaigns/create", name="c", templateId=template_id))["campaignId"]
    await sandbox.clock.advance(1)
    assert await state(project, campaign_id) == "Draft"
    status, code, _ = await project.refused("/api/campaigns/activateTriggered", campaignId=campaign_id)
    assert (status, code) == (400, "BadParams")


async def test_a_repeated_create_makes_a_second_campaign_of_the_same_name(project: Project) -> None:
    template_id = await project.template()
    ids = [
        (await project.post("/api/campaigns/create", name="c", templateId=template_id))["campaignId"] for _ in range(2)
    ]
    assert ids[0] != ids[1]


async def test_campaigns_are_listed_in_pages_by_state(sandbox: Sandbox, project: Project) -> None:
    running = [await project.campaign(f"t{number}", name=f"C{number}") for number in range(3)]
    template_id = await project.template("t9")
    await project.post("/api/campaigns/create", name="C9", templateId=template_id)
    await sandbox.clock.advance(1)
    page = await project.get("/api/campaigns", campaignState=["Running", "Finished"], sort="-name", pageSize=2)
    assert [one["name"] for one in page["campaigns"]] == ["C2", "C1"]
    assert page["totalCampaignsCount"] == 3
    assert "campaignState=Running&campaignState=Finished" in page["nextPageUrl"]
    everything = await project.get("/api/campaigns")
    assert [one["id"] for one in everything["campaigns"]][:3] == running
    bad = await project.call("GET", "/api/campaigns", query={"sort": "colour"}, checked=False)
    assert (bad.status_code, bad.json()["code"]) == (400, "BadParams")


async def test_reactivation_of_a_finished_campaign_is_a_setting(sandbox: Sandbox, project: Project) -> None:
    campaign_id = await project.campaign()
    await project.post("/api/campaigns/deactivateTriggered", campaignId=campaign_id)
    await project.post("/api/campaigns/activateTriggered", campaignId=campaign_id)
    await project.post("/api/campaigns/deactivateTriggered", campaignId=campaign_id)
    await project.change(reactivation_enabled=False)
    status, _, _ = await project.refused("/api/campaigns/activateTriggered", campaignId=campaign_id)
    assert status == 400


async def test_archiving_tells_what_it_could_not_find(sandbox: Sandbox, project: Project) -> None:
    campaign_id = await project.campaign()
    answer = await project.post("/api/campaigns/archive", campaignIds=[campaign_id, 1])
    assert answer == {"success": [campaign_id], "failed": [1]}


async def test_an_aborted_campaign_runs_no_more(sandbox: Sandbox, project: Project) -> None:
    campaign_id = await project.campaign()
    await project.post("/api/campaigns/abort", campaignId=campaign_id)
    await sandbox.clock.advance(1)
    assert await state(project, campaign_id) == "Aborted"


async def test_square_brackets_are_baked_into_the_copy(sandbox: Sandbox, project: Project) -> None:
    template_id = await project.template(subject="[[season]] {{first_name}}")
    body = {"name": "c", "templateId": template_id, "dataFields": {"season": "Spring"}}
    campaign_id = (await project.post("/api/campaigns/create", **body))["campaignId"]
    await sandbox.clock.advance(1)
    await project.post("/api/campaigns/activateTriggered", campaignId=campaign_id)
    await sandbox.clock.advance(1)
    await project.target(campaign_id, dataFields={"first_name": "Ann"})
    assert (await project.outbox())[0]["subject"] == "Spring Ann"


async def test_a_campaign_with_lists_is_a_blast_that_starts_at_once(sandbox: Sandbox, project: Project) -> None:
    list_id = (await project.post("/api/lists", name="all"))["listId"]
    never = (await project.post("/api/lists", name="never"))["listId"]
    people = [{"email": f"{name}@example.com"} for name in ("ann", "bob", "cid")]
    await project.post("/api/lists/subscribe", listId=list_id, subscribers=people)
    await project.post("/api/lists/subscribe", listId=never, subscribers=people[2:])
    await project.hook(events=["emailSend"])
    template_id = await project.template()
    campaign_id = (
        await project.post(
            "/api/campaigns/create", name="b", templateId=template_id, listIds=[list_id], suppressionListIds=[never]
        )
    )["campaignId"]
    await sandbox.clock.advance(2)
    campaign = await project.get(f"/api/campaigns/{campaign_id}")
    assert (campaign["type"], campaign["campaignState"], campaign["sendSize"]) == ("Blast", "Finished", 2)
    assert sorted(one["email"] for one in await project.outbox()) == ["ann@example.com", "bob@example.com"]
    assert all("transactionalData" not in hook.fields for hook in sandbox.receiver.hooks)
    status, _, _ = await project.refused("/api/email/target", campaignId=campaign_id, recipientEmail="a@b.test")
    assert status == 400


async def test_a_blast_can_wait(sandbox: Sandbox, project: Project) -> None:
    list_id = (await project.post("/api/lists", name="all"))["listId"]
    await project.post("/api/lists/subscribe", listId=list_id, subscribers=[{"email": "ann@example.com"}])
    template_id = await project.template()
    body = {"name": "b", "templateId": template_id, "listIds": [list_id]}
    unscheduled = (await project.post("/api/campaigns/create", **body, scheduleSend=False))["campaignId"]
    scheduled = (await project.post("/api/campaigns/create", **body, sendAt="2026-01-03 00:00:00"))["campaignId"]
    await sandbox.clock.advance(1)
    assert [await state(project, one) for one in (unscheduled, scheduled)] == ["Ready", "Scheduled"]
    assert await project.outbox() == []
    await sandbox.clock.advance(86_400)
    assert await state(project, scheduled) == "Finished"
    assert len(await project.outbox()) == 1
    status, _, _ = await project.refused("/api/campaigns/create", **body, sendAt="2027-01-03 00:00:00")
    assert status == 400
