"""Commands that run things on this machine: demo, dev, sandbox."""

import shlex
from typing import Annotated

import typer

from cli.demo import DemoBroken, demo, demo_logs
from cli.development import StackInUse, development_stack, install_against_sandbox
from cli.output import FAILED, say, stop, table
from runtime.process import run
from runtime.settings import STATE_FOLDER
from sandbox.stack import ChildFailed

app = typer.Typer()

_SETTLE_SECONDS = 30
"""Of a development stack: who tries a send waits for its result."""


@app.command(name="demo")
def demo_command(*, keep: Annotated[bool, typer.Option(help="Keep the stack up afterwards.")] = False) -> None:
    """Send three messages through a whole local stack and show what becomes of each."""
    try:
        run(demo(keep=keep))
    except StackInUse as error:
        stop(FAILED, str(error))
    except (DemoBroken, ChildFailed) as error:
        stop(FAILED, f"{error}; logs are in {demo_logs()}")
    except KeyboardInterrupt:
        say("stopped")


@app.command()
def dev(
    workspace: Annotated[str, typer.Option(help="A workspace to install against the sandbox.")] = "demo",
    *,
    encrypt: Annotated[bool, typer.Option("--encrypt", help="Encrypt payloads, as in production.")] = False,
) -> None:
    """Keep a whole local stack up until Ctrl-C."""

    async def stay() -> None:
        async with development_stack(
            STATE_FOLDER / "dev", lambda text: say(f"[dim]· {text}[/]"), encrypt=encrypt
        ) as development:
            installed = await install_against_sandbox(
                development, workspace, settings={"settle_for_seconds": _SETTLE_SECONDS}
            )
            where = development.addresses
            table(
                "Up until Ctrl-C",
                ("part", "address"),
                [
                    ("Temporal", where.temporal),
                    ("Temporal UI", where.temporal_ui),
                    ("endpoint", where.endpoint),
                    ("Iterable sandbox", where.sandbox),
                    ("messages as rendered", f"{where.sandbox}/_sandbox/outbox"),
                    ("logs", str(STATE_FOLDER / "dev" / "logs")),
                ],
            )
            say(f"workspace {workspace!r} is installed against sandbox project {installed.project_id}")
            say("for other commands, in another terminal:\n")
            for name, value in development.environment.items():
                if name.startswith(("CONNECTOR_", "TEMPORAL_")):
                    say(f"  export {name}={shlex.quote(value)}")
            ended = await development.stack.watch()
            stop(FAILED, f"{ended} ended by itself; its log is in {STATE_FOLDER / 'dev' / 'logs'}")

    try:
        run(stay())
    except (ChildFailed, StackInUse) as error:
        stop(FAILED, str(error))
    except KeyboardInterrupt:
        say("stopped")


@app.command()
def sandbox(host: str = "127.0.0.1", port: int = 8800) -> None:
    """Run the Iterable stand-in alone."""
    from sandbox.__main__ import serve  # noqa: PLC0415 - only this command needs it

    serve(host, port)
