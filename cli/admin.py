"""What the commands around a connector share: asking its run for something, and what came back."""

import asyncio
import difflib
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from pydantic import BaseModel, SecretStr, ValidationError

from cli.connection import Connection, connected
from cli.output import UNREACHABLE, USAGE, err, stop
from contracts.connector import ConnectorSettings
from contracts.received import plain
from endpoint.administration import Administration
from runtime.process import run
from runtime.temporal import polling

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

Workspace = Annotated[str, typer.Argument(help="The GenieOS workspace.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

_SOON_SECONDS = 5.0
_PATIENCE_SECONDS = 150.0
"""Longer than a check may take while Iterable is away."""


def run_admin(
    do: Callable[[Connection], Awaitable[T]],
    workspace: str | None = None,
    patience: float | None = _PATIENCE_SECONDS,
) -> T:
    """Runs a command against the store and Temporal, or ends it with why it was refused: first of all, that the named
    workspace has no connector. `patience` is in seconds; None waits without an end."""

    async def connected_do() -> T:
        async with connected(workspace) as c:
            try:
                async with asyncio.timeout(patience):
                    return await _answered(c, do(c))
            except TimeoutError:
                _nobody(f"No worker answered within {patience:.0f} s")

    return run(connected_do())


async def _answered(c: Connection, step: Awaitable[T]) -> T:
    """An admin hears soon that there is nobody to do it."""
    task = asyncio.ensure_future(step)
    try:
        done, _ = await asyncio.wait({task}, timeout=_SOON_SECONDS)
        if not done:
            queue = c.settings.task_queue
            if await polling(c.temporal, queue) == 0:
                _nobody(f"No worker polls the task queue {queue!r}")
            err.print("[dim]still waiting for the worker, or for Iterable …[/]")
        return await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _nobody(what: str) -> NoReturn:
    stop(
        UNREACHABLE,
        f"{what}: start one (python -m worker), or see `connector doctor`. What you asked for may still be done when "
        "one comes: look with `connector status` then",
    )


def admin(c: Connection) -> Administration:
    """What is done to a connector."""
    return Administration(c.store, c.temporal, c.settings.task_queue)


def read_key() -> SecretStr:
    """From a prompt or standard input, never from an argument: those stay in shells' histories and process lists."""
    given: str = typer.prompt("Iterable API key", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    key = SecretStr(given.strip())
    if not key.get_secret_value():
        stop(USAGE, "no API key on standard input")
    return key


def no_key_here(given: object) -> None:
    """Refuses a key among the arguments, without printing it again."""
    if given:
        stop(
            USAGE,
            "an API key is no argument: it stays in your shell's history and in process lists. Leave it out and paste "
            "it when you are asked, or pipe it in. If what you typed was one, it lies there now: make another in "
            "Iterable and delete this one",
        )


def valid(model: type[M], given: dict[str, Any]) -> M:
    """The model, or the end of the command with every field that is wrong."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        stop(USAGE, "; ".join(_told(model, one) for one in error.errors(include_url=False, include_input=False)))


def _told(model: type[BaseModel], problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, list(model.model_fields), n=1)
        return f"there is no setting {name!r}" + (f": did you mean {near[0]}?" if near else "")
    return f"{name}: {plain(problem)}"


def changes(before: ConnectorSettings, after: ConnectorSettings) -> list[str]:
    """Each setting that is another one now."""
    old, new = before.model_dump(), after.model_dump()
    return [f"{name}: {old[name]} → {value}" for name, value in new.items() if old[name] != value]
