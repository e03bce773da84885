"""The `connector` command.

Exit codes: 0 done; 1 refused or failed, the message has a code; 2 wrong usage; 3 Temporal, the database or the endpoint
does not answer; 4 not found.
"""

import asyncio
import base64
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.markup import escape
from sqlalchemy.exc import OperationalError
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError

from activities.forgetting import forget
from cli import events, schemas, shadows, upkeep
from cli import install as installing
from cli.admin import say_connector, show_findings
from cli.broadcasts import broadcasts
from cli.connection import connected, insist_on_all, open_store, open_temporal
from cli.demo import DemoBroken, demo, demo_logs
from cli.development import StackInUse, development_stack, install_against_sandbox
from cli.output import (
    FAILED,
    NOT_FOUND,
    UNREACHABLE,
    USAGE,
    err,
    event_rows,
    give,
    out,
    say,
    say_warnings,
    skip_advice,
    stop,
    table,
)
from cli.preview import preview
from cli.sending import send_accepted
from cli.suppressions import person_named, suppressions
from contracts.finding import problems
from contracts.names import send_workflow_id
from contracts.received import refusal_of
from contracts.send import SendRequest, SendResult
from endpoint.doctor import visit
from runtime.logging import configure_logging
from runtime.payload_keys import payload_keys
from runtime.process import run
from runtime.settings import STATE_FOLDER, Settings, what_is_wrong
from runtime.temporal import add_search_attributes, missing_search_attributes
from sandbox.stack import ChildFailed
from store.keyring import KeyringError
from store.migrate import MigrationRefused, migrate
from store.person import Person

