"""Commands around a connector's life: install, test, pause, resume, rotate, uninstall."""

import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import orjson
import typer
from pydantic import BaseModel, SecretStr, ValidationError
from rich.markup import escape

from cli.connection import Connection, connected, open_store
from cli.output import FAILED, NOT_FOUND, USAGE, give, say, stop, table
from contracts.connector import ConnectorSettings, ConnectorStatus, DataCenter, ProfilePolicy, ProjectType
from contracts.errors import ErrorCode
from contracts.finding import Finding, Level
from contracts.install import TestReport, TestRequest, UninstallRequest
from contracts.names import WEBHOOK_TOKEN_HEADER, connector_workflow_id, webhook_url
from contracts.received import refusal_of
from contracts.template import Stream
from endpoint.administration import Administration, AdminRefused
from runtime.process import run
from runtime.settings import Settings

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

app = typer.Typer()
rotate = typer.Typer(help="Replace an API key, a webhook token, or the master key.", no_args_is_help=True)
app.add_typer(rotate, name="rotate")

Workspace = Annotated[str, typer.Argument(help="The GenieOS workspace.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_MARKS = {Level.OK: "[green]✓[/]", Level.ATTENTION: "[yellow]![/]", Level.REFUSED: "[red]✗[/]", Level.UNKNOWN: "?"}


@app.command()
def install(
    workspace: Workspace,
    data_center: Annotated[DataCenter, typer.Option(help="Where the Iterable project is hosted.")],
    project_type: Annotated[ProjectType, typer.Option(help="How the project identifies people.")] = "hybrid",
    transactional_message_type: Annotated[int | None, typer.Option(help="Message type id for the stream.")] = None,
    marketing_message_type: Annotated[int | None, typer.Option(help="Message type id for the stream.")] = None,
    profile_policy: Annotated[ProfilePolicy, typer.Option(help="May a send write a thin profile?")] = "never",
    profile_field: Annotated[list[str] | None, typer.Option(help="A field a thin profile may carry.")] = None,
    default_from: Annotated[str | None, typer.Option(help="Sender of templates that name none, and of tests.")] = None,
    allow_ip: Annotated[list[str] | None, typer.Option(help="A network that webhooks may come from.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Any other setting, as NAME=VALUE.")] = None,
    *,
    keep_key: Annotated[bool, typer.Option(help="Change settings only: the API key in force stays.")] = False,
    new_webhook_token: Annotated[bool, typer.Option(help="Make another webhook token.")] = False,
    as_json: Json = False,
) -> None:
    """Install a connector, or change its settings. The API key is read from standard input, or asked for."""
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
    wanted = _valid(ConnectorSettings, named | dict(_pair(text) for text in set_ or []))
    key = None if keep_key else _read_key()

    async def do(c: Connection) -> None:
        done = await _admin(c).install(workspace, wanted, key, new_webhook_token=new_webhook_token)
        url = webhook_url(c.settings.public_url or "https://YOUR-ENDPOINT", workspace)
        if as_json:
            give(
                {"status": done.status.model_dump(mode="json"), "webhook_url": url, "webhook_token": done.webhook_token}
            )
            return
        say(f"installed: {done.status.state}")
        _findings("what was found", done.status.findings)
        if done.webhook_token:
            say(f"\nwebhook URL    {url}")
            say(f"webhook token  {done.webhook_token}   (header {WEBHOOK_TOKEN_HEADER}; shown this once)")

    _run(do)


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
    request = _valid(
        TestRequest, {"send_to": send_to, "user_id": user_id, "stream": stream, "webhook_within_seconds": wait}
    )

    async def do(c: Connection) -> TestReport:
        if not as_json and (send_to or user_id):
            say("Iterable has no sandbox: this sends a real message.")
        return await _admin(c).test(workspace, request)

    report = _run(do)
    if as_json:
        give(report)
    else:
        _findings(f"{workspace}: {'every leg works' if report.ok else 'something needs doing'}", report.legs)
    if not report.ok:
        raise typer.Exit(FAILED)


@app.command()
def pause(workspace: Workspace) -> None:
    """Refuse new sends with connector_disabled until `connector resume`. What is under way ends as it will."""

    async def do(c: Connection) -> None:
        _say(await _admin(c).pause(workspace))

    _run(do)


@app.command()
def resume(workspace: Workspace) -> None:
    """Take new sends again."""

    async def do(c: Connection) -> None:
        _say(await _admin(c).resume(workspace))

    _run(do)


@rotate.command("key")
def rotate_key(workspace: Workspace) -> None:
    """Put another API key into force; the old one stays where the new one is refused. Read from standard input."""
    key = _read_key()

    async def do(c: Connection) -> None:
        _say(await _admin(c).rotate_api_key(workspace, key))

    _run(do)


@rotate.command("webhook-token")
def rotate_webhook_token(workspace: Workspace, *, as_json: Json = False) -> None:
    """Make another webhook token and tell Iterable. The old one stays valid for the time that is set for it."""

    async def do(c: Connection) -> None:
        done = await _admin(c).rotate_webhook_token(workspace)
        if as_json:
            give({"webhook_token": done.webhook_token, **done.rotated.model_dump(mode="json")})
            return
        say(f"webhook token  {done.webhook_token}   (header {WEBHOOK_TOKEN_HEADER}; shown this once)")
        say(f"the old one is valid until {done.rotated.old_valid_until:%Y-%m-%d %H:%M:%S} UTC")
        _findings("in Iterable", [done.rotated.webhook])

    _run(do)


@rotate.command("master-key")
def rotate_master_key() -> None:
    """Seal everything anew under the newest master key. Processes must know that key already.

    Put the new key into the ring, behind the old one, and restart every process; then put it first, restart again, and
    run this. When it says that nothing is left, the old key can go.
    """

    async def do() -> None:
        settings = Settings()
        store = await open_store(settings)
        try:
            done = await store.reseal()
        finally:
            await store.close()
        for name, count in done.done.items():
            say(f"{name}: {count} sealed anew")
        if done.unreadable:
            lost = ", ".join(f"{count} of {name}" for name, count in done.unreadable.items())
            stop(FAILED, f"no key of the ring opens {lost}: put the key that sealed them back into the ring")
        say(f"everything is sealed with the key {settings.keyring().current!r}: older keys can go")

    run(do())


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
    request = _valid(UninstallRequest, asked)

    async def do(c: Connection) -> None:
        status = await _admin(c).uninstall(workspace, request)
        if wait:
            handle = c.temporal.get_workflow_handle(connector_workflow_id(workspace), result_type=ConnectorStatus)
            status = await handle.result()
        _say(status)

    _run(do)


def _run(do: Callable[[Connection], Awaitable[T]]) -> T:
    """Runs a command against the store and Temporal, or ends it with why it was refused."""

    async def connected_do() -> T:
        async with connected() as c:
            try:
                return await do(c)
            except AdminRefused as error:
                stop(NOT_FOUND if error.code == ErrorCode.CONNECTOR_NOT_INSTALLED else FAILED, f"{error.code}: {error}")

    return run(connected_do())


def _admin(c: Connection) -> Administration:
    return Administration(c.store, c.temporal, c.settings.task_queue)


def _read_key() -> SecretStr:
    """From a prompt or standard input, never from an argument: those stay in shells' histories and process lists."""
    given: str = typer.prompt("Iterable API key", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    key = SecretStr(given.strip())
    if not key.get_secret_value():
        stop(USAGE, "no API key on standard input")
    return key


def _valid(model: type[M], given: dict[str, Any]) -> M:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        stop(USAGE, str(refusal_of(error)))


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


def _say(status: ConnectorStatus) -> None:
    say(f"{status.state}{': ' + escape(status.reason) if status.reason else ''}")


def _findings(title: str, findings: list[Finding]) -> None:
    rows = [
        (
            _MARKS[one.level],
            escape(one.point),
            escape(one.found),
            "" if one.seconds is None else f"{one.seconds:.1f} s",
            escape(one.advice),
        )
        for one in findings
    ]
    table(title, ("", "point", "found", "time", "what to do"), rows)
