"""Every check of an installation against the sandbox, one by one: what is told, and what stays in force."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.hooks import set_up
from activities.install import InstallActivities
from contracts.connector import ConnectorSettings, ConnectorState, DataCenter
from contracts.errors import ErrorCode
from contracts.finding import Finding, Level
from contracts.install import CheckReport, CheckRequest, TokenRotation
from contracts.names import WEBHOOK_TOKEN_HEADER
from iterable.client import BaseUrls, IterableClient
from iterable.errors import Refused
from sandbox.app import create_app
from sandbox.project import Project
from sandbox.settings import ProjectSettings, SandboxSettings
from sandbox.webhooks import Webhook, WebhookSpec
from sandbox.world import World
from store.keyring import Keyring
from store.store import Store
from store.webhooks import token_hash

URL = "https://hooks.example.com/webhooks/iterable/acme"
TOKEN = "t" * 43


@dataclass
class Rig:
    """The activities over an in-process sandbox with one project."""

    store: Store
    world: World
    project: Project
    activities: InstallActivities

    def settings(self, **changes: Any) -> ConnectorSettings:
        kinds = {one.name: one.id for one in self.project.message_types}
        wanted = {
            "data_center": "us",
            "transactional_message_type_id": kinds["Transactional"],
            "marketing_message_type_id": kinds["Marketing"],
        }
        return ConnectorSettings.model_validate(wanted | changes)

    def change(self, **settings: Any) -> None:
        self.project.apply(self.project.settings.patched(settings))

    def add_webhook(self, **spec: Any) -> int:
        id_ = self.world.next_id("webhook")
        self.project.webhooks[id_] = webhook = Webhook.from_spec(
            id_, WebhookSpec.model_validate({"endpoint": URL, **spec})
        )
        return webhook.id

    async def offer(self, key: str, settings: ConnectorSettings | None = None) -> None:
        async with self.store.begin() as tx:
            await tx.connectors.offer("acme", settings or self.settings(), SecretStr(key))

    async def check(self, settings: ConnectorSettings | None = None) -> CheckReport:
        request = CheckRequest(workspace_id="acme", settings=settings or self.settings())
        return await ActivityEnvironment().run(self.activities.check_connector, request)

    async def install(self, **changes: Any) -> None:
        await self.offer(self.project.keys["server"], self.settings(**changes))
        report = await self.check(self.settings(**changes))
        await ActivityEnvironment().run(self.activities.adopt_connector, report)

    async def look(self) -> tuple[ConnectorState, dict[str, Finding]]:
        status = await ActivityEnvironment().run(self.activities.look_after_connector, "acme")
        return status.state, {one.point: one for one in status.findings}


def client_of(app: Starlette, data_center: DataCenter, key: SecretStr) -> IterableClient:
    return IterableClient(
        data_center=data_center,
        api_key=key,
        base_urls=BaseUrls(us="http://sandbox/us", eu="http://sandbox/eu"),
        transport=httpx.ASGITransport(app),
    )


@pytest.fixture
async def rig(sqlite_url: str, keyring: Keyring) -> AsyncGenerator[Rig]:
    store = await Store.open(sqlite_url, keyring)
    app = create_app(SandboxSettings())
    world = cast("World", app.state.world)
    project = world.add_project(
        name="acme", data_center="us", project_type="hybrid", keys={}, settings=ProjectSettings()
    )
    activities = InstallActivities(
        store, lambda center, key: client_of(app, center, key), "https://hooks.example.com", 30
    )
    yield Rig(store, world, project, activities)
    await world.close()
    await store.close()


# ── what refuses an installation ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind_is_told", [True, False])
@pytest.mark.parametrize(
    ("key", "code", "named"),
    [
        ("dead", ErrorCode.API_KEY_INVALID, "in the us data center and in the eu one"),
        ("read_only", ErrorCode.API_KEY_INSUFFICIENT, "read-only"),
        ("client", ErrorCode.API_KEY_INSUFFICIENT, "client-side"),
        ("elsewhere", ErrorCode.API_KEY_INVALID, "belongs to the data center eu"),
        ("not a key\n", ErrorCode.API_KEY_INVALID, "no API key"),
    ],
)
async def test_a_key_that_does_not_do(rig: Rig, key: str, code: ErrorCode, named: str, kind_is_told: bool) -> None:
    rig.change(key_kind_in_refusals=kind_is_told)
    if key == "elsewhere":
        given = rig.world.add_project(
            name="eu", data_center="eu", project_type="hybrid", keys={}, settings=rig.project.settings
        ).keys["server"]
    else:
        given = rig.project.keys.get(key, key.ljust(32, "0"))  # type: ignore[call-overload]
    if key == "client" and not kind_is_told:  # nothing tells it from a dead one then
        code, named = ErrorCode.API_KEY_INVALID, "in the us data center and in the eu one"
    await rig.offer(given)
    with pytest.raises(ApplicationError) as refused:
        await rig.check()
    assert refused.value.type == code
    assert named in refused.value.message
    assert given.strip() not in refused.value.message


@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        ({"transactional_message_type_id": 1}, ErrorCode.MESSAGE_TYPE_MISSING, "no message type 1 (transactional)"),
        ({"marketing_message_type_id": 1}, ErrorCode.MESSAGE_TYPE_MISSING, "no message type 1 (marketing)"),
        ({"transactional_message_type_id": "Marketing"}, ErrorCode.MESSAGE_TYPE_MISMATCH, "Marketing Email"),
        ({"marketing_message_type_id": "Transactional"}, ErrorCode.MESSAGE_TYPE_MISMATCH, "Transactional Email"),
        ({"marketing_message_type_id": "SMS"}, ErrorCode.MESSAGE_TYPE_MISMATCH, "Marketing SMS"),
        ({"all_list_id": 7}, ErrorCode.REQUEST_INVALID, "no list 7"),
        (
            {"transactional_message_type_id": None, "marketing_message_type_id": None},
            ErrorCode.REQUEST_INVALID,
            "message type for one stream",
        ),
        ({"push_removals": True}, ErrorCode.REQUEST_INVALID, "all_list_id"),
        ({"evidence_after_seconds": 29}, ErrorCode.REQUEST_INVALID, "evidence_after_seconds is less than 30"),
    ],
)
async def test_settings_that_do_not_fit_the_project(
    rig: Rig, changes: dict[str, Any], code: ErrorCode, named: str
) -> None:
    kinds = {one.name: one.id for one in rig.project.message_types}
    wanted = rig.settings(**{name: kinds.get(str(value), value) for name, value in changes.items()})
    await rig.offer(rig.project.keys["server"])
    with pytest.raises(ApplicationError) as refused:
        await rig.check(wanted)
    assert refused.value.type == code
    assert named in refused.value.message


async def test_all_that_is_wrong_is_told_at_once_with_what_would_fit(rig: Rig) -> None:
    await rig.offer(rig.project.keys["server"])
    with pytest.raises(ApplicationError) as refused:
        await rig.check(rig.settings(transactional_message_type_id=1, all_list_id=7))
    assert "message type 1" in refused.value.message
    assert "list 7" in refused.value.message
    assert f"{rig.project.message_types[0].id} (Transactional)" in refused.value.message


async def test_a_refused_change_leaves_key_and_settings_in_force_and_nothing_for_later(rig: Rig) -> None:
    await rig.install()
    await rig.offer("dead".ljust(32, "0"))
    with pytest.raises(ApplicationError):
        await rig.check(rig.settings(settle_for_seconds=5))
    async with rig.store.read() as tx:
        row = await tx.connectors.get("acme")
        offered = await tx.connectors.offered_key("acme")
    assert row is not None
    assert row.api_key == SecretStr(rig.project.keys["server"])
    assert row.settings == rig.settings()
    assert offered is not None
    assert offered.offer is None  # a later change of settings does not pick the dead key up


async def test_only_the_key_that_was_checked_comes_into_force(rig: Rig) -> None:
    await rig.offer(rig.project.keys["server"])
    report = await rig.check()
    await rig.offer("another".ljust(32, "0"))  # between the check and its adoption
    with pytest.raises(ApplicationError) as refused:
        await ActivityEnvironment().run(rig.activities.adopt_connector, report.model_copy())
    assert refused.value.type == ErrorCode.REQUEST_INVALID


async def test_adopting_twice_is_adopting_once(rig: Rig) -> None:
    await rig.offer(rig.project.keys["server"])
    report = await rig.check()
    first = await ActivityEnvironment().run(rig.activities.adopt_connector, report)
    again = await ActivityEnvironment().run(rig.activities.adopt_connector, report)
    assert (first.state, first.settings) == (again.state, again.settings)


# ── what is told and does not refuse ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("webhooks", "level", "named"),
    [
        ([], Level.ATTENTION, "no webhook that posts to " + URL),
        ([{"endpoint": "https://other.example.com/x"}], Level.ATTENTION, "no webhook that posts to"),
        ([{"endpoint": "https://old.example.com/webhooks/iterable/acme"}], Level.ATTENTION, "another host"),
        ([{"enabled": False}], Level.ATTENTION, "not enabled"),
        ([{"triggeredSendEnabled": False}], Level.ATTENTION, "triggered sends"),
        ([{}, {}], Level.ATTENTION, "all post to the connector"),
        ([{}, {"endpoint": URL + "-other"}], Level.OK, "is enabled"),
        ([{"endpoint": URL + "/"}], Level.OK, "is enabled"),
    ],
)
async def test_the_webhook(rig: Rig, webhooks: list[dict[str, Any]], level: Level, named: str) -> None:
    for spec in webhooks:
        rig.add_webhook(**spec)
    await rig.offer(rig.project.keys["server"])
    findings = {one.point: one for one in (await rig.check()).findings}
    assert findings["webhook"].level is level
    assert named in findings["webhook"].found
    assert bool(findings["webhook"].advice) == (level is not Level.OK)


@pytest.mark.parametrize(
    ("enabled", "campaign_first", "level"),
    [(True, False, Level.OK), (False, False, Level.ATTENTION), (False, True, Level.OK)],  # the last one cannot be told
)
async def test_activation(rig: Rig, enabled: bool, campaign_first: bool, level: Level) -> None:
    rig.change(activation_enabled=enabled, activation_looks_at_campaign_first=campaign_first)
    await rig.offer(rig.project.keys["server"])
    finding = {one.point: one for one in (await rig.check()).findings}["activation"]
    assert finding.level is level
    if level is Level.ATTENTION:
        assert finding.code == ErrorCode.ACTIVATION_REQUIRED
        assert "press Activate" in finding.advice


# ── looking after it ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_connector_waits_for_its_webhook_and_is_active_once_one_came(rig: Rig) -> None:
    await rig.install()
    assert (await rig.look())[0] is ConnectorState.AWAITING_WEBHOOK
    rig.add_webhook()
    async with rig.store.begin() as tx:
        assert await tx.connectors.webhook_came("acme") is True
        assert await tx.connectors.webhook_came("acme") is False
    assert (await rig.look())[0] is ConnectorState.ACTIVE


@pytest.mark.parametrize("trouble", ["key", "message type", "webhook", "activation", "wrong token", "address"])
async def test_what_goes_wrong_later_degrades_it_says_so_and_recovers(rig: Rig, trouble: str) -> None:
    await rig.install()
    webhook = rig.add_webhook()
    async with rig.store.begin() as tx:
        await tx.connectors.webhook_came("acme")
    kinds = list(rig.project.message_types)
    key = rig.project.keys["server"]
    match trouble:
        case "key":
            grant = rig.world.keys.find(key)
            rig.world.keys._grants.pop(key)
        case "message type":
            rig.project.message_types.clear()
        case "webhook":
            rig.project.webhooks[webhook].enabled = False
        case "activation":
            rig.change(activation_enabled=False)
        case _:
            async with rig.store.begin() as tx:
                reason = "wrong_token" if trouble == "wrong token" else "not_allowlisted"
                await tx.webhooks.count_refused({("acme", reason): 3})
            assert (await rig.look())[0] is ConnectorState.ACTIVE  # Iterable's own come: it was somebody else
            async with rig.store.begin() as tx:
                await tx.connectors._set("acme", last_webhook_at=rig.store.now() - timedelta(hours=1))
    state, findings = await rig.look()
    assert state is ConnectorState.DEGRADED
    async with rig.store.read() as tx:
        row = await tx.connectors.get("acme")
    assert row is not None
    assert row.reason
    told = [one for one in findings.values() if one.is_problem]
    assert told
    assert all(one.advice for one in told)
    match trouble:
        case "key":
            rig.world.keys._grants[key] = grant  # pyright: ignore
        case "message type":
            rig.project.message_types.extend(kinds)
        case "webhook":
            rig.project.webhooks[webhook].enabled = True
        case "activation":
            rig.change(activation_enabled=True)
        case _:
            async with rig.store.begin() as tx:
                await tx.webhooks.add_token("acme", token_hash("another"))
    assert (await rig.look())[0] is ConnectorState.ACTIVE


async def test_a_paused_connector_stays_paused_whatever_a_look_or_new_settings_find(rig: Rig) -> None:
    await rig.install()
    async with rig.store.begin() as tx:
        await tx.connectors.set_state("acme", ConnectorState.PAUSED, "paused")
    assert (await rig.look())[0] is ConnectorState.PAUSED
    await rig.install(settle_for_seconds=7)
    async with rig.store.read() as tx:
        row = await tx.connectors.get("acme")
    assert row is not None
    assert (row.state, row.settings.settle_for_seconds) == (ConnectorState.PAUSED, 7)


# ── the webhook's token ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_webhook_that_appears_gets_its_token_and_the_token_is_forgotten(rig: Rig) -> None:
    await rig.install()
    async with rig.store.begin() as tx:
        await tx.webhooks.hand_over("acme", SecretStr(TOKEN))
    await rig.look()
    async with rig.store.read() as tx:
        assert await tx.webhooks.handed_over("acme") == SecretStr(TOKEN)  # there is no webhook to tell yet
    webhook = rig.add_webhook(enabled=False)
    await rig.look()
    assert rig.project.webhooks[webhook].headers == [(WEBHOOK_TOKEN_HEADER, TOKEN)]
    assert rig.project.webhooks[webhook].enabled is False  # somebody may have switched it off on purpose
    async with rig.store.read() as tx:
        assert await tx.webhooks.handed_over("acme") is None
        assert await tx.webhooks.token_hashes("acme") == [token_hash(TOKEN)]


async def test_setting_it_up_corrects_what_the_api_allows(rig: Rig) -> None:
    await rig.install()
    webhook = rig.add_webhook(
        endpoint="https://old.example.com/webhooks/iterable/acme", enabled=False, triggeredSendEnabled=False
    )
    finding = await ActivityEnvironment().run(rig.activities.set_up_webhook, "acme")
    assert finding.level is Level.OK
    changed = rig.project.webhooks[webhook]
    assert (changed.endpoint, changed.enabled, changed.triggered_sends) == (URL, True, True)


async def test_rotation_keeps_both_tokens_valid_for_the_time_that_is_set(rig: Rig) -> None:
    await rig.install(webhook_token_overlap_seconds=3600)
    webhook = rig.add_webhook()
    new = "n" * 43
    async with rig.store.begin() as tx:
        await tx.webhooks.hand_over("acme", SecretStr(TOKEN))
        await tx.webhooks.hand_over("acme", SecretStr(new))
    rotation = TokenRotation(workspace_id="acme", token_hash=token_hash(new))
    first = await ActivityEnvironment().run(rig.activities.rotate_webhook_token, rotation)
    again = await ActivityEnvironment().run(rig.activities.rotate_webhook_token, rotation)
    assert first.old_valid_until == again.old_valid_until
    assert first.webhook.level is Level.OK
    assert rig.project.webhooks[webhook].headers == [(WEBHOOK_TOKEN_HEADER, new)]
    async with rig.store.read() as tx:
        assert set(await tx.webhooks.token_hashes("acme")) == {token_hash(TOKEN), token_hash(new)}


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a"), ("a",)])
async def test_of_two_rotations_at_once_the_newer_token_stays(rig: Rig, order: tuple[str, ...]) -> None:
    await rig.install(webhook_token_overlap_seconds=0)
    webhook = rig.add_webhook()
    tokens = [TOKEN, "a" * 43, "b" * 43]
    for token in tokens:
        async with rig.store.begin() as tx:
            await tx.webhooks.hand_over("acme", SecretStr(token))
    for name in order:
        rotation = TokenRotation(workspace_id="acme", token_hash=token_hash(name * 43))
        with contextlib.suppress(ApplicationError):  # the older one may have ended
            await ActivityEnvironment().run(rig.activities.rotate_webhook_token, rotation)
    assert rig.project.webhooks[webhook].headers == [(WEBHOOK_TOKEN_HEADER, "b" * 43)]
    async with rig.store.read() as tx:
        valid = await tx.webhooks.token_hashes("acme")
    assert token_hash("b" * 43) in valid
    assert token_hash(TOKEN) not in valid


async def test_rotation_tells_what_to_do_where_iterable_has_no_webhook(rig: Rig) -> None:
    await rig.install(webhook_token_overlap_seconds=0)
    async with rig.store.begin() as tx:
        await tx.webhooks.hand_over("acme", SecretStr(TOKEN))
        await tx.webhooks.hand_over("acme", SecretStr("n" * 43))
    rotation = TokenRotation(workspace_id="acme", token_hash=token_hash("n" * 43))
    rotated = await ActivityEnvironment().run(rig.activities.rotate_webhook_token, rotation)
    assert rotated.webhook.is_problem
    assert URL in rotated.webhook.advice
    async with rig.store.read() as tx:
        assert await tx.webhooks.token_hashes("acme") == [token_hash("n" * 43)]


async def test_a_refused_key_degrades_a_connector_whose_token_waits(rig: Rig) -> None:
    await rig.install()
    async with rig.store.begin() as tx:
        await tx.connectors.webhook_came("acme")
        await tx.webhooks.hand_over("acme", SecretStr(TOKEN))
    rig.world.keys._grants.pop(rig.project.keys["server"])
    state, findings = await rig.look()
    assert state is ConnectorState.DEGRADED
    assert findings["key"].code == ErrorCode.API_KEY_INVALID


async def test_a_token_that_iterable_refuses_is_told_of_beside_all_that_is_well(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.install()
    rig.add_webhook()
    async with rig.store.begin() as tx:
        await tx.connectors.webhook_came("acme")
        await tx.webhooks.hand_over("acme", SecretStr(TOKEN))

    async def refuse(*_: object, **__: object) -> Finding:
        raise Refused("PUT /api/webhooks/{id}", status=400)

    monkeypatch.setattr("activities.install.set_up", refuse)
    state, findings = await rig.look()
    assert state is ConnectorState.DEGRADED
    assert "could not be told of the new token" in findings["webhook"].found
    assert findings["key"].level is Level.OK


async def test_rotation_tells_what_to_do_where_the_key_is_refused(rig: Rig) -> None:
    await rig.install(webhook_token_overlap_seconds=3600)
    rig.add_webhook()
    new = "n" * 43
    async with rig.store.begin() as tx:
        await tx.webhooks.hand_over("acme", SecretStr(TOKEN))
        await tx.webhooks.hand_over("acme", SecretStr(new))
    rig.world.keys._grants.pop(rig.project.keys["server"])
    rotation = TokenRotation(workspace_id="acme", token_hash=token_hash(new))
    rotated = await ActivityEnvironment().run(rig.activities.rotate_webhook_token, rotation)
    assert "by hand" in rotated.webhook.advice
    async with rig.store.read() as tx:
        assert set(await tx.webhooks.token_hashes("acme")) == {token_hash(TOKEN), token_hash(new)}


@pytest.mark.parametrize("uninstalled", [False, True])
async def test_a_token_that_is_taken_back_while_iterable_is_told_of_it_stays_valid(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, uninstalled: bool
) -> None:
    await rig.install()
    webhook = rig.add_webhook()
    async with rig.store.begin() as tx:
        await tx.webhooks.hand_over("acme", SecretStr(TOKEN))

    async def told_meanwhile(*arguments: Any, **options: Any) -> Finding:
        finding = await set_up(*arguments, **options)
        async with rig.store.begin() as tx:
            await tx.webhooks.withdraw("acme", SecretStr(TOKEN))
            if uninstalled:
                await tx.connectors.set_state("acme", ConnectorState.UNINSTALLED, None)
        return finding

    monkeypatch.setattr("activities.install.set_up", told_meanwhile)
    await ActivityEnvironment().run(rig.activities.set_up_webhook, "acme")
    assert rig.project.webhooks[webhook].headers == [(WEBHOOK_TOKEN_HEADER, TOKEN)]
    async with rig.store.read() as tx:
        assert await tx.webhooks.token_hashes("acme") == ([] if uninstalled else [token_hash(TOKEN)])


@pytest.mark.parametrize("waits", [False, True])
async def test_a_token_that_comes_while_the_webhook_is_looked_at_is_not_lost(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, *, waits: bool
) -> None:
    """Another process rotates the token between a look's question to the store and its answer from Iterable."""
    await rig.install()
    rig.add_webhook()
    if waits:
        async with rig.store.begin() as tx:
            await tx.webhooks.hand_over("acme", SecretStr("earlier"))

    async def meanwhile(*args: Any, **kwargs: Any) -> Finding:
        found = await set_up(*args, **kwargs)
        async with rig.store.begin() as tx:
            await tx.webhooks.hand_over("acme", SecretStr(TOKEN))
        return found

    monkeypatch.setattr("activities.install.set_up", meanwhile)
    await ActivityEnvironment().run(rig.activities.set_up_webhook, "acme")
    async with rig.store.read() as tx:
        assert await tx.webhooks.handed_over("acme") == SecretStr(TOKEN)
    monkeypatch.undo()
    await rig.look()
    (webhook,) = rig.project.webhooks.values()
    assert (WEBHOOK_TOKEN_HEADER, TOKEN) in webhook.headers
