"""Projects and their keys: any number, each of its own kind."""

import pytest

from sandbox.keys import KIND_NAMES, KeyKind
from tests.sandbox.conftest import Project, Sandbox

CHANNELS = "/api/channels"


async def test_a_new_project_has_what_a_connector_needs(sandbox: Sandbox) -> None:
    project = await sandbox.project(name="Acme", data_center="eu", type="userid")
    assert (project.made["data_center"], project.made["type"]) == ("eu", "userid")
    assert set(project.keys) == {"server", "read_only", "client"}
    assert [(one["channelType"], one["messageMedium"]) for one in project.made["channels"]] == [
        ("Transactional", "Email"),
        ("Marketing", "Email"),
        ("Marketing", "SMS"),
    ]
    assert [one["name"] for one in project.made["message_types"]] == ["Transactional", "Marketing", "SMS"]
    assert (await project.get("/api/channels"))["channels"] == project.made["channels"]
    assert (await project.get("/api/messageTypes"))["messageTypes"] == project.made["message_types"]


async def test_keys_can_be_fixed_and_belong_to_one_project(sandbox: Sandbox) -> None:
    project = await sandbox.project(keys={"server": "k" * 32})
    assert project.keys["server"] == "k" * 32
    again = await sandbox.http.post("/_sandbox/projects", json={"keys": {"server": "k" * 32}})
    assert again.status_code == 409
    other = await sandbox.project()
    assert (await other.call("GET", CHANNELS, key=project.keys["server"])).json()["channels"] == (
        project.made["channels"]
    )


async def test_a_bad_key_gets_the_documented_401(project: Project) -> None:
    for key in ("", "nonsense"):
        answer = await project.call("GET", CHANNELS, key=key)
        assert answer.status_code == 401
        body = answer.json()
        assert (body["msg"], body["code"]) == ("Invalid API key", "BadApiKey")
        assert body["params"]["endpoint"] == CHANNELS


async def test_a_key_is_unknown_in_the_other_data_center(sandbox: Sandbox) -> None:
    for center, other in (("us", "eu"), ("eu", "us")):
        project = await sandbox.project(data_center=center)
        answer = await project.call("GET", CHANNELS, center=other)
        assert (answer.status_code, answer.json()["code"]) == (401, "BadApiKey")
        assert (await project.call("GET", CHANNELS)).status_code == 200


@pytest.mark.parametrize(
    ("kind", "method", "path", "status"),
    [
        ("read_only", "GET", "/api/channels", 200),
        ("read_only", "GET", "/api/campaigns", 200),
        ("read_only", "GET", "/api/templates", 200),
        ("read_only", "GET", "/api/webhooks", 401),
        ("read_only", "GET", "/api/users/ann@example.com", 401),
        ("read_only", "POST", "/api/email/target", 401),
        ("client", "GET", "/api/channels", 401),
        ("client", "POST", "/api/users/update", 200),
        ("client", "POST", "/api/email/target", 401),
    ],
)
async def test_a_key_of_the_wrong_kind_looks_like_a_dead_one(
    project: Project, kind: KeyKind, method: str, path: str, status: int
) -> None:
    body = {"email": "ann@example.com"} if method == "POST" else None
    answer = await project.call(method, path, body=body, key=project.keys[kind], checked=False)
    assert answer.status_code == status
    if status == 401:
        params = answer.json()["params"]
        assert params["apiKeyType"] == KIND_NAMES[kind]
        assert project.keys[kind] not in answer.text


async def test_the_key_header_has_two_spellings(sandbox: Sandbox, project: Project) -> None:
    answer = await sandbox.http.get(f"/us{CHANNELS}", headers={"api_key": project.keys["server"]})
    assert answer.status_code == 200


async def test_every_answer_has_an_id(project: Project) -> None:
    ids = {(await project.call("GET", CHANNELS)).headers["Iterable-Request-Id"] for _ in range(3)}
    assert len(ids) == 3


async def test_a_wrong_path_is_a_page(sandbox: Sandbox, project: Project) -> None:
    for method, path in (("GET", "/us/api/nothing"), ("POST", "/us/api/channels"), ("GET", "/xx/api/channels")):
        answer = await sandbox.http.request(method, path, headers={"Api-Key": project.keys["server"]})
        assert answer.status_code == 404
        assert "Action not found" in answer.text


async def test_settings_are_changed_piece_by_piece(project: Project) -> None:
    await project.change(lags={"profiles": 60}, activation_enabled=False, name="New")
    settings = (await project.change(delivery={"drop": 0.5}))["settings"]
    assert (settings["lags"]["profiles"], settings["lags"]["templates"]) == (60, 0.1)
    assert settings["activation_enabled"] is False
    assert (settings["delivery"]["drop"], settings["delivery"]["duplicate"]) == (0.5, 0)


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "weird"},
        {"data_center": "moon"},
        {"data_center": "eu", "type": "email"},
        {"activation_enabld": False},
        {"lags": {"profiles": -1}},
        {"keys": {"server": "x"}},
        {"rate_limits": {"POST /api/nothing": None}},
        [],
    ],
)
async def test_a_project_that_cannot_be_is_refused(sandbox: Sandbox, spec: object) -> None:
    assert (await sandbox.http.post("/_sandbox/projects", json=spec)).status_code == 400


async def test_projects_can_be_listed_seen_and_removed(sandbox: Sandbox, project: Project) -> None:
    await project.target(await project.campaign())
    other = await sandbox.project(name="Other")
    listed = (await sandbox.http.get("/_sandbox/projects")).json()["projects"]
    assert [one["name"] for one in listed] == ["Acme", "Other"]
    path = f"/_sandbox/projects/{project.id}"
    assert (await sandbox.http.get(path)).json()["project_id"] == project.id
    assert (await sandbox.http.delete(path)).status_code == 204
    assert (await sandbox.http.get(path)).status_code == 404
    assert (await project.call("GET", CHANNELS)).status_code == 401
    assert await project.outbox() == []
    assert (await other.call("GET", CHANNELS)).status_code == 200


async def test_projects_see_nothing_of_each_other(sandbox: Sandbox, project: Project) -> None:
    other = await sandbox.project(name="Other")
    campaign_id = await project.campaign()
    assert (await other.refused("/api/email/target", campaignId=campaign_id, recipientEmail="a@b.test"))[0] == 400
    assert (await other.get("/api/templates"))["templates"] == []
    assert (await other.counts())["requests"] == {"POST /api/email/target": 1, "GET /api/templates": 1}


async def test_counts_tell_what_was_asked_and_made(sandbox: Sandbox, project: Project) -> None:
    campaign_id = await project.campaign()
    await project.target(campaign_id)
    counts = await project.counts()
    assert (counts["templates_written"], counts["templates"], counts["campaigns"], counts["messages"]) == (1, 2, 1, 1)
    assert counts["requests"]["POST /api/email/target"] == 1


async def test_channels_can_be_added(sandbox: Sandbox, project: Project) -> None:
    made = await sandbox.http.post(f"/_sandbox/projects/{project.id}/channels", json={"name": "Second"})
    assert made.status_code == 201
    assert made.json() in (await project.get("/api/channels"))["channels"]
    wrong = await sandbox.http.post(
        f"/_sandbox/projects/{project.id}/message_types", json={"name": "x", "channel_id": 1}
    )
    assert wrong.status_code == 404