app = typer.Typer(
    help="Sends GenieOS templates through Iterable triggered campaigns.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(suppressions, name="suppressions")

app.add_typer(events.app, name="events")
app.add_typer(shadows.app, name="shadows")
app.add_typer(broadcasts, name="broadcast")
app.add_typer(installing.app)
app.add_typer(upkeep.app)

_SETTLE_SECONDS = 30
"""Of a development stack: who tries a send waits for its result."""

Workspace = Annotated[str, typer.Argument(help="The GenieOS workspace.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def main() -> None:
    """The entry point."""
    configure_logging(level="ERROR")
    try:
        app()
    except ValidationError as error:
        if error.title != Settings.__name__:
            raise
        err.print(f"[bold red]error[/] {escape(what_is_wrong(error))}")
        sys.exit(USAGE)


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


@app.command()
def send(
    file: Annotated[typer.FileText, typer.Argument(help="A SendRequest as JSON; - for standard input.")],
    *,
    wait: Annotated[bool, typer.Option(help="Wait until the message is settled, not only accepted.")] = False,
    as_json: Json = False,
) -> None:
    """Start one send and wait until Iterable has the message."""
    try:
        request = SendRequest.model_validate_json(file.read())
    except ValidationError as error:
        refusal = refusal_of(error)
        stop(USAGE, f"{refusal.code}: {refusal}")

    async def do() -> None:
        async with connected() as c:
            try:
                result = await send_accepted(c.temporal, c.settings.task_queue, request)
                if wait:
                    id_ = send_workflow_id(request.workspace_id, request.send_id)
                    result = await c.temporal.get_workflow_handle(id_, result_type=SendResult).result()
            except WorkflowUpdateFailedError as error:
                cause = error.cause
                stop(FAILED, f"{cause.type}: {cause.message}" if isinstance(cause, ApplicationError) else str(error))
            except WorkflowAlreadyStartedError:
                stop(FAILED, f"send {request.send_id!r} was started before and has ended: see `connector status`")
        _show_result(request.send_id, result, as_json=as_json)

    run(do())


@app.command(name="preview")
def preview_command(
    file: Annotated[typer.FileText, typer.Argument(help="A SendRequest as JSON; - for standard input.")],
    against: Annotated[
        typer.FileText | None, typer.Option(help="HTML to compare Iterable's render with, in place of our own.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write Iterable's render to this file.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Check a send and have Iterable render it, without sending; show how it differs from our own render."""
    try:
        request = SendRequest.model_validate_json(file.read())
    except ValidationError as error:
        refusal = refusal_of(error)
        stop(USAGE, f"{refusal.code}: {refusal}")
    preview(request, against=against.read() if against else None, html_to=html, as_json=as_json)


@app.command()
def status(
    workspace: Workspace,
    send_id: Annotated[str | None, typer.Argument(help="One send; without it, the connector.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Show a connector, or one send as the ledger has it."""

    async def do() -> None:
        store = await open_store(Settings())
        try:
            async with store.read() as tx:
                if send_id is None:
                    row = await tx.connectors.get(workspace)
                    waiting, set_aside = await tx.inbox.counts(workspace)
                    unmatched = await tx.events.count_unmatched(workspace)
                    if row is None:
                        stop(NOT_FOUND, f"workspace {workspace!r} has no connector")
                    if as_json:
                        give(row.status())
                        return
                    say_connector(row.status())
                    say(f"events: {waiting} waiting, {unmatched} unmatched, {set_aside} set aside (`connector events`)")
                    return
                sent = await tx.sends.get(workspace, send_id)
                if sent is None:
                    stop(NOT_FOUND, f"no send {send_id!r} has reached the ledger of {workspace!r}")
                events = await tx.events.of_sends(workspace, [send_id])
            _show_result(send_id, sent.result(events.get(send_id, [])), as_json=as_json)
        finally:
            await store.close()

    run(do())


@app.command()
def timeline(
    workspace: Workspace,
    send_id: Annotated[str, typer.Argument(help="The send.")],
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Show what Iterable reported of a send."""

    async def do() -> None:
        store = await open_store(Settings())
        seen = 0
        try:
            while True:
                async with store.read() as tx:
                    entries = await tx.events.page(workspace, seen, 1_000, send_id)
                    known = await tx.sends.get(workspace, send_id)
                if known is None and not follow:
                    stop(NOT_FOUND, f"no send {send_id!r} has reached the ledger of {workspace!r}")
                if as_json:
                    for entry in entries:
                        give(entry)
                else:
                    for moment, kind, reason in event_rows([entry.event for entry in entries]):
                        say(f"{moment}  {kind:<14}{reason}")
                    for advice in skip_advice([entry.event for entry in entries]):
                        say(advice)
                seen = entries[-1].cursor if entries else seen
                if not follow:
                    return
                await asyncio.sleep(1)
        finally:
            await store.close()

    try:
        run(do())
    except KeyboardInterrupt:
        return


@app.command(name="forget")
def forget_command(
    workspace: Workspace,
    address: Annotated[str | None, typer.Argument(help="The person's email address.")] = None,
    user_id: Annotated[
        str | None, typer.Option(help="The person's user id, in place of or beside the address.")
    ] = None,
) -> None:
    """Erase a person from the database and never send to them again (GDPR).

    Where the project knows people by user ids, so does the database: an address alone finds nobody there. Iterable has
    its own record: forget the person there too. Temporal's histories end with the namespace's retention.
    """
    if address is None and user_id is None:
        stop(USAGE, "give an address, --user-id, or both")

    async def do() -> None:
        store = await open_store(Settings())
        try:
            await insist_on_all(store)
            async with store.read() as tx:
                row = await tx.connectors.get(workspace)
            if row is None:
                stop(NOT_FOUND, f"there is no connector {workspace}")
            if user_id is None and row.settings.project_type == "userid":
                stop(USAGE, f"{workspace} knows people by user ids: give --user-id; the address may stand beside it")
            people: list[Person] = []
            if address is not None:
                people.append(person_named(store.hasher, address, user_id=False))
            if user_id is not None:
                people.append(person_named(store.hasher, user_id, user_id=True))
            done = await forget(store, workspace, people, source="admin")
        finally:
            await store.close()
        say(f"erased from {done.events} events and {done.sends} sends; {done.waiting} waiting events removed")

    run(do())


@app.command()
def doctor(
    workspace: Annotated[str | None, typer.Argument(help="One connector; without it, all of them.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Check Temporal, the database, the worker, the endpoint and every connector, and say what to do."""
    findings = run(visit(Settings(), workspace))
    if as_json:
        give([one.model_dump(mode="json") for one in findings])
    else:
        show_findings("connector doctor", findings)
    if problems(findings):
        raise typer.Exit(FAILED)


@app.command(name="migrate")
def migrate_command(revision: Annotated[str, typer.Argument(help="head, base, or a revision.")] = "head") -> None:
    """Bring the database to the newest schema that this release knows. One of a newer release is left as it is."""
    settings = Settings()
    if settings.database_url.startswith(f"sqlite+aiosqlite:///{STATE_FOLDER}/"):
        STATE_FOLDER.mkdir(exist_ok=True)
    try:
        now = run(migrate(settings.database_url, revision))
    except MigrationRefused as error:
        stop(FAILED, f"{error}")
    except (OperationalError, OSError):
        stop(UNREACHABLE, "the database does not answer: check CONNECTOR_DATABASE_URL")
    say(f"the schema is at {now or 'base'}")


@app.command(name="search-attributes")
def search_attributes_command() -> None:
    """Register the connector's search attributes in the Temporal namespace, as keywords. Safe to repeat."""

    async def do() -> None:
        client = await open_temporal(Settings())
        missing = await missing_search_attributes(client)
        try:
            await add_search_attributes(client, missing)
        except RPCError as error:
            names = ", ".join(missing)
            stop(FAILED, f"{error.status.name}: add these as keywords by hand: {names}")
        say(f"registered: {', '.join(missing)}" if missing else "all were registered already")

    run(do())


@app.command(name="payload-keys")
def payload_keys_command() -> None:
    """Print the keys of the payload encryption, for a program that starts sends (docs/payload-encryption.md)."""
    try:
        keys = payload_keys(Settings().master_keys())
    except KeyringError as error:
        stop(FAILED, str(error))
    for key_id, key in keys.items():
        out.out(f"{key_id}:{base64.b64encode(key).decode()}")


@app.command()
def contracts(*, check: Annotated[bool, typer.Option("--check", help="Only report drift.")] = False) -> None:
    """Write the JSON Schemas of the contracts to docs/contracts."""
    if not check:
        schemas.write()
        return
    stale = schemas.drift()
    if stale:
        stop(FAILED, f"not what the contracts say: {', '.join(stale)}. Run `connector contracts`")


def _show_result(send_id: str, result: SendResult, *, as_json: bool) -> None:
    if as_json:
        give(result)
        return
    rows = event_rows(result.events)
    table(f"{send_id} → {result.status} {result.reason or ''}", ("time (UTC)", "event", "reason or link"), rows)
    for advice in skip_advice(result.events):
        say(advice)
    say_warnings(result.warnings)
    say(f"template {result.template_id}, campaign {result.campaign_id}, fingerprint {result.fingerprint}")


if __name__ == "__main__":
    main()
