"""Commands that put a connector into force and take it out again: install, configure, uninstall."""

import asyncio
from typing import Annotated, Any

import orjson
import typer
from rich.markup import escape

from cli.admin import (
    Json,
    Workspace,
    admin,
    changes,
    no_key_here,
    read_key,
    run_admin,
    valid,
)
from cli.connection import Connection
from cli.output import USAGE, err, give, say, stop
from cli.showing import say_status, show_findings
from contracts.connector import ConnectorSettings, ConnectorStatus, DataCenter, ProfilePolicy, ProjectType
from contracts.errors import ConnectorError, ErrorCode
from contracts.install import UninstallRequest
from contracts.names import WEBHOOK_TOKEN_HEADER, connector_workflow_id, webhook_url
from endpoint.administration import Installed

app = typer.Typer()

Set = Annotated[list[str] | None, typer.Option("--set", help="A setting, as NAME=VALUE; a list as JSON.")]
Misplaced = Annotated[list[str] | None, typer.Argument(hidden=True, metavar="")]


@app.command()
def install(
    workspace: Workspace,
    data_center: Annotated[DataCenter, typer.Option(help="Where the Iterable project is hosted.")],
    misplaced: Misplaced = None,
    project_type: Annotated[ProjectType, typer.Option(help="How the project identifies people.")] = "hybrid",
    transactional_message_type: Annotated[int | None, typer.Option(help="Message type id for the stream.")] = None,
    marketing_message_type: Annotated[int | None, typer.Option(help="Message type id for the stream.")] = None,
    profile_policy: Annotated[ProfilePolicy, typer.Option(help="May a send write a thin profile?")] = "never",
    profile_field: Annotated[list[str] | None, typer.Option(help="A field a thin profile may carry.")] = None,
    default_from: Annotated[str | None, typer.Option(help="Sender of templates that name none, and of tests.")] = None,
    allow_ip: Annotated[list[str] | None, typer.Option(help="A network that webhooks may come from.")] = None,
    set_: Set = None,
    api_key: Annotated[str | None, typer.Option("--api-key", "--key", hidden=True)] = None,
    *,
    new_webhook_token: Annotated[bool, typer.Option(help="Make another webhook token.")] = False,
    as_json: Json = False,
) -> None:
    """Install a connector. The API key is asked for, or read from standard input.

    Settings that are not named take their defaults, also where the workspace has a connector already: `connector
    configure` changes some and leaves the others, `connector rotate key` replaces the key alone.
    """
    no_key_here(misplaced or api_key)
    named = {
        "data_center": data_center,
        "project_type": project_type,
        "transactional_message_type_id": transactional_message_type,
        "marketing_message_type_id": marketing_message_type,
        "profile_policy": profile_policy,
        "profile_fields": profile_field or [],
        "default_from_email": default_from,
        "ip_allowlist": allow_ip or [],
    }
    wanted = valid(ConnectorSettings, named | dict(_pair(text) for text in set_ or []))
    key = read_key()

    async def do(c: Connection) -> None:
        before = await _in_force(c, workspace)
        try:
            done = await admin(c).install(workspace, wanted, key, new_webhook_token=new_webhook_token)
        except asyncio.CancelledError:
            if before is None:
                err.print("[dim]no webhook token was shown: install again once a worker polls, and one is[/]")
            raise
        _tell(c, workspace, done, before, as_json=as_json)

    run_admin(do)


@app.command()
def configure(
    workspace: Workspace,
    set_: Set = None,
    unset: Annotated[list[str] | None, typer.Option(help="A setting that takes its default again.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Change some settings of a connector; all others, and the API key, stay. Refused, everything stays as it was."""
    wanted = dict(_pair(text) for text in set_ or [])
    if not wanted and not unset:
        stop(USAGE, "name what to change: --set NAME=VALUE or --unset NAME. `connector status` shows what is in force")
    if unknown := [name for name in unset or [] if name not in ConnectorSettings.model_fields]:
        stop(USAGE, f"there is no setting {unknown[0]!r}")

    async def do(c: Connection) -> None:
        before = await _in_force(c, workspace)
        if before is None:
            what = f"Workspace {workspace!r} has no connector in force"
            raise ConnectorError(ErrorCode.CONNECTOR_NOT_INSTALLED, what)
        kept = {name: value for name, value in before.model_dump().items() if name not in (unset or [])}
        done = await admin(c).install(workspace, valid(ConnectorSettings, kept | wanted), None)
        _tell(c, workspace, done, before, as_json=as_json)

    run_admin(do, workspace)


@app.command()
def uninstall(
    workspace: Workspace,
    *,
    archive_campaigns: Annotated[bool, typer.Option(help="Archive the connector's campaigns in Iterable.")] = False,
    keep_key: Annotated[bool, typer.Option(help="Do not forget the API key and the webhook tokens.")] = False,
    wait_seconds: Annotated[int, typer.Option(help="How long sends that are under way may take.")] = 900,
    wait: Annotated[bool, typer.Option(help="Wait until all is done, and not only until new sends stop.")] = False,
) -> None:
    """Stop new sends of a workspace. Sends under way end as they will."""
    asked = {"archive_campaigns": archive_campaigns, "forget_key": not keep_key, "wait_seconds": wait_seconds}
    request = valid(UninstallRequest, asked)

    async def stop_sends(c: Connection) -> ConnectorStatus:
        return await admin(c).uninstall(workspace, request)

    async def all_done(c: Connection) -> ConnectorStatus:
        handle = c.temporal.get_workflow_handle(connector_workflow_id(workspace), result_type=ConnectorStatus)
        return await handle.result()

    status = run_admin(stop_sends, workspace)
    say_status(run_admin(all_done, workspace, patience=None) if wait else status)
    if not wait:
        say(f"the rest goes on by itself: `connector status {workspace}` tells when it is done")


async def _in_force(c: Connection, workspace: str) -> ConnectorSettings | None:
    async with c.store.read() as tx:
        row = await tx.connectors.get(workspace)
    return None if row is None or row.api_key is None else row.status().settings


def _tell(c: Connection, workspace: str, done: Installed, before: ConnectorSettings | None, *, as_json: bool) -> None:
    url = webhook_url(c.settings.public_url or "https://YOUR-ENDPOINT", workspace)
    if as_json:
        give({"status": done.status.model_dump(mode="json"), "webhook_url": url, "webhook_token": done.webhook_token})
        return
    say(f"in force: {done.status.state}")
    if before is not None and done.status.settings is not None:
        for change in changes(before, done.status.settings):
            say(f"  {escape(change)}")
    show_findings("what was found", done.status.findings)
    if done.webhook_token:
        say(f"\nwebhook URL    {url}")
        say(f"webhook token  {done.webhook_token}   (header {WEBHOOK_TOKEN_HEADER}; shown this once)")


def _pair(text: str) -> tuple[str, Any]:
    """NAME=VALUE; a value that begins as JSON lists do is read as JSON."""
    name, sign, value = text.partition("=")
    if not sign:
        stop(USAGE, f"--set takes NAME=VALUE, not {text!r}")
    if not value.startswith("["):
        return name, value
    try:
        return name, orjson.loads(value)
    except orjson.JSONDecodeError:
        stop(USAGE, f"--set {name}: the list is not valid JSON")
