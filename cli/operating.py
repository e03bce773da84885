"""Commands for whoever runs the connector: doctor, migrate, search-attributes, payload-keys."""

import base64
from typing import Annotated

import typer
from sqlalchemy.exc import OperationalError
from temporalio.service import RPCError

from cli.connection import open_temporal, temporal_refuses
from cli.output import FAILED, UNREACHABLE, give, out, say, stop
from cli.showing import show_findings
from contracts.finding import problems
from endpoint.doctor import visit
from runtime.payload_keys import payload_keys
from runtime.process import run
from runtime.settings import STATE_FOLDER, Settings
from runtime.temporal import add_search_attributes, missing_search_attributes
from store.keyring import KeyringError
from store.migrate import MigrationRefused, migrate

app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


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
        try:
            missing = await missing_search_attributes(client)
        except RPCError as error:
            temporal_refuses(error)
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
