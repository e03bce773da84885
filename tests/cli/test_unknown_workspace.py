"""A workspace that does not exist is told as such by every command: a mistyped name must not look like an empty one.
Temporal is away, and none of them needs it for that."""

import json
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
        "broadcast watch nobody b1",
        "broadcast pause nobody b1",
        "broadcast set-rate nobody b1 5",
        "broadcast retry nobody b1",
        "broadcast run broadcast.json",
        "configure nobody --set settle_for_seconds=7",
        "events backfill nobody --from 2026-01-01",
        "events push-replay nobody --from 0",
        "events push-to nobody https://genieos.example.com/events",
        "events replay nobody --all",
        "pause nobody",
        "preview send.json",
        "resume nobody",
        "rotate key nobody",
        "rotate webhook-token nobody",
        "send send.json",
        "shadows adopt nobody",
        "shadows archive nobody ab",
        "shadows inspect nobody ab",
        "suppressions push nobody",
        "test nobody",
        "uninstall nobody",
    ],
)
def test_an_unknown_workspace(
    in_store: InStore[None], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    (tmp_path / "in.csv").write_text("email\nann@example.com\n")
    request = {"workspace_id": "nobody", "template_ref": "f" * 64}
    send = {**request, "send_id": "s1", "recipient": {"email": "ann@example.com"}}
    (tmp_path / "send.json").write_text(json.dumps(send))
    broadcast = {**request, "broadcast_id": "b1", "audience": {"recipients": [{"recipient": send["recipient"]}]}}
    (tmp_path / "broadcast.json").write_text(json.dumps(broadcast))
    result = CliRunner().invoke(app, words.split(), input="a key\n")
    assert result.exit_code == NOT_FOUND, result.output
    assert "connector_not_installed: Workspace 'nobody' has no connector" in result.stderr
