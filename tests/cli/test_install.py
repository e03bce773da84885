"""`connector install` and its like, as far as they need no server: what an admin types wrong, and is told."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from cli.main import app, main
from cli.output import FAILED, NOT_FOUND, OK, USAGE
from contracts.connector import ConnectorSettings, ConnectorState
from contracts.finding import attention
from store.keyring import new_key_text
from store.migrate import migrate
from store.store import Store
from tests.cli.conftest import InStore

Cli = Callable[..., Result]
KEY = "k" * 32
SETTINGS = ConnectorSettings(data_center="us", transactional_message_type_id=10)
INSTALL = ("install", "acme", "--data-center", "us", "--transactional-message-type", "10")


@pytest.fixture
def cli(in_store: InStore[None]) -> Cli:
    """The command against a database with one degraded connector."""

    async def prepare(store: Store) -> None:
        why = attention("webhook", "it is off", "Switch it on.")
        async with store.begin() as tx:
            await tx.connectors.offer("acme", SETTINGS, SecretStr(KEY))
            await tx.connectors.adopt("acme", SETTINGS, ConnectorState.DEGRADED, reason=str(why), findings=[why])

    in_store(prepare)
    runner = CliRunner()
    return lambda *args, given=None: runner.invoke(app, args, given)


@pytest.mark.parametrize(
    "args", [(*INSTALL, KEY), (*INSTALL, "--api-key", KEY), (*INSTALL, "--key", KEY), ("rotate", "key", "acme", KEY)]
)
def test_a_key_among_the_arguments_is_refused_and_not_printed_again(cli: Cli, args: tuple[str, ...]) -> None:
    result = cli(*args, given=KEY)
    assert result.exit_code == USAGE
    assert "no argument" in result.output
    assert "make another" in result.output
    assert KEY not in result.output


@pytest.mark.parametrize("args", [INSTALL, ("rotate", "key", "acme")])
def test_no_key_at_all(cli: Cli, args: tuple[str, ...]) -> None:
    result = cli(*args, given="\n")
    assert (result.exit_code, "no API key" in result.output) == (USAGE, True)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--allow-ip", "10.0.0.1/8"), "is 10.0.0.0/8 meant"),
        (("--allow-ip", "everywhere"), "is no network"),
        (("--default-from", "no"), "default_from_email"),
        (("--set", "setle_for_seconds=5"), "did you mean settle_for_seconds?"),
        (("--set", "settle_for_seconds=soon"), "settle_for_seconds: Input should be a valid integer"),
        (("--set", "settle_for_seconds"), "takes NAME=VALUE"),
        (("--set", "allowed_senders=[a"), "not valid JSON"),
        (("--set", "default_reply_to=nobody"), "default_reply_to: no email address"),
        (("--set", "settle_for_seconds=soon", "--set", "inbox=1"), "there is no setting 'inbox'"),
    ],
)
def test_a_setting_that_cannot_be(cli: Cli, args: tuple[str, ...], told: str) -> None:
    result = cli(*INSTALL, *args, given=KEY)
    assert result.exit_code == USAGE
    assert told in result.output
    assert "send id" not in result.output  # the advice for GenieOS's requests is not for admins


def test_configure_without_a_change_or_with_an_unknown_one(cli: Cli) -> None:
    assert cli("configure", "acme").exit_code == USAGE
    assert "no setting 'x'" in cli("configure", "acme", "--unset", "x").output


def test_the_status_begins_with_what_is_wrong(cli: Cli) -> None:
    result = cli("status", "acme")
    assert result.exit_code == OK
    lines = result.output.splitlines()
    assert lines[0].startswith("acme: degraded")
    assert lines[1] == "webhook: it is off. Switch it on."
    assert "last look" in lines[2]
    assert "(0 min ago)" in lines[2]
    assert "last webhook never" in lines[2]
    assert cli("status", "other").exit_code == NOT_FOUND


def test_the_status_of_one_that_was_refused_until_it_is_installed_again(cli: Cli, in_store: InStore[None]) -> None:
    async def offer(store: Store) -> None:
        async with store.begin() as tx:
            await tx.connectors.offer("new", SETTINGS, SecretStr(KEY))

    async def refuse(store: Store) -> None:
        async with store.begin() as tx:
            await tx.connectors.withdraw_offer("new", None, "api_key_invalid: Iterable refused the API key.")

    for do, told in ((offer, "new: validating"), (refuse, "new: refused"), (offer, "new: validating")):
        in_store(do)
        lines = cli("status", "new").output.splitlines()
        assert lines[0].startswith(told)
        assert ("api_key_invalid" in lines[1]) == (do is refuse)
        for_programs = json.loads(cli("status", "new", "--json").output)
        assert (for_programs["state"], for_programs["refused"]) == ("validating", do is refuse)
        assert bool(for_programs["reason"]) == (do is refuse)


def test_a_database_of_another_release(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'old.db'}"
    asyncio.run(migrate(url, "0007"))
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", url)
    result = cli("status", "acme")
    assert (result.exit_code, "connector migrate" in result.output) == (FAILED, True)


def test_another_master_key(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTOR_MASTER_KEY", new_key_text().strip())
    result = cli("status", "acme")
    assert (result.exit_code, "that the worker has" in result.output) == (FAILED, True)


def test_a_variable_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CONNECTOR_TRUSTED_PROXIES", "10.0.0.1/8")
    monkeypatch.setattr(sys, "argv", ["connector", "status", "acme"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == USAGE
    told = capsys.readouterr().err
    assert "CONNECTOR_TRUSTED_PROXIES: has host bits set" in told
    assert "Traceback" not in told
