"""`connector forget` as an admin types it."""

from collections.abc import Callable

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from cli.main import app
from cli.output import NOT_FOUND, OK, USAGE
from contracts.connector import ConnectorSettings, ConnectorState, ProjectType
from store.person import Person
from store.store import Store
from tests.cli.conftest import InStore

TYPES: tuple[ProjectType, ...] = ("userid", "hybrid", "email")
ADDRESS = "ann@example.com"


@pytest.fixture
def cli(in_store: InStore[None]) -> Callable[..., Result]:
    """The command against a database with a workspace of each type of project, named after it."""

    async def prepare(store: Store) -> None:
        async with store.begin() as tx:
            for type_ in TYPES:
                settings = ConnectorSettings(data_center="us", project_type=type_, transactional_message_type_id=10)
                await tx.connectors.offer(type_, settings, SecretStr("key"))
                await tx.connectors.adopt(type_, settings, ConnectorState.ACTIVE)

    in_store(prepare)

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
    result = cli(*args)
    assert result.exit_code == exits
    assert ("nothing is sent to this person any more" in result.stdout) == (exits == OK)


def test_an_address_that_finds_nobody_is_refused_and_nothing_is_done(
    cli: Callable[..., Result], in_store: InStore[set[str]]
) -> None:
    refused = cli("userid", ADDRESS)
    assert "--user-id" in refused.stderr
    assert ADDRESS not in refused.output

    async def forgotten(store: Store) -> set[str]:
        hash_ = Person.by_email(store.hasher, ADDRESS).recipient_hash
        async with store.read() as tx:
            return await tx.suppressions.are_forgotten("userid", [hash_])

    assert in_store(forgotten) == set()
