"""The admin API against a whole stack: as GenieOS's settings page uses it, and as nobody should."""

import asyncio
import os
import re
import uuid
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from contracts.connector import ConnectorSettings
from endpoint.administration import Administration
from tests.stage import Project, Stage

pytestmark = pytest.mark.scenario

HEADERS = {"Authorization": "Bearer admin-token"}


def path_of(project: Project, rest: str = "") -> str:
    return f"/v1/workspaces/{project.workspace_id}/connector{rest}"


async def test_a_settings_page_installs_changes_tests_and_removes(the_stage: Stage) -> None:
    made = (await the_stage.sandbox_http.post("/_sandbox/projects", json={})).raise_for_status().json()
    kinds = {kind["name"].lower(): kind["id"] for kind in made["message_types"]}
    path = f"/v1/workspaces/ws-{uuid.uuid4().hex[:8]}/connector"
    http, key = the_stage.endpoint_http, made["keys"]["server"]
    wanted = {
        "data_center": "us",
        "transactional_message_type_id": kinds["transactional"],
        "default_from_email": "hello@acme.test",
    }
    texts: list[str] = []

    async def ask(method: str, rest: str = "", status: int = 200, **body: Any) -> Any:
        answer = await http.request(method, path + rest, headers=HEADERS, **({"json": body} if body else {}))
        texts.append(answer.text)
        assert answer.status_code == status, answer.text
        return answer.json()

    assert (await ask("GET", status=404))["code"] == "connector_not_installed"
    assert (await ask("POST", "/pause", status=404))["code"] == "connector_not_installed"
    for rest in ("timeline", "suppressions", "shadows"):
        answer = await http.get(path.removesuffix("connector") + rest, headers=HEADERS)
        assert (answer.status_code, answer.json()["code"]) == (404, "connector_not_installed")
    refused = await ask("PUT", status=422, settings=wanted, api_key="dead".ljust(32, "0"))
    assert refused["code"] == "api_key_invalid"
    stands = await ask("GET")
    assert (stands["state"], stands["refused"]) == ("validating", True)
    assert stands["reason"].startswith("api_key_invalid: ")
    installed = await ask("PUT", settings=wanted, api_key=key)
    assert installed["webhook_token"]
    assert installed["status"]["state"] == "awaiting_webhook"
    changed = await ask("PUT", settings=wanted | {"settle_for_seconds": 7})
    assert (changed["webhook_token"], changed["status"]["settings"]["settle_for_seconds"]) == (None, 7)
    assert (await ask("PUT", status=400, settings=wanted | {"ip_allowlist": ["x"]}))["code"] == "request_invalid"
    assert "no list 7" in (await ask("PUT", status=400, settings=wanted | {"all_list_id": 7}))["message"]
    assert (await ask("POST", "/pause"))["state"] == "paused"
    assert (await ask("POST", "/resume"))["state"] == "awaiting_webhook"
    rotated = await ask("POST", "/webhook-token")
    assert rotated["webhook_token"] not in {None, installed["webhook_token"]}
    assert (await ask("POST", "/api-key", status=422, api_key="dead".ljust(32, "0")))["code"] == "api_key_invalid"
    assert (await ask("POST", "/api-key", api_key=key))["state"] == "awaiting_webhook"
    test_id = (await ask("POST", "/test", status=202, stream="transactional"))["test_id"]
    for _ in range(60):
        answer = await http.get(f"{path}/test/{test_id}", headers=HEADERS)
        if answer.status_code == 200:
            break
        assert (answer.status_code, answer.json()) == (202, {"test_id": test_id})
        await asyncio.sleep(0.25)
    assert {leg["point"]: leg["level"] for leg in answer.json()["legs"]}["preview"] == "ok"
    assert (await ask("GET", "/test/nothing", status=404))["code"] == "not_found"
    assert (await ask("DELETE", "?wait_seconds=0"))["state"] == "uninstalled"
    assert not any(key in text for text in texts)
    told = [text for text in texts if installed["webhook_token"] in text or rotated["webhook_token"] in text]
    assert len(told) == 2  # each once


async def test_an_installation_that_nobody_answers_ends_in_time_and_takes_its_token_back(the_stage: Stage) -> None:
    workspace_id = f"nobody-{uuid.uuid4().hex[:8]}"
    nobody = Administration(the_stage.store, the_stage.client, "nobody")
    settings = ConnectorSettings(data_center="us", transactional_message_type_id=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await nobody.install(workspace_id, settings, SecretStr("k" * 32))
    async with the_stage.store.read() as tx:
        assert await tx.webhooks.token_hashes(workspace_id) == []  # nobody has been shown it
        assert await tx.webhooks.handed_over(workspace_id) is None


async def test_the_description_needs_nothing_from_elsewhere(the_stage: Stage) -> None:
    page = (await the_stage.endpoint_http.get("/docs")).raise_for_status().text
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert sources
    for source in sources:
        assert source.startswith("/docs/"), source
        (await the_stage.endpoint_http.get(source)).raise_for_status()


async def test_nothing_is_looked_at_before_the_token(the_stage: Stage) -> None:
    http = the_stage.endpoint_http
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        for path in ("/v1/workspaces/acme/connector", "/v1/nothing", "/v1/workspaces/%00/connector"):
            answer = await http.put(path, content=b"{", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorised")


async def test_a_body_is_read_no_further_than_allowed(the_stage: Stage, project: Project) -> None:
    answer = await the_stage.endpoint_http.put(path_of(project), content=b" " * 16_000_001, headers=HEADERS)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "6"))
"""Requests an operation; `make fuzz-api` makes more of them."""
SLOW = frozenset({"/pause", "/resume"})
"""They wait until every worker knows, and nothing in them varies."""


async def test_whatever_is_asked_is_answered_as_described_and_tells_no_secret(
    the_stage: Stage, project: Project
) -> None:
    """No 5xx, no answer that the description does not know, no key or token in any of them."""
    description = (await the_stage.endpoint_http.get("/openapi.json")).raise_for_status().json()
    await asyncio.to_thread(_fuzz, schemathesis.openapi.from_dict(description), project)


def _fuzz(schema: Any, project: Project) -> None:
    secrets = [*project.keys.values(), project.webhook_token, "admin-token"]
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        slow = any(operation.path.endswith(end) for end in SLOW)

        @given(case=operation.as_strategy(), known=st.booleans())
        @settings(
            max_examples=2 if slow else EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        def one(case: Any, known: bool) -> None:
            nonlocal asked
            if known and case.method != "DELETE":
                case.path_parameters = {**(case.path_parameters or {}), "workspace_id": project.workspace_id}
            answer = case.call(base_url=project.stage.endpoint_url, headers=HEADERS, timeout=60)
            asked += 1
            case.validate_response(
                answer, checks=[not_a_server_error, status_code_conformance, response_schema_conformance]
            )
            assert not any(secret in answer.text for secret in secrets)

        one()
    assert asked >= 20
