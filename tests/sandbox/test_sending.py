"""email/target and email/cancel, and what becomes of a message."""

import asyncio
from typing import Any

import pytest

from tests.sandbox.conftest import Project, Sandbox

TARGET = "/api/email/target"


async def test_an_answer_names_the_campaign_and_no_message(project: Project) -> None:
    campaign_id = await project.campaign()
    answer = await project.target(campaign_id, "ann@example.com")
    assert answer == {
        "msg": f"Campaign {campaign_id} - Sent triggered message to: ann@example.com",
        "code": "Success",
        "params": None,
    }


async def test_a_message_is_rendered_from_profile_and_request_the_request_winning(
    sandbox: Sandbox, project: Project
) -> None:
    campaign_id = await project.campaign(
        subject="{{greeting}} {{first_name}} {{profile.first_name}}", html="{{{raw}}} {{raw}}", plainText="{{city}}"
    )
    profile = {"first_name": "Ann", "city": "Oslo"}
    await project.post("/api/users/update", email="ann@example.com", dataFields=profile)
    await sandbox.clock.advance(1)
    await project.target(campaign_id, dataFields={"first_name": "Anna", "greeting": "Hi", "raw": "<b>"})
    message = (await project.outbox())[0]
    assert message["subject"] == "Hi Anna Ann"
    assert message["html"] == "<b> &lt;b&gt;"
    assert message["text"] == "Oslo"
    assert message["status"] == "sent"


async def test_a_profile_written_a_moment_ago_does_not_count_yet(sandbox: Sandbox) -> None:
    project = await sandbox.project(lags={"profiles": 60})
    campaign_id = await project.campaign()
    await project.post("/api/users/update", email="ann@example.com", dataFields={"first_name": "Ann"})
    await project.target(campaign_id)
    await sandbox.clock.advance(60)
    await project.target(campaign_id)
    assert [one["subject"] for one in await project.outbox()] == ["Hi Ann", "Hi "]


async def test_campaign_fields_are_the_weakest(sandbox: Sandbox, project: Project) -> None:
    template_id = await project.template(subject="{{a}}{{b}}")
    body = {"name": "c", "templateId": template_id, "campaignDataFields": {"a": 1, "b": 1}}
    campaign_id = (await project.post("/api/campaigns/create", **body))["campaignId"]
    await sandbox.clock.advance(1)
    await project.post("/api/campaigns/activateTriggered", campaignId=campaign_id)
    await sandbox.clock.advance(1)
    await project.target(campaign_id, dataFields={"b": 2})
    assert (await project.outbox())[0]["subject"] == "12"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"campaignId": 42, "recipientEmail": "ann@example.com"}, 400, "BadParams"),
        ({"recipientEmail": "foo@"}, 400, "InvalidEmailAddressError"),
        ({}, 400, "BadParams"),
        ({"recipientEmail": "ann@example.com", "recipientUserId": "u1"}, 400, "BadParams"),
        ({"recipientUserId": "nobody"}, 400, "UnknownUserIdError"),
        ({"recipientEmail": 7}, 400, "BadJsonBody"),
        ({"campaignId": "x", "recipientEmail": "ann@example.com"}, 400, "BadJsonBody"),
        ({"recipientEmail": "ann@example.com", "dataFields": []}, 400, "BadJsonBody"),
        ({"recipientEmail": "ann@example.com", "sendAt": "tomorrow"}, 400, "BadParams"),
        ({"recipientEmail": "ann@example.com", "sendAt": "2027-06-01 00:00:00"}, 400, "BadParams"),
    ],
)
async def test_a_wrong_request_is_refused(project: Project, body: dict[str, Any], status: int, code: str) -> None:
    campaign_id = await project.campaign()
    assert (await project.refused(TARGET, **{"campaignId": campaign_id, **body}))[:2] == (status, code)
    assert await project.outbox() == []


async def test_an_unknown_campaign_is_named_in_the_parameters(project: Project) -> None:
    _, _, body = await project.refused(TARGET, campaignId=42, recipientEmail="ann@example.com")
    assert body == {"msg": "Invalid campaignId", "code": "BadParams", "params": {"campaignId": "42"}}


