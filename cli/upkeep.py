"""Commands for a connector that is in force: test, pause, resume, rotate."""

from typing import Annotated

import typer
from temporalio.service import RPCError

from activities.schedules import renew_schedules
from cli.admin import Json, Workspace, admin, no_key_here, read_key, run_admin, valid
from cli.connection import Connection, open_temporal
from cli.database import insist_on_all, opened
from cli.install import Misplaced
from cli.output import FAILED, UNREACHABLE, give, say, stop
from cli.showing import say_status, show_findings
from contracts.install import TestReport, TestRequest
from contracts.names import WEBHOOK_TOKEN_HEADER
from contracts.template import Stream
from runtime.process import run
from runtime.settings import Settings
from store.store import Store

app = typer.Typer()
rotate = typer.Typer(help="Replace an API key, a webhook token, or the master key.", no_args_is_help=True)
app.add_typer(rotate, name="rotate")

_LEGS_SECONDS = 600.0
"""The checks and every leg of a test before the last one, with Iterable away in each."""

_HISTORIES = (
    "keep the older keys until the namespace's retention has passed and no run that is older than the rotation is open"
)


@app.command("test")
def walk(
    workspace: Workspace,
    send_to: Annotated[str | None, typer.Option(help="Send a real message to this address.")] = None,
    user_id: Annotated[str | None, typer.Option(help="The recipient's user id, where the project needs it.")] = None,
    stream: Annotated[Stream | None, typer.Option(help="The stream to test.")] = None,
    wait: Annotated[int, typer.Option(help="Seconds to wait for the webhook.")] = 120,
    *,
    as_json: Json = False,
) -> None:
    """Walk every leg that a message takes, and say which one breaks.

    Iterable has no sandbox: with --send-to, a real message goes out. Without it nothing is sent.
    """
    request = valid(
        TestRequest, {"send_to": send_to, "user_id": user_id, "stream": stream, "webhook_within_seconds": wait}
    )

    async def do(c: Connection) -> TestReport:
        if not as_json and (send_to or user_id):
            say("Iterable has no sandbox: this sends a real message.")
        return await admin(c).test(workspace, request)

    report = run_admin(do, workspace, patience=_LEGS_SECONDS + wait)
    if as_json:
        give(report)
    else:
        show_findings(f"{workspace}: {'every leg works' if report.ok else 'something needs doing'}", report.legs)
    if not report.ok:
        raise typer.Exit(FAILED)


@app.command()
def pause(workspace: Workspace) -> None:
    """Refuse new sends with connector_disabled until `connector resume`. What is under way ends as it will."""

    async def do(c: Connection) -> None:
        say_status(await admin(c).pause(workspace))

    run_admin(do, workspace)


@app.command()
def resume(workspace: Workspace) -> None:
    """Take new sends again."""

    async def do(c: Connection) -> None:
        say_status(await admin(c).resume(workspace))

    run_admin(do, workspace)


@rotate.command("key")
def rotate_key(workspace: Workspace, misplaced: Misplaced = None) -> None:
    """Put another API key into force; the old one stays where the new one is refused. Read from standard input."""
    no_key_here(misplaced)
    key = read_key()

    async def do(c: Connection) -> None:
        status = await admin(c).rotate_api_key(workspace, key)
        say("the new key is in force; delete the old one in Iterable")
        say_status(status)

    run_admin(do, workspace)


@rotate.command("webhook-token")
def rotate_webhook_token(workspace: Workspace, *, as_json: Json = False) -> None:
    """Make another webhook token and tell Iterable. The old one stays valid for the time that is set for it."""

    async def do(c: Connection) -> None:
        done = await admin(c).rotate_webhook_token(workspace)
        if as_json:
            give({"webhook_token": done.webhook_token, **done.rotated.model_dump(mode="json")})
            return
        say(f"webhook token  {done.webhook_token}   (header {WEBHOOK_TOKEN_HEADER}; shown this once)")
        say(f"the old one is valid until {done.rotated.old_valid_until:%Y-%m-%d %H:%M:%S} UTC")
        show_findings("in Iterable", [done.rotated.webhook])

    run_admin(do, workspace)


@rotate.command("master-key")
def rotate_master_key() -> None:
    """Seal everything anew under the newest master key. Processes must know that key already.

    Put the new key into the ring, behind the old one, and restart every process; then put it first, restart again, and
    run this. When it says that nothing is left, the old key can go, unless payloads are encrypted: then later.
    """

    async def do() -> None:
        settings = Settings()
        async with opened(settings) as store:
            await insist_on_all(store)
            done = await store.reseal()
            for name, count in done.done.items():
                say(f"{name}: {count} sealed anew")
            if done.unreadable:
                lost = ", ".join(f"{count} of {name}" for name, count in done.unreadable.items())
                stop(FAILED, f"no key of the ring opens {lost}: put the key that sealed them back into the ring")
            schedules = await _renew_schedules(settings, store)
        say(f"schedules in Temporal: {schedules} written anew")
        current = settings.keyring().current
        if settings.encrypt_payloads:
            say(f"everything here is sealed with the key {current!r}; Temporal's histories are not: {_HISTORIES}")
        else:
            say(f"everything is sealed with the key {current!r}: older keys can go")

    run(do())


async def _renew_schedules(settings: Settings, store: Store) -> int:
    """Of every workspace. Safe to repeat, as the whole command is."""
    async with store.read() as tx:
        workspaces = await tx.connectors.workspaces()
    temporal = await open_temporal(settings)
    try:
        return sum([await renew_schedules(temporal, one, settings.task_queue) for one in workspaces])
    except RPCError as error:
        stop(UNREACHABLE, f"Temporal refuses: {error.status.name}. Its schedules keep the old key: run this again")
