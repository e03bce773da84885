"""Templates: written by clientTemplateId, read after a while, rendered for real."""

import re

from tests.sandbox.conftest import Project, Sandbox


async def test_an_upsert_tells_the_id_in_prose_only(project: Project) -> None:
    answer = await project.post("/api/templates/email/upsert", clientTemplateId="a", subject="Hi")
    assert answer["code"] == "Success"
    assert answer["params"] is None
    assert re.fullmatch(r"Upserted 1 templates with IDs: \d+", answer["msg"])


async def test_a_second_upsert_changes_only_what_it_gives(sandbox: Sandbox, project: Project) -> None:
    first = await project.template("a", subject="One", plainText="text")
    second = await project.template("a", subject="Two", messageTypeId=project.type_id("Marketing"))
    await sandbox.clock.advance(1)
    assert first == second
    template = await project.get("/api/templates/email/get", templateId=first)
    assert template["subject"] == "Two"
    assert template["plainText"] == "text"
    assert template["messageTypeId"] == project.type_id("Marketing")
    assert (await project.counts())["templates_written"] == 1


async def test_an_upsert_rewrites_the_copies_that_keep_the_client_template_id(project: Project) -> None:
    campaign_id = await project.campaign("a", subject="One")
    answer = await project.post("/api/templates/email/upsert", clientTemplateId="a", subject="Two")
    assert answer["msg"].startswith("Upserted 2 templates with IDs: ")
    await project.target(campaign_id)
    assert (await project.outbox())[0]["subject"] == "Two"


async def test_copies_may_lose_the_client_template_id(sandbox: Sandbox) -> None:
    project = await sandbox.project(copy_keeps_client_template_id=False)
    campaign_id = await project.campaign("a", subject="One")
    await project.template("a", subject="Two")
    await sandbox.clock.advance(1)
    found = (await project.get("/api/templates/getByClientTemplateId", clientTemplateId="a"))["templates"]
    assert [one.get("campaignId") for one in found] == [None]
    await project.target(campaign_id)
    assert (await project.outbox())[0]["subject"] == "One"


async def test_a_template_is_found_by_client_template_id_with_the_campaign_of_its_copy(
    sandbox: Sandbox, project: Project
) -> None:
    campaign_id = await project.campaign("a")
    await project.template("a", locale="fr-FR")
    await sandbox.clock.advance(1)
    found = (await project.get("/api/templates/getByClientTemplateId", clientTemplateId="a"))["templates"]
    assert [one.get("campaignId") for one in found] == [None, campaign_id]
    assert found[0]["locales"] == [{"languageTag": "fr-FR", "displayLanguage": "fr-FR"}]


async def test_an_unknown_client_template_id_is_an_empty_answer(project: Project) -> None:
    assert await project.get("/api/templates/getByClientTemplateId", clientTemplateId="none") == {"templates": []}


async def test_a_new_template_cannot_be_read_at_once(sandbox: Sandbox) -> None:
    project = await sandbox.project(lags={"templates": 5})
    template_id = await project.template("a")
    early = await project.call("GET", "/api/templates/email/get", query={"templateId": template_id})
    assert (early.status_code, early.json()["code"]) == (404, "NotFound")
    assert await project.get("/api/templates/getByClientTemplateId", clientTemplateId="a") == {"templates": []}
    await sandbox.clock.advance(5)
    assert (await project.get("/api/templates/email/get", templateId=template_id))["metadata"]["name"] == "Welcome"


async def test_an_unknown_template_is_a_400_that_names_it(project: Project) -> None:
    answer = await project.call("GET", "/api/templates/email/get", query={"templateId": 42})
    assert (answer.status_code, answer.json()["code"]) == (400, "BadParams")
    assert answer.json()["msg"] == "Template ID: 42 does not exist for this project"


async def test_a_locale_without_content_is_a_404(sandbox: Sandbox, project: Project) -> None:
    template_id = await project.template("a")
    await sandbox.clock.advance(1)
    query = {"templateId": template_id, "locale": "fr-FR"}
    assert (await project.call("GET", "/api/templates/email/get", query=query)).status_code == 404


async def test_a_message_type_that_is_none_or_not_for_email_is_refused(project: Project) -> None:
    for type_id in (1, project.type_id("SMS")):
        status, code, _ = await project.refused(
            "/api/templates/email/upsert", clientTemplateId="a", messageTypeId=type_id
        )
        assert (status, code) == (400, "BadParams")


