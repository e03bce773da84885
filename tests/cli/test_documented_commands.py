"""Every `connector …` that a document or a message of ours names is there, with those options."""

import contextlib
import re
import shlex
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.main import app
from contracts.connector import ConnectorSettings

CONNECTOR: Any = typer.main.get_command(app)
ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ROOMS = ("activities", "cli", "contracts", "deploy", "endpoint", "iterable", "runtime", "store", "workflows")
SOURCES = [
    path for room in ROOMS for path in sorted((ROOT / room).rglob("*")) if path.suffix in {".py", ".yaml", ".yml"}
]
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_MENTION = re.compile(r"`connector ([^`\n]+)`")
_SETTING = re.compile(r"--set ([a-z_]+)=")
_CHOICE = re.compile(r"[a-z-]+(?:\|[a-z-]+)+")
_PLACEHOLDER = re.compile(r"…|\{.*\}|\[.*\]|[A-Z]+(?:=[A-Z]+)?…?")


def choices(line: str) -> list[list[str]]:
    """The commands that a line stands for: `pause|resume acme` are two."""
    words = shlex.split(line, comments=True)
    return [list(one) for one in product(*(w.split("|") if _CHOICE.fullmatch(w) else [w] for w in words))]


def found(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words begin with, and its arguments. A group stands for all of its commands."""
    command = CONNECTOR
    for at, word in enumerate(words):
        if not hasattr(command, "commands") or _PLACEHOLDER.fullmatch(word):
            return command, words[at:]
        assert word in command.commands, f"there is no `connector {' '.join(words[: at + 1])}`"
        command = command.resolve_command(typer.Context(command), [word])[1]
    return command, []


def lines() -> list[list[str]]:
    blocks = [block for path in DOCUMENTS for block in _BLOCK.findall(path.read_text())]
    joined = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    told = [re.sub(r"^docker compose exec (?:-\S+ )*endpoint | < \S+$", "", line) for line in joined]
    return [words[1:] for line in told if line.startswith("connector ") for words in choices(line)]


def mentions() -> list[list[str]]:
    texts = [path.read_text() for path in DOCUMENTS + SOURCES]
    return [words for text in texts for mention in _MENTION.findall(text) for words in choices(mention)]


@pytest.mark.parametrize("words", lines(), ids=" ".join)
def test_a_line_to_copy_is_taken_as_it_is(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in words:
        if Path(name).suffix in {".json", ".jsonl", ".csv"}:
            Path(name).touch()
    command, arguments = found(words)
    assert not hasattr(command, "commands")
    with contextlib.suppress(typer.Exit), command.make_context(" ".join(words), list(arguments)):  # --help exits
        pass


def test_what_is_mentioned_exists() -> None:
    for words in mentions():
        command, arguments = found(words)
        known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)} | {"--help"}
        unknown = {word for word in arguments if word.startswith("--")} - known
        assert not unknown, f"`connector {' '.join(words)}`"


def test_settings_that_are_mentioned_exist() -> None:
    named = {name for path in DOCUMENTS + SOURCES for name in _SETTING.findall(path.read_text())}
    assert named
    assert named <= ConnectorSettings.model_fields.keys()


def test_there_is_something_to_look_at() -> None:
    assert len(lines()) > 25
    assert len(mentions()) > 60
