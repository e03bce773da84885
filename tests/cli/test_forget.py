"""`connector forget` as an admin types it."""

import asyncio
from collections.abc import Callable

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from cli.main import app
from cli.output import NOT_FOUND, OK, USAGE
from contracts.connector import ConnectorSettings, ConnectorState, ProjectType
from store.keyring import Keyring, new_key_text, parse_keys
from store.person import Person
from store.store import Store

TYPES: tuple[ProjectType, ...] = ("userid", "hybrid", "email")
ADDRESS = "ann@example.com"


@pytest.fixture
def key(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The key of a database with a workspace of each type of project, named after it."""
    key = new_key_text().strip()
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("CONNECTOR_MASTER_KEY", key)

    async def prepare() -> None:
        store = await Store.open(sqlite_url, Keyring(parse_keys(key)))
        async with store.begin() as tx:
            for type_ in TYPES:
                settings = ConnectorSettings(data_center="us", project_type=type_, transactional_message_type_id=10)
                await tx.connectors.offer(type_, settings, SecretStr("key"))
                await tx.connectors.adopt(type_, settings, ConnectorState.ACTIVE)
        await store.close()

    asyncio.run(prepare())
    return key


@pytest.fixture
def cli(key: str) -> Callable[..., Result]:
    def call(*args: str) -> Result:
        return CliRunner().invoke(app, ["forget", *args])

    return call


@pytest.mark.parametrize(
    ("args", "exits"),
    [
        (("userid", ADDRESS), USAGE),
        (("userid", "--user-id", "u1"), OK),
        (("userid", ADDRESS, "--user-id", "u1"), OK),
        (("hybrid", ADDRESS), OK),
        (("email", ADDRESS), OK),
        (("unknown", ADDRESS), NOT_FOUND),
        (("email", "no address"), USAGE),
        (("userid", "--user-id", ""), USAGE),
        (("hybrid",), USAGE),
    ],
)
def test_a_project_of_user_ids_is_told_the_user_id(
    cli: Callable[..., Result], args: tuple[str, ...], exits: int
) -> None:
    assert cli(*args).exit_code == exits


def test_an_address_that_finds_nobody_is_refused_and_nothing_is_done(
    cli: Callable[..., Result], key: str, sqlite_url: str
) -> None:
    refused = cli("userid", ADDRESS)
    assert "--user-id" in refused.stderr
    assert ADDRESS not in refused.output

    async def forgotten() -> set[str]:
        store = await Store.open(sqlite_url, Keyring(parse_keys(key)))
        hash_ = Person.by_email(store.hasher, ADDRESS).recipient_hash
        async with store.read() as tx:
            found = await tx.suppressions.are_forgotten("userid", [hash_])
        await store.close()
        return found

    assert asyncio.run(forgotten()) == set()
