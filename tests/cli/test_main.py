"""What `connector` knows of its commands before it imports them."""

import subprocess
import sys

import pytest
import typer

from cli.main import COMMANDS, app

HEAVY = ("alembic", "fastapi", "httpx", "sqlalchemy", "temporalio", "uvicorn")


@pytest.mark.parametrize("name", [name for told_of in COMMANDS.values() for name in told_of])
def test_the_list_says_of_a_command_what_it_says_itself(name: str) -> None:
    group = typer.main.get_group(app)
    listed = group.commands[name].help
    _, command, _ = group.resolve_command(typer.Context(group), [name])
    own = " ".join((command.help or "").split("\n\n", maxsplit=1)[0].split())
    assert own.startswith(listed or "nothing")


@pytest.mark.parametrize(
    ("words", "needed"), [("--help", ()), ("status --help", ("sqlalchemy",)), ("contracts --help", ())]
)
def test_a_command_imports_what_it_needs(words: str, needed: tuple[str, ...]) -> None:
    told = (
        "import sys; from cli.main import app; app(sys.argv[1:], standalone_mode=False); "
        f"print('imported', *[one for one in {HEAVY} if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", told, *words.split()], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["imported", *needed]
