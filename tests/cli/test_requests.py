"""Files that requests are read from."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.output import USAGE

COMMANDS = ("send", "preview", "broadcast run")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{}".encode("utf-16"), "is not UTF-8"),
        (b'{"send_id": "\xe9"}', "is not UTF-8"),
        (b"\xef\xbb\xbf{}", "workspace_id: Field required"),
        (b"\xef\xbb\xbf{", "request_invalid"),
    ],
    ids=["utf-16", "latin-1", "with a mark", "no JSON"],
)
def test_a_file_that_is_no_request(command: str, content: bytes, told: str, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_bytes(content)
    result = CliRunner().invoke(app, [*command.split(), str(file)])
    assert result.exit_code == USAGE
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_html_to_compare_with_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(
        '{"workspace_id": "acme", "send_id": "s1", "stream": "marketing", "recipient": {"user_id": "u"}, '
        f'"template_ref": "{"0" * 64}"}}'
    )
    (tmp_path / "page.html").write_bytes(b"\xff")
    words = ["preview", str(tmp_path / "request.json"), "--against", str(tmp_path / "page.html")]
    result = CliRunner().invoke(app, words)
    assert (result.exit_code, "page.html is not UTF-8" in result.stderr) == (USAGE, True)
