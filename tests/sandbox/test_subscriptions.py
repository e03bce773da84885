"""Subscriptions: replaced as a whole, or changed one by one where that is switched on."""

from typing import Any

from tests.sandbox.conftest import Project, Sandbox

UPDATE = "/api/users/updateSubscriptions"


async def profile(sandbox: Sandbox, project: Project, email: str = "ann@example.com") -> dict[str, list[int]]:
    await sandbox.clock.advance(1)
    fields = (await project.get("/api/users/getByEmail", email=email))["user"]["dataFields"]
    return {name: value for name, value in fields.items() if name.endswith("Ids")}


async def ann(project: Project) -> None:
    await project.post("/api/users/update", email="ann@example.com", userId="u1")


async def test_a_given_array_replaces_the_stored_one_and_null_leaves_it_alone(
    sandbox: Sandbox, project: Project
) -> None:
    await ann(project)
    marketing, sms = project.channel_id("Marketing"), project.channel_id("SMS")
    await project.post(UPDATE, email="ann@example.com", unsubscribedChannelIds=[marketing])
    await project.post(UPDATE, userId="u1", unsubscribedMessageTypeIds=[project.type_id("SMS")])
    await project.post(UPDATE, email="ann@example.com", unsubscribedChannelIds=[sms], emailListIds=None)
    fields = await profile(sandbox, project)
    assert fields["unsubscribedChannelIds"] == [sms]
    assert fields["unsubscribedMessageTypeIds"] == [project.type_id("SMS")]


async def test_what_changed_comes_back_as_an_event_with_the_source_api(sandbox: Sandbox, project: Project) -> None:
    await project.hook(events=["emailSubscribe", "emailUnSubscribe"])
    await ann(project)
    sms = project.channel_id("SMS")
    await project.post(UPDATE, email="ann@example.com", unsubscribedChannelIds=[sms], campaignId=7)
    await project.post(UPDATE, email="ann@example.com", unsubscribedChannelIds=[sms])
    await project.post(UPDATE, email="ann@example.com", unsubscribedChannelIds=[])
    await sandbox.clock.advance(1)
    lost, gained = sandbox.receiver.hooks
    assert (lost.name, lost.fields["unsubSource"], lost.fields["channelIds"]) == ("emailUnSubscribe", "API", [sms])
    assert lost.fields["campaignId"] == 7
    assert (lost.body["email"], lost.body["userId"]) == ("ann@example.com", "u1")
    assert (gained.name, gained.fields["signupSource"], gained.fields["channelIds"]) == ("emailSubscribe", "API", [sms])


async def test_wrong_ids_and_unknown_people_are_refused(project: Project) -> None:
    await ann(project)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"email": "ann@example.com", "unsubscribedChannelIds": [1]}, "BadParams"),
        ({"email": "ann@example.com", "unsubscribedMessageTypeIds": [1]}, "BadParams"),
        ({"email": "ann@example.com", "emailListIds": [1]}, "BadParams"),
        ({"email": "ann@example.com", "subscribedMessageTypeIds": [project.type_id("Marketing")]}, "BadParams"),
        ({"email": "no@example.com"}, "UnknownEmailError"),
        ({"userId": "no"}, "UnknownUserIdError"),
        ({}, "BadParams"),
        ({"email": "foo@"}, "InvalidEmailAddressError"),
    ]
    for body, code in cases:
        assert (await project.refused(UPDATE, **body))[:2] == (400, code)
    await project.post("/api/users/forget", email="gone@example.com")
    assert (await project.refused(UPDATE, email="gone@example.com"))[:2] == (409, "ForgottenUserError")


