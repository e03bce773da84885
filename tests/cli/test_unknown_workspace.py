"""A workspace that does not exist is told as such by every command: a mistyped name must not look like an empty one."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.output import NOT_FOUND
from tests.cli.conftest import InStore


@pytest.mark.parametrize(
    "words",
    [
        "status nobody",
        "status nobody s1",
        "timeline nobody s1 --follow",
        "forget nobody ann@example.com",
        "suppressions list nobody",
        "suppressions add nobody ann@example.com",
        "suppressions remove nobody ann@example.com",
        "suppressions check nobody ann@example.com",
        "suppressions import nobody in.csv",
        "suppressions export nobody",
        "events list-problems nobody",
        "events unmatched nobody",
        "events push-status nobody",
        "shadows list nobody",
        "broadcast recipients nobody b1",
    ],
)
def test_an_unknown_workspace(
    in_store: InStore[None], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("email\nann@example.com\n")
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == NOT_FOUND, result.output
    assert "connector_not_installed: Workspace 'nobody' has no connector" in result.stderr
