"""System webhooks: the documented payloads, and how they are set up."""

import pytest

from tests.sandbox.conftest import Project, Sandbox

MESSAGE_FIELDS = {
    "email", "createdAt", "campaignId", "campaignName", "templateId", "templateName", "messageId", "emailSubject",
    "channelId", "messageTypeId", "workflowId", "workflowName", "experimentId", "emailId",
}  # fmt: skip


async def sent(sandbox: Sandbox, project: Project, email: str = "ann@example.com", **fields: object) -> None:
    campaign_id = await project.campaign()
    await project.target(campaign_id, email, **fields)
    await sandbox.clock.advance(5)


async def test_a_send_carries_the_request_data_and_the_custom_headers(sandbox: Sandbox, project: Project) -> None:
    await project.hook(headers=[{"key": "X-Secret", "value": "s"}])
    await sent(sandbox, project, dataFields={"genieos": {"send": "s1"}}, metadata={"m": 1})
    (hook,) = sandbox.receiver.hooks
    assert (hook.headers["x-secret"], hook.headers["content-type"]) == ("s", "application/json")
    assert set(hook.body) == {"email", "eventName", "dataFields"}
    assert set(hook.fields) >= MESSAGE_FIELDS | {"contentId"}
    assert hook.fields["transactionalData"] == {"genieos": {"send": "s1"}}
    assert hook.fields["createdAt"].endswith(" +00:00")
    assert hook.fields["workflowId"] is None
    assert hook.fields["channelId"] == project.channel_id("Transactional")
    assert "metadata" not in hook.fields


@pytest.mark.parametrize("place", ["dataFields", "top"])
async def test_where_metadata_comes_back_is_a_setting(sandbox: Sandbox, place: str) -> None:
    project = await sandbox.project(metadata_place=place)
    await project.hook()
    await sent(sandbox, project, "open@x.test", metadata={"m": 1})
    for hook in sandbox.receiver.hooks:
        assert (hook.fields if place == "dataFields" else hook.body)["metadata"] == {"m": 1}


async def test_transactional_data_is_cut_at_twelve_thousand_characters(sandbox: Sandbox, project: Project) -> None:
    await project.hook()
    await sent(sandbox, project, dataFields={"first": 1, "long": "x" * 12_000, "last": 2})
    assert sandbox.receiver.hooks[0].fields["transactionalData"] == {"first": 1, "last": 2}


async def test_a_skip_has_five_fields_unless_the_newer_form_is_wanted(sandbox: Sandbox, project: Project) -> None:
    await project.hook()
    await sent(sandbox, project, "skip-emptycontent@x.test", dataFields={"a": 1})
    assert set(sandbox.receiver.hooks[0].fields) == {"createdAt", "reason", "campaignId", "messageId", "email"}
    await project.change(skip_webhook_carries_message=True)
    await sent(sandbox, project, "skip-emptycontent@x.test", dataFields={"a": 1})
    newer = sandbox.receiver.hooks[1].fields
    assert (newer["reason"], newer["transactionalData"], newer["campaignName"]) == ("EmptyContent", {"a": 1}, "Welcome")


async def test_a_person_without_an_address_is_told_of_by_user_id(sandbox: Sandbox, project: Project) -> None:
    await project.hook()
    await project.post("/api/users/update", userId="u1")
    channel = project.channel_id("SMS")
    await project.post("/api/users/updateSubscriptions", userId="u1", unsubscribedChannelIds=[channel])
    await sandbox.clock.advance(1)
    (hook,) = sandbox.receiver.hooks
    assert hook.body["userId"] == "u1"
    assert "email" not in hook.body
    assert "email" not in hook.fields


async def test_only_ticked_events_of_enabled_webhooks_are_told(sandbox: Sandbox, project: Project) -> None:
    await project.hook("https://hooks.test/bounces", events=["emailBounce"])
    await project.hook("https://hooks.test/off", enabled=False)
    await project.hook("https://hooks.test/blasts", triggeredSendEnabled=False, events=["emailSend"])
    await sent(sandbox, project, "soft-bounce@x.test")
    assert [(hook.path, hook.name) for hook in sandbox.receiver.hooks] == [("/bounces", "emailBounce")]


async def test_placeholders_in_the_endpoint_are_filled(sandbox: Sandbox, project: Project) -> None:
    await project.hook("https://hooks.test/{{campaignId}}/{{messageTypeId}}/{{workflowId}}")
    await sent(sandbox, project)
    (hook,) = sandbox.receiver.hooks
    assert hook.path == f"/{hook.fields['campaignId']}/{hook.fields['messageTypeId']}/"


async def test_authorization_is_the_token_in_one_of_its_forms(sandbox: Sandbox, project: Project) -> None:
    webhook_id = await project.hook(authType="Basic", authToken="t")
    await sent(sandbox, project)
    await project.change(basic_auth_sends_scheme=False)
    await sent(sandbox, project)
    await project.post("/api/webhooks", id=webhook_id, authType="OAuth2")
    await sent(sandbox, project)
    assert [hook.headers["authorization"] for hook in sandbox.receiver.hooks] == ["Basic t", "t", "OAuth2 t"]


async def test_the_api_shows_and_changes_what_it_can(sandbox: Sandbox, project: Project) -> None:
    webhook_id = await project.hook(headers=[{"key": "X-A", "value": "1"}])
    shown = (await project.get("/api/webhooks"))["webhooks"]
    assert shown == [
        {
            "id": webhook_id,
            "endpoint": "https://hooks.test/in",
            "enabled": True,
            "authType": "NoAuth",
            "blastSendEnabled": True,
            "triggeredSendEnabled": True,
            "channelIds": [],
            "messageTypeIds": [],
        }
    ]
    body = {"endpoint": "https://hooks.test/new", "headers": [{"key": "X-B", "value": "2"}]}
    changed = await project.post("/api/webhooks", id=webhook_id, **body)
    assert changed["endpoint"] == "https://hooks.test/new"
    await sent(sandbox, project)
    (hook,) = sandbox.receiver.hooks
    assert (hook.path, hook.headers["x-b"], "x-a" in hook.headers) == ("/new", "2", False)
    off = await project.post("/api/webhooks", id=webhook_id, triggeredSendEnabled=False, enabled=False)
    assert (off["triggeredSendEnabled"], off["enabled"]) == (False, False)
    assert (await project.refused("/api/webhooks", id=1))[:2] == (400, "BadParams")
    assert (await project.refused("/api/webhooks", id=webhook_id, endpoint="ftp://x"))[:2] == (400, "BadParams")


async def test_a_webhook_of_unknown_events_or_schemes_is_refused(sandbox: Sandbox, project: Project) -> None:
    for spec in ({"endpoint": "https://x.test", "events": ["emailDelivered"]}, {"endpoint": "x.test"}, {}):
        answer = await sandbox.http.post(f"/_sandbox/projects/{project.id}/webhooks", json=spec)
        assert answer.status_code == 400, spec


async def test_a_webhook_can_be_removed(sandbox: Sandbox, project: Project) -> None:
    webhook_id = await project.hook()
    path = f"/_sandbox/projects/{project.id}/webhooks/{webhook_id}"
    assert [(await sandbox.http.delete(path)).status_code for _ in range(2)] == [204, 404]
    await sent(sandbox, project)
    assert sandbox.receiver.hooks == []
