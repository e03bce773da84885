"""Lists: who is on them, and what leaving one tells."""

from tests.sandbox.conftest import Project, Sandbox


async def test_a_list_fills_and_empties(sandbox: Sandbox, project: Project) -> None:
    list_id = (await project.post("/api/lists", name="News", description="d"))["listId"]
    people = [{"email": "ann@example.com", "dataFields": {"a": 1}}, {"userId": "u1"}, {"email": "foo@"}]
    answer = await project.post("/api/lists/subscribe", listId=list_id, subscribers=people)
    assert (answer["successCount"], answer["failCount"], answer["invalidEmails"]) == (2, 1, ["foo@"])
    users = await project.call("GET", "/api/lists/getUsers", query={"listId": list_id})
    assert users.text == "ann@example.com\nu1\n"
    assert (await project.call("GET", f"/api/lists/{list_id}/size")).text == "2"
    await sandbox.clock.advance(1)
    assert (await project.get("/api/users/ann@example.com"))["user"]["dataFields"]["userListIds"] == [list_id]
    left = await project.post(
        "/api/lists/unsubscribe", listId=list_id, subscribers=[{"email": "ann@example.com"}, {"email": "no@x.test"}]
    )
    assert (left["successCount"], left["failedUpdates"]["notFoundEmails"]) == (1, ["no@x.test"])
    assert (await project.call("GET", f"/api/lists/{list_id}/size")).text == "1"
    assert (await project.get("/api/lists"))["lists"][0]["name"] == "News"


async def test_a_repeated_create_makes_a_second_list(project: Project) -> None:
    first, second = [(await project.post("/api/lists", name="News"))["listId"] for _ in range(2)]
    assert first != second


async def test_an_unknown_list_is_a_400(project: Project) -> None:
    status, code, body = await project.refused("/api/lists/subscribe", listId=42, subscribers=[])
    assert (status, code, body["msg"]) == (400, "BadParams", "error.lists.invalidListId(42)")


async def test_only_existing_people_if_asked(project: Project) -> None:
    list_id = (await project.post("/api/lists", name="News"))["listId"]
    answer = await project.post(
        "/api/lists/subscribe",
        listId=list_id,
        subscribers=[{"email": "new@example.com"}],
        updateExistingUsersOnly=True,
    )
    assert answer["failedUpdates"]["notFoundEmails"] == ["new@example.com"]


async def test_leaving_a_list_is_no_opt_out_unless_the_channel_goes_with_it(sandbox: Sandbox, project: Project) -> None:
    await project.hook(events=["emailSubscribe", "emailUnSubscribe"])
    list_id = (await project.post("/api/lists", name="News"))["listId"]
    people = [{"email": "ann@example.com"}]
    await project.post("/api/lists/subscribe", listId=list_id, subscribers=people)
    await project.post("/api/lists/unsubscribe", listId=list_id, subscribers=people)
    await project.post("/api/lists/unsubscribe", listId=list_id, subscribers=people, channelUnsubscribe=True)
    await sandbox.clock.advance(1)
    joined, left, opted_out = sandbox.receiver.hooks
    assert (joined.name, joined.fields["signupSource"], joined.fields["emailListIds"]) == (
        "emailSubscribe",
        "API",
        [list_id],
    )
    assert (left.name, left.fields["unsubSource"]) == ("emailUnSubscribe", "ListAPI")
    assert (left.fields["emailListIds"], left.fields["channelIds"]) == ([list_id], [])
    assert (opted_out.fields["emailListIds"], opted_out.fields["channelIds"]) == (
        [],
        [project.channel_id("Marketing")],
    )


async def test_a_forgotten_person_cannot_be_taken_off(project: Project) -> None:
    list_id = (await project.post("/api/lists", name="News"))["listId"]
    await project.post("/api/users/forget", email="gone@example.com")
    answer = await project.post("/api/lists/unsubscribe", listId=list_id, subscribers=[{"email": "gone@example.com"}])
    assert answer["failedUpdates"]["forgottenEmails"] == ["gone@example.com"]


async def test_a_deleted_list_leaves_profiles(sandbox: Sandbox, project: Project) -> None:
    list_id = (await project.post("/api/lists", name="News"))["listId"]
    await project.post("/api/lists/subscribe", listId=list_id, subscribers=[{"email": "ann@example.com"}])
    await project.call("DELETE", f"/api/lists/{list_id}")
    await sandbox.clock.advance(1)
    assert (await project.get("/api/users/ann@example.com"))["user"]["dataFields"]["userListIds"] == []
    assert (await project.get("/api/lists"))["lists"] == []