async def test_a_message_type_of_an_unsubscribed_channel_cannot_be_subscribed_to(
    sandbox: Sandbox, project: Project
) -> None:
    channel_id = project.channel_id("Marketing")
    made = await sandbox.http.post(
        f"/_sandbox/projects/{project.id}/message_types",
        json={"name": "News", "channel_id": channel_id, "opt_in": True},
    )
    type_id = made.json()["id"]
    await ann(project)
    body = {"email": "ann@example.com", "unsubscribedChannelIds": [channel_id], "subscribedMessageTypeIds": [type_id]}
    assert (await project.refused(UPDATE, **body))[:2] == (400, "BadParams")
    await project.post(UPDATE, **body, validateChannelAlignment=False)
    assert (await profile(sandbox, project))["subscribedMessageTypeIds"] == [type_id]


async def test_a_bulk_update_tells_invalid_people_from_valid_ones_that_failed(
    sandbox: Sandbox, project: Project
) -> None:
    await ann(project)
    channel_id = project.channel_id("Marketing")
    requests = [
        {"email": "ann@example.com", "unsubscribedChannelIds": [channel_id]},
        {"email": "foo@"},
        {"email": "no@example.com"},
        {"userId": "no"},
    ]
    answer = await project.post("/api/users/bulkUpdateSubscriptions", updateSubscriptionsRequests=requests)
    assert answer == {
        "successCount": 1,
        "failCount": 3,
        "invalidEmails": ["foo@"],
        "invalidUserIds": [],
        "validEmailFailures": ["no@example.com"],
        "validUserIdFailures": ["no"],
    }
    assert (await profile(sandbox, project))["unsubscribedChannelIds"] == [channel_id]


async def test_one_group_can_be_changed_without_reading_the_rest(sandbox: Sandbox, project: Project) -> None:
    await ann(project)
    list_id = (await project.post("/api/lists", name="News"))["listId"]
    marketing, sms = project.channel_id("Marketing"), project.channel_id("SMS")
    type_id = project.type_id("Marketing")
    base = "/api/subscriptions"
    for method, path in [
        ("DELETE", f"{base}/messageChannel/{marketing}/user/ann@example.com"),
        ("DELETE", f"{base}/messageChannel/{sms}/byUserId/u1"),
        ("DELETE", f"{base}/messageType/{type_id}/user/ann@example.com"),
        ("PATCH", f"{base}/emailList/{list_id}/byUserId/u1"),
        ("PATCH", f"{base}/messageChannel/{sms}/user/ann@example.com"),
    ]:
        assert (await project.call(method, path)).status_code == 200
    fields = await profile(sandbox, project)
    assert fields["unsubscribedChannelIds"] == [marketing]
    assert fields["unsubscribedMessageTypeIds"] == [type_id]
    assert fields["userListIds"] == [list_id]
    unknown = await project.call("PATCH", f"{base}/emailList/{list_id}/user/no@example.com")
    assert (unknown.status_code, unknown.json()["code"]) == (400, "UnknownEmailError")


async def test_many_people_are_queued_and_strangers_passed_over(sandbox: Sandbox, project: Project) -> None:
    await ann(project)
    await project.post("/api/users/update", email="bob@example.com")
    channel_id = project.channel_id("Marketing")
    body = {"users": ["bob@example.com", "no@example.com"], "usersByUserId": ["u1"]}
    answer = await project.call(
        "PUT", f"/api/subscriptions/messageChannel/{channel_id}", query={"action": "unsubscribe"}, body=body
    )
    assert answer.status_code == 202
    for email in ("ann@example.com", "bob@example.com"):
        assert (await profile(sandbox, project, email))["unsubscribedChannelIds"] == [channel_id]


async def test_it_is_not_there_where_it_is_switched_off(sandbox: Sandbox) -> None:
    project = await sandbox.project(subscriptions_api_enabled=False)
    await ann(project)
    path = f"/api/subscriptions/messageChannel/{project.channel_id('Marketing')}"
    assert (await project.call("PATCH", f"{path}/user/ann@example.com")).status_code == 404
    answer = await project.call("PUT", path, query={"action": "subscribe"}, body={"users": []})
    assert (answer.status_code, answer.json()["code"]) == (404, "NotFound")
