"""docker-compose.yml and the Dockerfile. There may be no container engine here, so: is what they say well-formed, does
what they name exist, and does each part get what it needs and nothing more?"""

import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from iterable.timeouts import Timeouts
from runtime.settings import Settings, what_is_wrong
from store.keyring import parse_keys
from worker import SHUTDOWN_GRACE

ROOT = Path(__file__).parents[2]
OURS = ("migrate", "worker", "endpoint", "sandbox")
ONE_SHOT = ("temporal-schema", "temporal-namespace", "migrate")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file, with its anchors resolved."""
    return json.loads(json.dumps(YAML(typ="safe").load(ROOT / "docker-compose.yml")))


@pytest.fixture
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By name."""
    return compose["services"]


def test_it_is_what_the_compose_specification_describes(compose: dict[str, Any]) -> None:
    schema = files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json")
    jsonschema.Draft7Validator(json.loads(schema.read_text())).validate(compose)


def test_every_image_is_pinned_to_a_release(services: dict[str, dict[str, Any]]) -> None:
    images = [service["image"] for service in services.values()]
    images += re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for image in images:
        name, _, tag = image.partition(":")
        assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?(-\S+)?", tag) or tag == "${CONNECTOR_VERSION:-0.1.0}", image
        assert "." not in name.split("/")[0], f"{image} names a registry"


def test_temporal_tools_are_of_the_servers_release(services: dict[str, dict[str, Any]]) -> None:
    of = {name: service["image"].partition(":")[2] for name, service in services.items()}
    assert of["temporal"] == of["temporal-schema"] == of["temporal-namespace"]
    assert not any("auto-setup" in service["image"] for service in services.values())


def test_only_the_endpoint_listens_beyond_this_machine(services: dict[str, dict[str, Any]]) -> None:
    open_to_all = [
        name
        for name, service in services.items()
        for port in service.get("ports", [])
        if not re.match(r"(\$\{\w+:-)?127\.0\.0\.1:", port)
    ]
    assert open_to_all == ["endpoint"]