async def test_a_complaint_about_json_names_the_endpoint_and_the_place(project: Project) -> None:
    _, _, body = await project.refused(TARGET, recipientEmail=7)
    assert body["msg"] == "[/api/email/target] Invalid JSON body"
    assert set(body["params"]) == {"obj.campaignId", "obj.recipientEmail"}


async def test_older_complaints_about_json_echo_the_key(sandbox: Sandbox) -> None:
    project = await sandbox.project(bad_json_echoes_request=True)
    _, _, body = await project.refused(TARGET, recipientEmail=7)
    assert project.keys["server"] in body["msg"]


# Who is created


async def test_email_projects_create_the_recipient(sandbox: Sandbox) -> None:
    project = await sandbox.project(type="email")
    campaign_id = await project.campaign()
    await project.target(campaign_id, "new@example.com")
    await sandbox.clock.advance(1)
    assert (await project.get("/api/users/new@example.com"))["user"]["email"] == "new@example.com"


async def test_hybrid_projects_may_know_only_who_exists(sandbox: Sandbox) -> None:
    project = await sandbox.project(hybrid_target_creates_users=False)
    campaign_id = await project.campaign()
    status, code, _ = await project.refused(TARGET, campaignId=campaign_id, recipientEmail="new@example.com")
    assert (status, code) == (400, "UnknownEmailError")
    await project.post("/api/users/update", email="new@example.com")
    await sandbox.clock.advance(1)
    await project.target(campaign_id, "new@example.com")


async def test_user_id_projects_take_the_user_id_of_somebody_with_an_address(sandbox: Sandbox) -> None:
    project = await sandbox.project(type="userid")
    campaign_id = await project.campaign()
    status, code, _ = await project.refused(TARGET, campaignId=campaign_id, recipientEmail="ann@example.com")
    assert (status, code) == (400, "BadParams")
    await project.post("/api/users/update", userId="u1", email="ann@example.com")
    await project.post("/api/users/update", userId="u2")
    await sandbox.clock.advance(1)
    for user_id in ("u1", "u2"):
        await project.post(TARGET, campaignId=campaign_id, recipientUserId=user_id)
    second, first = await project.outbox()
    assert (first["email"], first["userId"], first["status"]) == ("ann@example.com", "u1", "sent")
    assert (second["email"], second["skip_reason"]) == (None, "InvalidRecipientEmail")


async def test_a_forgotten_person_is_refused(project: Project) -> None:
    campaign_id = await project.campaign()
    await project.post("/api/users/forget", email="Ann@Example.com")
    status, code, _ = await project.refused(TARGET, campaignId=campaign_id, recipientEmail="ann@example.com")
    assert (status, code) == (400, "ForgottenUserError")


# When it is sent


async def test_a_scheduled_message_leaves_when_it_is_due(sandbox: Sandbox, project: Project) -> None:
    campaign_id = await project.campaign()
    answer = await project.target(campaign_id, sendAt="2026-01-03 00:00:00")
    assert answer["msg"] == (
        f"Campaign {campaign_id} - Scheduled triggered message for: 2026-01-03T00:00:00.000Z to: ann@example.com"
    )
    message = (await project.outbox())[0]
    assert answer["params"] == {"scheduledMessageId": message["scheduledMessageId"]}
    assert (message["status"], message["html"]) == ("scheduled", None)
    await sandbox.clock.advance(86_400)
    message = (await project.outbox())[0]
    assert (message["status"], message["sentAt"]) == ("sent", "2026-01-03 00:00:00 +00:00")


async def test_a_time_that_has_passed_means_now(project: Project) -> None:
    campaign_id = await project.campaign()
    answer = await project.target(campaign_id, sendAt="2020-01-01 00:00:00")
    assert "Sent triggered message" in answer["msg"]
    assert (await project.outbox())[0]["status"] == "sent"


async def test_a_scheduled_message_can_be_cancelled_until_it_is_due(sandbox: Sandbox, project: Project) -> None:
    campaign_id = await project.campaign()
    answer = await project.target(campaign_id, sendAt="2026-01-03 00:00:00")
    scheduled_id = answer["params"]["scheduledMessageId"]
    cancelled = await project.post("/api/email/cancel", scheduledMessageId=scheduled_id)
    assert str(scheduled_id) in cancelled["msg"]
    await sandbox.clock.advance(86_400)
    assert (await project.outbox())[0]["status"] == "cancelled"
    status, code, _ = await project.refused("/api/email/cancel", scheduledMessageId=scheduled_id)
    assert (status, code) == (400, "BadParams")


