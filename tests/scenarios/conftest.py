"""One stage for all stories: each brings its own workspace and project."""

from collections.abc import AsyncGenerator

import pytest

from tests.stage import Project, Stage, stage


@pytest.fixture(scope="session")
async def the_stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stage]:
    """Temporal, sandbox, endpoint and workers, for the whole session."""
    async with stage(tmp_path_factory.mktemp("stage")) as built:
        yield built


@pytest.fixture
async def project(the_stage: Stage) -> Project:
    """A fresh workspace."""
    return await the_stage.new_project()