async def test_without_a_message_type_the_project_has_a_default(sandbox: Sandbox, project: Project) -> None:
    await project.post("/api/templates/email/upsert", clientTemplateId="a")
    await sandbox.clock.advance(1)
    found = (await project.get("/api/templates"))["templates"]
    assert found[0]["messageTypeId"] == project.type_id("Transactional")


async def test_an_update_goes_by_id(sandbox: Sandbox, project: Project) -> None:
    template_id = await project.template("a")
    await project.post(
        "/api/templates/email/update", templateId=template_id, subject="New", campaignDataFields={"x": 1}
    )
    await sandbox.clock.advance(1)
    template = await project.get("/api/templates/email/get", templateId=template_id)
    assert (template["subject"], template["campaignDataFields"]) == ("New", {"x": 1})


async def test_templates_are_listed_in_pages(sandbox: Sandbox, project: Project) -> None:
    for number in range(5):
        await project.template(f"t{number}", name=f"T{number}")
    await sandbox.clock.advance(1)
    page = await project.get("/api/templates", page=2, pageSize=2, sort="-name", templateType="Base")
    assert [one["name"] for one in page["templates"]] == ["T2", "T1"]
    assert page["totalTemplatesCount"] == 5
    assert page["nextPageUrl"] == "/api/templates?sort=-name&templateType=Base&page=3&pageSize=2"
    assert page["previousPageUrl"].endswith("page=1&pageSize=2")
    last = await project.get("/api/templates", page=3, pageSize=2)
    assert "nextPageUrl" not in last


async def test_a_template_that_a_campaign_owns_is_not_deleted(sandbox: Sandbox, project: Project) -> None:
    await project.campaign("a")
    found = (await project.get("/api/templates/getByClientTemplateId", clientTemplateId="a"))["templates"]
    base, copy = (one["templateId"] for one in found)
    answer = await project.post("/api/templates/bulkDelete", ids=[base, copy, 1])
    assert answer == {"success": [base], "failed": [copy, 1]}


async def test_an_unauthorised_sender_may_be_refused_at_upsert(sandbox: Sandbox) -> None:
    project = await sandbox.project(unauthorised_sender="upsert", authorised_senders=["@acme.test"])
    await project.template("a", fromEmail="hello@acme.test")
    status, code, _ = await project.refused(
        "/api/templates/email/upsert", clientTemplateId="b", fromEmail="hello@other.test"
    )
    assert (status, code) == (400, "BadParams")


async def test_a_preview_renders_the_html(sandbox: Sandbox, project: Project) -> None:
    html = "<p>{{name}} {{{name}}} {{missing}}[[feed]]{{#each items}}<b>{{this}}</b>{{/each}}</p>"
    template_id = await project.template("a", html=html)
    await sandbox.clock.advance(1)
    body = {"dataFields": {"name": "A & B", "items": [1, 2]}, "dataFeed": {"feed": "F"}}
    answer = await project.call("POST", "/api/templates/email/preview", query={"templateId": template_id}, body=body)
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.text == "<p>A &amp; B A & B F<b>1</b><b>2</b></p>"
    empty = await project.call("POST", "/api/templates/email/preview", query={"templateId": template_id})
    assert empty.text == "<p>  </p>"


async def test_a_preview_of_broken_handlebars_is_a_400(sandbox: Sandbox, project: Project) -> None:
    template_id = await project.template("a", html="{{#if x}}never closed")
    await sandbox.clock.advance(1)
    answer = await project.call("POST", "/api/templates/email/preview", query={"templateId": template_id}, body={})
    assert (answer.status_code, answer.json()["code"]) == (400, "BadParams")


async def test_a_proof_lands_in_the_outbox_without_a_campaign(sandbox: Sandbox, project: Project) -> None:
    template_id = await project.template("a")
    await sandbox.clock.advance(1)
    answer = await project.post(
        "/api/templates/email/proof",
        templateId=template_id,
        recipientEmail="ann@example.com",
        dataFields={"first_name": "Ann"},
    )
    assert answer["msg"] == "Sent proof to ann@example.com"
    message = (await project.outbox())[0]
    assert (message["campaignId"], message["subject"], message["events"]) == (None, "Hi Ann", [])
