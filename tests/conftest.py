"""Fixtures that every room's tests may use."""

import asyncio
import shutil
import uuid
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from store.keyring import Keyring, new_key_text, parse_keys
from store.migrate import migrate
from store.store import Store
from tests.postgres import NoPostgres, Postgres, postgres
from tests.s3 import S3, s3_server

_MIGRATED = "migrated"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tests of the store run on both engines. Stories have one stage, which stands on this one."""
    parser.addoption("--database", choices=["sqlite", "postgresql"], default="sqlite", help="what the stage stands on")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long ones come first: one that begins when the others are done keeps all but one process idle."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture
def keyring() -> Keyring:
    """A ring with one fresh key."""
    return Keyring(parse_keys(new_key_text()))


@contextmanager
def _postgres() -> Iterator[Postgres | NoPostgres]:
    with ExitStack() as stack:
        try:
            server: Postgres | NoPostgres = stack.enter_context(postgres())
        except NoPostgres as reason:
            server = reason
        yield server


@pytest.fixture(scope="session")
async def postgres_server() -> AsyncGenerator[Postgres | NoPostgres]:
    """One server for the session with a migrated database to copy, or why there is none."""
    with _postgres() as server:
        if isinstance(server, Postgres):
            await migrate(server.create(_MIGRATED))
        yield server


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, to copy: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("migrated") / "connector.db"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture
def sqlite_url(migrated: Path, tmp_path: Path) -> str:
    """An empty, migrated database on SQLite: `connector.db` in the test's folder."""
    return f"sqlite+aiosqlite:///{shutil.copy(migrated, tmp_path / 'connector.db')}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty, migrated database, on PostgreSQL where one can be started."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite_url"))
    server: Postgres | NoPostgres = request.getfixturevalue("postgres_server")
    if isinstance(server, NoPostgres):
        pytest.skip(f"no PostgreSQL: {server}")
    return server.create(f"t{uuid.uuid4().hex}", _MIGRATED)


@pytest.fixture
def postgres_url(postgres_server: Postgres | NoPostgres) -> str:
    """An empty, migrated database on PostgreSQL, where one can be started."""
    if isinstance(postgres_server, NoPostgres):
        pytest.skip(f"no PostgreSQL: {postgres_server}")
    return postgres_server.create(f"t{uuid.uuid4().hex}", _MIGRATED)


@pytest.fixture
async def store(database_url: str, keyring: Keyring) -> AsyncGenerator[Store]:
    """An empty store on a real database: every test that uses it runs on both engines."""
    opened = await Store.open(database_url, keyring)
    yield opened
    await opened.close()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """A server that speaks S3, and the environment that leads to it."""
    with s3_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server
