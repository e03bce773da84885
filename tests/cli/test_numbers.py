"""Numbers that no database has."""

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.output import USAGE


@pytest.mark.parametrize(
    "words",
    [
        "events discard acme --id",
        "events replay acme --id",
        "events push-replay acme --from",
        "suppressions list acme --after",
        "broadcast recipients acme b1 --after",
        "broadcast recipients acme b1 --limit",
    ],
)
def test_a_number_that_is_too_large(words: str) -> None:
    result = CliRunner().invoke(app, [*words.split(), str(2**63)])
    assert result.exit_code == USAGE
    assert "Invalid value" in result.stderr
