"""What a command prints: tables for people, JSON for programs, and exit codes that mean something."""

from collections.abc import Sequence
from typing import Any, NoReturn

import orjson
import typer
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contracts.errors import ErrorCode

OK = 0
FAILED = 1
"""What was asked for was refused or did not succeed; the message has a code."""
USAGE = 2
UNREACHABLE = 3
"""Temporal, the database or the endpoint does not answer."""
NOT_FOUND = 4
"""No such thing; of a workspace without a connector with `connector_not_installed`."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A line for people."""
    out.print(text)


def give(value: BaseModel | dict[str, Any] | list[Any]) -> None:
    """A JSON document for programs, and nothing else on standard output."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    out.out(orjson.dumps(plain, option=orjson.OPT_INDENT_2).decode())


def stop(code: int, message: str) -> NoReturn:
    """Ends the command with a message on standard error."""
    err.print(f"[bold red]error[/] {escape(message)}")
    raise typer.Exit(code)


def refuse(code: str | None, message: str) -> NoReturn:
    """Ends the command with an error code: the same exit code for it, whether this process found it or a run failed
    with it."""
    stop(NOT_FOUND if code == ErrorCode.CONNECTOR_NOT_INSTALLED else FAILED, f"{code}: {message}")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table for people."""
    grid = Table(*columns, title=title, title_justify="left", title_style="bold")
    for row in rows:
        grid.add_row(*row)
    out.print(grid)
