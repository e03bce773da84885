"""Users, in each type of project."""

import hashlib

import pytest

from tests.sandbox.conftest import Project, Sandbox


async def test_a_profile_can_be_read_after_its_lag(sandbox: Sandbox) -> None:
    project = await sandbox.project(lags={"profiles": 60})
    await project.post("/api/users/update", email="Ann@Example.com", dataFields={"age": 7})
    assert await project.get("/api/users/getByEmail", email="ann@example.com") == {}
    await sandbox.clock.advance(60)
    for path in ("/api/users/getByEmail?email=ann@example.com", "/api/users/ann@example.com"):
        name, _, query = path.partition("?")
        user = (await project.get(name, **({"email": query.partition("=")[2]} if query else {})))["user"]
        assert user["email"] == "Ann@Example.com"
        assert user["dataFields"]["age"] == 7
        assert user["dataFields"]["unsubscribedChannelIds"] == []


async def test_an_unknown_email_is_an_empty_object_and_an_unknown_user_id_a_400(project: Project) -> None:
    assert await project.get("/api/users/nobody@example.com") == {}
    for path, query in (("/api/users/byUserId", {"userId": "x"}), ("/api/users/byUserId/x", None)):
        answer = await project.call("GET", path, query=query)
        assert (answer.status_code, answer.json()["msg"]) == (400, "error.users.noUserWithIdExists")


async def test_objects_are_overwritten_unless_they_are_to_be_merged(sandbox: Sandbox, project: Project) -> None:
    for fields, merge in (({"a": {"x": 1}}, False), ({"a": {"y": 2}}, True), ({"b": 1}, False)):
        await project.post("/api/users/update", email="ann@example.com", dataFields=fields, mergeNestedObjects=merge)
    await sandbox.clock.advance(1)
    fields = (await project.get("/api/users/ann@example.com"))["user"]["dataFields"]
    assert (fields["a"], fields["b"]) == ({"x": 1, "y": 2}, 1)
    await project.post("/api/users/update", email="ann@example.com", dataFields={"a": {"z": 3}})
    await sandbox.clock.advance(1)
    assert (await project.get("/api/users/ann@example.com"))["user"]["dataFields"]["a"] == {"z": 3}


async def test_a_field_keeps_its_type(project: Project) -> None:
    await project.post("/api/users/update", email="ann@example.com", dataFields={"age": 7})
    status, code, body = await project.refused(
        "/api/users/update", email="bob@example.com", dataFields={"age": "seven"}
    )
    assert (status, code) == (400, "RequestFieldsTypesMismatched")
    assert body["params"]["validationErrors"]["age"]["offendingValue"] == "seven"


async def test_there_is_a_limit_to_fields(sandbox: Sandbox) -> None:
    project = await sandbox.project(unique_profile_fields=2)
    await project.post("/api/users/update", email="ann@example.com", dataFields={"a": 1, "b": 1})
    status, code, _ = await project.refused("/api/users/update", email="ann@example.com", dataFields={"c": 1})
    assert (status, code) == (400, "UniqueFieldsLimitExceeded")
    assert set((await project.get("/api/users/getFields"))["fields"]) == {"a", "b"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"email": "foo@"}, "InvalidEmailAddressError"),
        ({"userId": "x" * 53}, "InvalidUserIdError"),
        ({"userId": "trailing "}, "InvalidUserIdError"),
        ({}, "BadParams"),
        ({"email": "ann@example.com", "dataFields": 1}, "BadJsonBody"),
    ],
)
async def test_a_wrong_update_is_refused(project: Project, body: dict[str, object], code: str) -> None:
    assert (await project.refused("/api/users/update", **body))[:2] == (400, code)


async def test_in_a_hybrid_project_email_and_user_id_name_one_person(sandbox: Sandbox, project: Project) -> None:
    await project.post("/api/users/update", email="ann@example.com", dataFields={"a": 1})
    await project.post("/api/users/update", email="ann@example.com", userId="u1")
    await project.post("/api/users/update", userId="u2")
    await sandbox.clock.advance(1)
    user = (await project.get("/api/users/byUserId/u1"))["user"]
    assert (user["email"], user["dataFields"]["a"]) == ("ann@example.com", 1)
    status, code, _ = await project.refused("/api/users/update", email="ann@example.com", userId="u2")
    assert (status, code) == (409, "ExternalKeyConflict")


async def test_in_an_email_project_a_user_id_alone_makes_a_placeholder_only_when_asked(sandbox: Sandbox) -> None:
    project = await sandbox.project(type="email")
    assert (await project.refused("/api/users/update", userId="u1"))[1] == "UnknownUserIdError"
    await project.post("/api/users/update", userId="u1", preferUserId=True)
    await sandbox.clock.advance(1)
    user = (await project.get("/api/users/byUserId", userId="u1"))["user"]
    assert user["email"] == "u1@placeholder.email"
    assert user["dataFields"]["emailListIds"] == []
    await project.post("/api/users/updateEmail", currentUserId="u1", newEmail="ann@example.com")
    await sandbox.clock.advance(1)
    assert (await project.get("/api/users/ann@example.com"))["user"]["userId"] == "u1"