async def test_a_scheduled_message_can_be_cancelled_by_campaign_and_person(sandbox: Sandbox) -> None:
    project = await sandbox.project(target_answers_scheduled_message_id=False)
    campaign_id = await project.campaign()
    assert (await project.target(campaign_id, sendAt="2026-01-03 00:00:00"))["params"] is None
    await project.target(campaign_id, "bob@example.com", sendAt="2026-01-03 00:00:00")
    await project.post("/api/email/cancel", campaignId=campaign_id, email="ann@example.com")
    assert {one["email"]: one["status"] for one in await project.outbox()} == {
        "ann@example.com": "cancelled",
        "bob@example.com": "scheduled",
    }
    assert (await project.refused("/api/email/cancel", campaignId=campaign_id))[0] == 400


# Why it is skipped


async def skip_reason(project: Project) -> str | None:
    return (await project.outbox())[0]["skip_reason"]


async def test_a_campaign_that_does_not_run_skips_or_refuses(sandbox: Sandbox, project: Project) -> None:
    campaign_id = await project.campaign()
    await project.post("/api/campaigns/deactivateTriggered", campaignId=campaign_id)
    await sandbox.clock.advance(1)
    await project.target(campaign_id)
    assert await skip_reason(project) == "CampaignDeactivated"
    await project.change(inactive_campaign="refuse")
    assert (await project.refused(TARGET, campaignId=campaign_id, recipientEmail="ann@example.com"))[0] == 400


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"html": "{{#if x}}never closed"}, "HandlebarsExecutionError"),
        ({"subject": "{{noSuchHelper first_name}}"}, "HandlebarsExecutionError"),
        ({"html": " {{first_name}} "}, "EmptyContent"),
        ({"fromEmail": "{{first_name}}"}, "InvalidSender"),
        ({"replyToEmail": "nobody"}, "InvalidReplyToEmail"),
        ({"html": "var rows = [[1, 2], [3]]"}, "HandlebarsExecutionError"),
    ],
)
async def test_content_that_cannot_be_sent_is_skipped(project: Project, fields: dict[str, Any], reason: str) -> None:
    campaign_id = await project.campaign(**fields)
    answer = await project.target(campaign_id)
    assert answer["code"] == "Success"
    assert await skip_reason(project) == reason


async def test_an_unauthorised_sender_may_show_as_a_skip(sandbox: Sandbox) -> None:
    project = await sandbox.project(unauthorised_sender="skip", authorised_senders=["hello@acme.test"])
    await project.target(await project.campaign("a"))
    assert await skip_reason(project) is None
    await project.target(await project.campaign("b", fromEmail="other@acme.test"))
    assert await skip_reason(project) == "InvalidSender"


async def test_a_placeholder_address_is_never_mailed(sandbox: Sandbox) -> None:
    project = await sandbox.project(type="email")
    campaign_id = await project.campaign()
    await project.post("/api/users/update", userId="u1", preferUserId=True)
    await sandbox.clock.advance(1)
    await project.post(TARGET, campaignId=campaign_id, recipientUserId="u1")
    assert await skip_reason(project) == "InvalidRecipientEmail"


async def test_an_unsubscribed_person_gets_transactional_mail_only(sandbox: Sandbox, project: Project) -> None:
    marketing = await project.campaign("m", messageTypeId=project.type_id("Marketing"))
    transactional = await project.campaign("t")
    await project.post("/api/users/update", email="ann@example.com")
    channels = [project.channel_id("Marketing"), project.channel_id("Transactional")]
    await project.post("/api/users/updateSubscriptions", email="ann@example.com", unsubscribedChannelIds=channels)
    await project.target(marketing)
    assert await skip_reason(project) == "SuppressedByMessageService"
    await project.target(transactional)
    assert await skip_reason(project) is None