def test_what_runs_on_is_watched_and_restarted_and_what_ends_is_waited_for(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        if name in ONE_SHOT:
            assert service["restart"].startswith("on-failure")
        else:
            assert service["restart"] == "unless-stopped"
            assert service["healthcheck"]["test"][0] == "CMD"
        for needed, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if needed in ONE_SHOT else "service_healthy"
            assert how["condition"] == wanted, (name, needed)


def test_no_container_writes_to_its_image_or_gains_rights(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    assert re.findall(r"^USER (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE) == ["10001:10001"]


def test_no_log_fills_the_disk(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert {"max-size", "max-file"} <= service["logging"]["options"].keys(), name


def test_the_database_has_a_connection_for_everybody(services: dict[str, dict[str, Any]]) -> None:
    given = re.search(r"max_connections=(\d+)", " ".join(services["postgres"]["command"]))
    assert given is not None
    pool = 15  # SQLAlchemy's own bound; the endpoint has a second one, for what webhooks bring
    temporals = 4 * (20 + 10)  # its services, each with its two databases
    workers = 8
    assert temporals + workers * pool + 2 * pool <= int(given[1])


def test_how_many_workers_there_are_outlives_the_next_command(services: dict[str, dict[str, Any]]) -> None:
    assert services["worker"]["scale"] == "${CONNECTOR_WORKERS:-1}"
    documents = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "docker-compose.yml"]
    assert [path.name for path in documents if "--scale" in path.read_text()] == []


def test_what_is_mounted_is_there(services: dict[str, dict[str, Any]], compose: dict[str, Any]) -> None:
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in compose["volumes"]


def test_secrets_are_files_and_the_script_makes_them(
    services: dict[str, dict[str, Any]], compose: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "secrets"
    subprocess.run(["sh", ROOT / "deploy/secrets.sh", folder], check=True, capture_output=True)
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert {Path(secret["file"]).name for secret in compose["secrets"].values()} == set(made)
    assert {name for service in services.values() for name in service.get("secrets", [])} == set(made)
    assert folder.stat().st_mode & 0o777 == 0o700
    subprocess.run(["sh", ROOT / "deploy/secrets.sh", folder], check=True, capture_output=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == made, "a second run changes nothing"
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            names_a_secret = re.search(r"(PASSWORD|PWD|TOKEN|SECRET|_KEY)$", name)
            assert not names_a_secret or "false" in value or value == f"${{{name}:-}}", name


def test_settings_are_read_from_the_secrets_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["sh", ROOT / "deploy/secrets.sh", tmp_path], check=True, capture_output=True)
    for name in ("CONNECTOR_DATABASE_URL", "CONNECTOR_MASTER_KEY", "CONNECTOR_MASTER_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CONNECTOR_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("CONNECTOR_BUILD_ID", "")
    monkeypatch.setenv("CONNECTOR_ADMIN_TOKEN", "from-the-environment")
    settings = Settings()
    assert settings.database_url == (tmp_path / "connector_database_url").read_text().strip()
    assert settings.master_keys() == parse_keys((tmp_path / "connector_master_key").read_text())
    assert settings.admin_token is not None
    assert settings.admin_token.get_secret_value() == "from-the-environment"
    assert settings.build_id is None
    monkeypatch.delenv("CONNECTOR_ADMIN_TOKEN")
    assert Settings().admin_token is not None
    monkeypatch.setenv("CONNECTOR_SECRETS_DIR", str(tmp_path / "nowhere"))
    assert Settings().admin_token is None


@pytest.mark.parametrize("name", ["connector_admin_token", "connector_codec_token"])
@pytest.mark.parametrize("content", ["", "\n"])
def test_a_token_whose_file_is_empty_is_refused(
    name: str, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNECTOR_SECRETS_DIR", str(tmp_path))
    (tmp_path / name).write_text(content)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert what_is_wrong(refused.value).startswith(f"{name.upper()}: the token is empty")


def test_every_setting_is_in_the_table_and_the_table_has_no_other() -> None:
    text = (ROOT / "docs/operations.md").read_text()
    table = text.partition("\n## Settings\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(CONNECTOR_[A-Z_]+)`", "".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))))
    elsewhere = {"CONNECTOR_SECRETS_DIR"}  # where to look for the others
    assert named - elsewhere == {f"CONNECTOR_{name.upper()}" for name in Settings.model_fields}


def test_variables_of_ours_are_settings(services: dict[str, dict[str, Any]]) -> None:
    known = {f"CONNECTOR_{name.upper()}" for name in Settings.model_fields}
    for name in OURS:
        given = {key for key in services[name]["environment"] if key.startswith("CONNECTOR_")}
        given |= {secret.upper() for secret in services[name]["secrets"]}
        assert given <= known


@pytest.mark.parametrize("name", ["worker", "endpoint"])
@pytest.mark.parametrize("setting", ["ASSETS_URL", "TRUSTED_PROXIES", "TRACES", "BUILD_ID", "INBOX_SHARDS"])
def test_what_documents_tell_to_set_reaches_our_processes(
    services: dict[str, dict[str, Any]], name: str, setting: str
) -> None:
    given = services[name]["environment"][f"CONNECTOR_{setting}"]
    assert given.startswith(f"${{CONNECTOR_{setting}:-")


def test_what_is_handed_on_and_not_set_changes_nothing(
    services: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in services["worker"]["environment"].items():
        if name.startswith("CONNECTOR_") and value.endswith(":-}"):
            monkeypatch.setenv(name, "")
    settings = Settings()
    assert (settings.assets_url, settings.trusted_proxies, settings.traces) == (None, [], False)


def test_the_ui_may_ask_who_comes(services: dict[str, dict[str, Any]]) -> None:
    handed_on = services["temporal-ui"]["environment"]
    for name in ("ENABLED", "PROVIDER_URL", "CLIENT_ID", "CLIENT_SECRET", "CALLBACK_URL", "SCOPES"):
        assert handed_on[f"TEMPORAL_AUTH_{name}"].startswith(f"${{TEMPORAL_AUTH_{name}:-")


def test_the_codec_has_a_token_of_its_own(services: dict[str, dict[str, Any]]) -> None:
    holders = [name for name, service in services.items() if "connector_codec_token" in service.get("secrets", [])]
    assert holders == ["endpoint"]
    assert set(services["worker"]["secrets"]) < set(services["endpoint"]["secrets"])


def test_temporal_is_reached_from_the_inner_network_alone(
    services: dict[str, dict[str, Any]], compose: dict[str, Any]
) -> None:
    assert services["temporal"]["networks"] == ["inside"]
    assert compose["networks"]["inside"]["internal"]
    told = (ROOT / "docs/operations.md").read_text()
    assert f"{compose['name']}_inside" in told
    tools = re.findall(r"docker compose run --rm --no-deps (\S+) temporal", told)
    assert tools
    assert all("admin-tools" in services[name]["image"] for name in tools)


def test_the_image_gets_every_room_and_nothing_else() -> None:
    """What .dockerignore lets in is what pyproject.toml packs, and what it needs to be packed."""
    rooms = re.search(r"only-include = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL)
    assert rooms is not None
    let_in = {
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    assert let_in == set(re.findall(r'"([^"]+)"', rooms[1])) | {"requirements/*.lock", "pyproject.toml", "README.md"}


@pytest.mark.skipif(shutil.which("sh") is None, reason="no shell")
@pytest.mark.parametrize("script", sorted((ROOT / "deploy").rglob("*.sh")), ids=lambda path: path.name)
def test_scripts_parse(script: Path) -> None:
    subprocess.run(["sh", "-n", script], check=True)


def test_a_worker_that_is_told_to_stop_has_time_for_the_longest_call_and_to_write_its_answer(
    services: dict[str, dict[str, Any]],
) -> None:
    given = int(services["worker"]["stop_grace_period"].removesuffix("s"))
    assert Timeouts().total < SHUTDOWN_GRACE.total_seconds() < given - 10