async def test_in_a_user_id_project_people_may_share_an_address(sandbox: Sandbox) -> None:
    project = await sandbox.project(type="userid")
    assert (await project.refused("/api/users/update", email="ann@example.com"))[1] == "InvalidUserIdError"
    for user_id in ("u1", "u2"):
        await project.post("/api/users/update", userId=user_id, email="ann@example.com", dataFields={"n": 1})
    await sandbox.clock.advance(1)
    for user_id in ("u1", "u2"):
        user = (await project.get("/api/users/byUserId", userId=user_id))["user"]
        assert user["email"] == "ann@example.com"
        assert user["dataFields"]["userListIds"] == []


async def test_a_bulk_update_succeeds_with_partial_failures(sandbox: Sandbox, project: Project) -> None:
    await project.post("/api/users/forget", email="gone@example.com")
    await project.post("/api/users/update", email="ann@example.com", userId="u1", dataFields={"age": 1})
    await project.post("/api/users/update", userId="u2")
    answer = await project.post(
        "/api/users/bulkUpdate",
        users=[
            {"email": "new@example.com", "dataFields": {"age": 3, "city": "Oslo"}},
            {"email": "foo@"},
            {"email": "gone@example.com"},
            {"email": "bob@example.com", "dataFields": {"age": "x"}},
            {"email": "ann@example.com", "userId": "u2"},
            {"userId": "x" * 60},
        ],
    )
    assert (answer["successCount"], answer["failCount"]) == (1, 5)
    assert answer["createdFields"] == ["city"]
    failed = {name: people for name, people in answer["failedUpdates"].items() if people}
    assert failed == {
        "conflictEmails": ["ann@example.com"],
        "forgottenEmails": ["gone@example.com"],
        "invalidDataEmails": ["bob@example.com"],
        "invalidEmails": ["foo@"],
        "invalidUserIds": ["x" * 60],
    }
    await sandbox.clock.advance(1)
    assert (await project.get("/api/users/new@example.com"))["user"]["dataFields"]["city"] == "Oslo"


async def test_new_fields_can_be_dropped(sandbox: Sandbox, project: Project) -> None:
    users = [{"email": "ann@example.com", "dataFields": {"new": 1}}]
    answer = await project.post("/api/users/bulkUpdate", users=users, createNewFields=False)
    assert (answer["filteredOutFields"], answer["createdFields"]) == (["new"], [])
    await sandbox.clock.advance(1)
    assert "new" not in (await project.get("/api/users/ann@example.com"))["user"]["dataFields"]


async def test_a_bulk_update_of_more_than_four_megabytes_is_refused(project: Project) -> None:
    users = [{"email": "ann@example.com", "dataFields": {"x": "y" * (4 * 1024 * 1024)}}]
    assert (await project.refused("/api/users/bulkUpdate", users=users))[:2] == (400, "BatchTooLarge")


async def test_subscriptions_written_as_profile_fields_make_no_event(sandbox: Sandbox, project: Project) -> None:
    await project.hook()
    channel_id = project.channel_id("Marketing")
    users = [{"email": "ann@example.com", "dataFields": {"unsubscribedChannelIds": [channel_id]}}]
    await project.post("/api/users/bulkUpdate", users=users)
    await sandbox.clock.advance(1)
    assert sandbox.receiver.hooks == []
    user = (await project.get("/api/users/ann@example.com"))["user"]
    assert user["dataFields"]["unsubscribedChannelIds"] == [channel_id]


async def test_a_deleted_user_is_gone_and_may_come_back(sandbox: Sandbox, project: Project) -> None:
    await project.post("/api/users/update", email="ann@example.com", userId="u1")
    await sandbox.clock.advance(1)
    answer = await project.call("DELETE", "/api/users/byUserId/u1")
    assert answer.json()["code"] == "Success"
    assert await project.get("/api/users/ann@example.com") == {}
    gone = await project.call("DELETE", "/api/users/ann@example.com")
    assert (gone.status_code, gone.json()["code"]) == (400, "UnknownEmailError")
    await project.post("/api/users/update", email="ann@example.com")


async def test_a_forgotten_person_stays_out_until_unforgotten(sandbox: Sandbox, project: Project) -> None:
    await project.post("/api/users/update", email="ann@example.com")
    await project.post("/api/users/forget", email="Ann@Example.com")
    await project.post("/api/users/forget", userId="u9")
    assert await project.get("/api/users/ann@example.com") == {}
    assert (await project.refused("/api/users/update", email="ann@example.com"))[:2] == (409, "ForgottenUserError")
    hashed = hashlib.sha256(b"ann@example.com").hexdigest()
    assert await project.get("/api/users/forgotten") == {"hashedEmails": [hashed]}
    hashed = hashlib.sha256(b"u9").hexdigest()
    assert await project.get("/api/users/forgottenUserIds") == {"hashedUserIds": [hashed]}
    await project.post("/api/users/unforget", email="ann@example.com")
    await project.post("/api/users/update", email="ann@example.com")
    other = await sandbox.project(type="userid")
    assert (await other.call("GET", "/api/users/forgotten")).status_code == 400