async def test_an_unsubscribed_or_never_subscribed_message_type_is_skipped(sandbox: Sandbox, project: Project) -> None:
    made = await sandbox.http.post(
        f"/_sandbox/projects/{project.id}/message_types",
        json={"name": "News", "channel_id": project.channel_id("Marketing"), "opt_in": True},
    )
    type_id = made.json()["id"]
    campaign_id = await project.campaign("n", messageTypeId=type_id)
    await project.target(campaign_id)
    assert await skip_reason(project) == "SuppressedByMessageService"
    await project.post("/api/users/updateSubscriptions", email="ann@example.com", subscribedMessageTypeIds=[type_id])
    await project.target(campaign_id)
    assert await skip_reason(project) is None
    await project.post("/api/users/updateSubscriptions", email="ann@example.com", unsubscribedMessageTypeIds=[type_id])
    await project.target(campaign_id)
    assert await skip_reason(project) == "SuppressedByMessageService"


async def test_a_repeat_of_marketing_is_skipped_where_it_is_not_allowed(sandbox: Sandbox, project: Project) -> None:
    campaign_id = await project.campaign(messageTypeId=project.type_id("Marketing"))
    await project.target(campaign_id)
    await project.target(campaign_id)
    assert await skip_reason(project) is None
    await project.target(campaign_id, allowRepeatMarketingSends=False)
    assert await skip_reason(project) == "DuplicateMarketingMessage"
    await sandbox.clock.advance(18 * 3600 + 1)
    await project.target(campaign_id, allowRepeatMarketingSends=False)
    assert await skip_reason(project) is None


async def test_a_frequency_cap_counts_what_was_sent_of_its_message_type(sandbox: Sandbox, project: Project) -> None:
    cap = {"days": 1, "messages": 2}
    made = await sandbox.http.post(
        f"/_sandbox/projects/{project.id}/message_types",
        json={"name": "Offers", "channel_id": project.channel_id("Marketing"), "frequency_cap": cap},
    )
    campaign_id = await project.campaign(messageTypeId=made.json()["id"])
    for _ in range(3):
        await project.target(campaign_id)
    assert [one["skip_reason"] for one in await project.outbox()] == ["FrequencyCapping", None, None]


async def test_content_goes_by_the_locale_of_the_profile(sandbox: Sandbox, project: Project) -> None:
    await project.template("a", locale="en-US", subject="Hello")
    await project.template("a", locale="fr-FR", subject="Bonjour")
    for email, locale in (("fr@example.com", "fr-FR"), ("de@example.com", "de-DE")):
        await project.post("/api/users/update", email=email, dataFields={"locale": locale})
    found = await project.get("/api/templates/getByClientTemplateId", clientTemplateId="a")
    assert found["templates"] == []
    await sandbox.clock.advance(1)
    template_id = (await project.get("/api/templates/getByClientTemplateId", clientTemplateId="a"))["templates"][0][
        "templateId"
    ]
    campaign_id = (await project.post("/api/campaigns/create", name="c", templateId=template_id))["campaignId"]
    await sandbox.clock.advance(1)
    await project.post("/api/campaigns/activateTriggered", campaignId=campaign_id)
    await sandbox.clock.advance(1)
    await project.target(campaign_id, "fr@example.com")
    assert (await project.outbox())[0]["subject"] == "Bonjour"
    await project.target(campaign_id, "de@example.com")
    assert await skip_reason(project) == "LocaleMismatch"


async def test_what_was_rendered_can_be_seen_in_a_browser_by_its_recipient(project: Project) -> None:
    campaign_id = await project.campaign(html="<p>{{viewInBrowserUrl}}</p>")
    await project.target(campaign_id)
    message = (await project.outbox())[0]
    query = {"messageId": message["messageId"], "email": "ann@example.com"}
    seen = await project.call("GET", "/api/email/viewInBrowser", query=query)
    assert message["messageId"] in seen.text
    other = await project.call("GET", "/api/email/viewInBrowser", query=query | {"email": "bob@example.com"})
    assert (other.status_code, other.json()["code"]) == (400, "BadParams")


async def test_sends_at_the_same_time_are_all_taken(project: Project) -> None:
    campaign_id = await project.campaign()
    await asyncio.gather(*(project.target(campaign_id, f"p{number}@example.com") for number in range(200)))
    messages = await project.outbox()
    assert len({one["messageId"] for one in messages}) == 200
