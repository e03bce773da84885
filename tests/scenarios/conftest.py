"""One stage for all stories: each brings its own workspace and project."""

import uuid
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.postgres import NoPostgres, Postgres
from tests.stage import Project, Stage, stage


def _database(request: pytest.FixtureRequest, name: str) -> str | None:
    """What `--database` asks for; None is a file of the stage's own."""
    if request.config.getoption("--database") == "sqlite":
        return None
    server: Postgres | NoPostgres = request.getfixturevalue("postgres_server")
    if isinstance(server, NoPostgres):
        raise server  # it was asked for
    return server.create(name)


@pytest.fixture(scope="session")
def stage_database(request: pytest.FixtureRequest) -> str | None:
    """That of `the_stage`."""
    return _database(request, "stage")


@pytest.fixture
def own_database(request: pytest.FixtureRequest) -> str | None:
    """That of `a_stage`."""
    return _database(request, f"stage_{uuid.uuid4().hex}")


@pytest.fixture(scope="session")
async def the_stage(tmp_path_factory: pytest.TempPathFactory, stage_database: str | None) -> AsyncGenerator[Stage]:
    """Temporal, sandbox, endpoint and workers, for the whole session."""
    async with stage(tmp_path_factory.mktemp("stage"), database_url=stage_database) as built:
        yield built


@pytest.fixture
async def a_stage(tmp_path: Path, own_database: str | None) -> AsyncGenerator[Stage]:
    """One that no other story has used, and none uses meanwhile."""
    async with stage(tmp_path, database_url=own_database) as built:
        yield built


@pytest.fixture
async def project(the_stage: Stage) -> Project:
    """A fresh workspace."""
    return await the_stage.new_project()
