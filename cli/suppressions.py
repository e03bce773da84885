"""`connector suppressions …`: who must not be sent to, and why."""

import csv
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TextIO

import typer
from pydantic import TypeAdapter, ValidationError
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.suppressing import Path as SendPath
from activities.suppressing import blocking, entry_of
from cli.connection import connected
from cli.database import LARGEST, installed, opened
from cli.importing import ImportReport, NotACsv, import_suppressions
from cli.output import FAILED, NOT_FOUND, USAGE, err, give, say, stop, table
from contracts import attributes
from contracts.masking import masked
from contracts.names import SUPPRESSION_WORKFLOW, suppression_workflow_id
from contracts.send import UserId
from contracts.suppression import OURS, WORKSPACE, Cause, Given, SuppressionEntry, SyncProgress, SyncRequest
from contracts.template import EmailAddress
from runtime.process import run
from store.keyring import KeyedHasher
from store.person import Person
from store.store import Store
from store.suppressions import Report, Suppression

app = typer.Typer(name="suppressions", help="Who must not be sent to, and why.", no_args_is_help=True)

Workspace = Annotated[str, typer.Argument(help="The GenieOS workspace.")]
Address = Annotated[str, typer.Argument(help="An email address, or with --user-id a user id.")]
IsUserId = Annotated[bool, typer.Option("--user-id", help="ADDRESS is a user id.")]
Streams = Annotated[Given, typer.Option("--scope", help="Both streams (workspace), or one.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

_PAGE = 1_000
_BAD_SHOWN = 20
_EXPORTED = ("email", "user_id", "cause", "scope", "reason", "source", "first_seen_at", "occurred_at")
"""Columns that an import reads again under the same names: `occurred_at` is when it was last reported for."""
_EMAIL: TypeAdapter[str] = TypeAdapter(EmailAddress)
_USER_ID: TypeAdapter[str] = TypeAdapter(UserId)


@app.command(name="list")
def list_command(
    workspace: Workspace,
    cause: Annotated[Cause | None, typer.Option(help="Only of this cause.")] = None,
    after: Annotated[int, typer.Option(min=0, max=LARGEST, help="Only what changed after this cursor.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=_PAGE, help="At most so many.")] = 50,
    *,
    lifted: Annotated[bool, typer.Option("--lifted", help="With those that were lifted.")] = False,
    as_json: Json = False,
) -> None:
    """Show suppressions, oldest change first. Addresses are masked; --json shows them."""

    async def do() -> None:
        async with opened() as store:
            paths = await _paths(store, workspace)
            async with store.read() as tx:
                found = await tx.suppressions.page(workspace, after, limit, lifted=lifted, cause=cause)
        entries = [entry_of(workspace, one, paths) for one in found]
        if as_json:
            give([entry.model_dump(mode="json") for entry in entries])
            return
        table(
            f"{workspace}: suppressions after {after}",
            ("cursor", "who", "cause", "scope", "blocks", "reason", "last seen (UTC)"),
            [
                (
                    str(entry.cursor),
                    _shown(entry),
                    entry.cause,
                    entry.scope,
                    ", ".join(entry.blocks) or ("nothing" if entry.active else "lifted"),
                    escape(entry.reason or ""),
                    _time(entry.last_seen_at),
                )
                for entry in entries
            ],
        )
        if len(entries) == limit:
            say(f"more: --after {entries[-1].cursor}")

    run(do())


@app.command()
def add(
    workspace: Workspace,
    address: Address,
    scope: Streams = "workspace",
    reason: Annotated[str | None, typer.Option(help="Why, for those who ask later.")] = None,
    *,
    user_id: IsUserId = False,
) -> None:
    """Suppress one person."""

    async def do() -> None:
        async with opened() as store:
            await installed(store, workspace)
            person = person_named(store.hasher, address, user_id=user_id)
            report = Report(person, Cause.MANUAL, scope, datetime.now(UTC), source="operator", reason=reason)
            async with store.begin() as tx:
                await tx.suppressions.record(workspace, [report])
        say(f"suppressed: {scope}. Iterable hears of it with `connector suppressions push {workspace}`")

    run(do())


@app.command()
def remove(
    workspace: Workspace,
    address: Address,
    cause: Annotated[list[Cause] | None, typer.Option(help="Lift this cause; default: manual and import.")] = None,
    *,
    user_id: IsUserId = False,
) -> None:
    """Lift what was added by hand or imported, or what --cause names. A complaint is not lifted."""
    causes = cause or list(OURS)
    if Cause.COMPLAINT in causes:
        stop(USAGE, "a complaint is not lifted: who complained must not get marketing mail again")

    async def do() -> None:
        async with opened() as store:
            await installed(store, workspace)
            person = person_named(store.hasher, address, user_id=user_id)
            async with store.begin() as tx:
                removed = await tx.suppressions.lift(workspace, person.recipient_hash, causes)
                left = (await tx.suppressions.of(workspace, [person.recipient_hash]))[person.recipient_hash]
        if not removed:
            stop(NOT_FOUND, f"nothing of {', '.join(causes)} holds for this person")
        say(f"lifted: {', '.join(f'{one.cause} ({one.scope})' for one in removed)}")
        if left:
            say(f"still held: {', '.join(f'{one.cause} ({one.scope})' for one in left)}")
        if any(one.may_be_pushed for one in removed):
            say("Iterable was told of it and holds it still: see push_removals")

    run(do())


@app.command()
def check(workspace: Workspace, address: Address, *, user_id: IsUserId = False, as_json: Json = False) -> None:
    """Explain which rule blocks which stream, and since when."""

    async def do() -> None:
        async with opened() as store:
            paths = await _paths(store, workspace)
            person = person_named(store.hasher, address, user_id=user_id)
            async with store.read() as tx:
                found = await tx.suppressions.of(workspace, [person.recipient_hash], lifted=True)
        known = found[person.recipient_hash]
        rules = {path.stream: blocking(known, path) for path in paths}
        entries = [entry_of(workspace, one, paths) for one in known]
        if as_json:
            give(
                {
                    "recipient_hash": person.recipient_hash,
                    "streams": {stream: None if rule is None else _rule(rule) for stream, rule in rules.items()},
                    "entries": [entry.model_dump(mode="json", exclude={"email", "user_id"}) for entry in entries],
                }
            )
            return
        table(
            f"{workspace}: {escape(address if user_id else masked(address))}",
            ("stream", "", "rule", "since (UTC)", "reason"),
            [
                (stream, "[green]open[/]", "", "", "")
                if rule is None
                else (
                    stream,
                    "[red]blocked[/]",
                    f"{rule.cause} ({rule.scope})",
                    _time(rule.since),
                    escape(rule.reason or ""),
                )
                for stream, rule in rules.items()
            ],
        )
        for one, entry in zip(known, entries, strict=True):
            say(f"{one.cause} ({one.scope}), reported by {one.source or 'nobody known'}: {_standing(one, entry)}")

    run(do())


@app.command(name="import")
def import_command(
    workspace: Workspace,
    file: Annotated[
        Path, typer.Argument(help="CSV with a column email or user_id; reason, occurred_at and scope are read.")
    ],
    scope: Streams = "workspace",
    reason: Annotated[str | None, typer.Option(help="For rows that give none.")] = None,
    bad_lines: Annotated[Path | None, typer.Option(help="Write the number and problem of every bad line here.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Suppress everybody in a CSV file. Broken off, run it again: what is in already is skipped."""

    async def do() -> ImportReport:
        async with opened() as store:
            await installed(store, workspace)
            with file.open("rb") as source, _bad_lines(bad_lines) as note, _progress() as progress:
                task = progress.add_task("0 rows", total=file.stat().st_size, name=file.name)

                def moved(report: ImportReport) -> None:
                    rows = report.added + report.skipped + report.bad
                    progress.update(task, completed=report.bytes_read, description=f"{rows:,} rows")

                return await import_suppressions(
                    store, workspace, source, scope=scope, reason=reason, on_batch=moved, on_bad=note
                )

    try:
        report = run(do())
    except KeyboardInterrupt:
        stop(FAILED, "stopped; the same command goes on from here")
    except NotACsv as error:
        stop(USAGE, f"{error}")
    except OSError as error:
        stop(USAGE, f"cannot read or write a file: {error.strerror}")
    if not (report.added or report.skipped or report.bad):
        stop(FAILED, f"{file} has no row")
    if as_json:
        give({"added": report.added, "skipped": report.skipped, "bad": report.bad})
    else:
        say(f"{report.added:,} added, {report.skipped:,} were in already, {report.bad:,} bad lines")
    if report.bad:
        raise typer.Exit(FAILED)


@app.command(name="export")
def export_command(
    workspace: Workspace,
    file: Annotated[Path | None, typer.Argument(help="Where to; without it, standard output.")] = None,
    cause: Annotated[Cause | None, typer.Option(help="Only of this cause.")] = None,
) -> None:
    """Write what holds as CSV, with addresses. Who asked to be forgotten has none, and is left out.

    Imported again, rows are imports of the scope given there: export the causes you mean.
    """

    async def do(goal: TextIO) -> int:
        writer = csv.writer(goal, lineterminator="\n")
        writer.writerow(_EXPORTED)
        written, after = 0, 0
        async with opened() as store:
            await installed(store, workspace)
            while True:
                async with store.read() as tx:
                    found = await tx.suppressions.page(workspace, after, _PAGE, lifted=False, cause=cause)
                rows = [_exported(one, one.person) for one in found if one.person is not None]
                writer.writerows(rows)
                written += len(rows)
                if len(found) < _PAGE:
                    return written
                after = found[-1].cursor

    if file is None:
        run(do(sys.stdout))
        return
    try:
        with file.open("w", newline="") as goal:
            say(f"{run(do(goal)):,} written")
    except OSError as error:
        stop(USAGE, f"cannot write the file: {error.strerror}")


@app.command()
def push(
    workspace: Workspace,
    sync_id: Annotated[str | None, typer.Option(help="Names the sync; default: the time.")] = None,
    *,
    wait: Annotated[bool, typer.Option(help="Wait until it is over.")] = True,
    as_json: Json = False,
) -> None:
    """Tell Iterable of what was added by hand and imported. Needs an all-list:
    `connector configure WORKSPACE --set all_list_id=ID`.
    """
    try:
        request = SyncRequest(workspace_id=workspace, sync_id=sync_id or f"{datetime.now(UTC):%Y%m%dT%H%M%S}")
    except ValidationError:
        stop(USAGE, "a workspace or sync id is letters, digits, '_', '.', '-'")
    id_ = suppression_workflow_id(workspace, request.sync_id)

    async def do() -> SyncProgress | None:
        async with connected(workspace) as c:
            try:
                handle = await c.temporal.start_workflow(
                    SUPPRESSION_WORKFLOW,
                    request,
                    id=id_,
                    task_queue=c.settings.task_queue,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                    result_type=SyncProgress,
                    static_summary=f"tells Iterable of suppressions of {workspace}",
                    search_attributes=attributes.at_start({attributes.WORKSPACE: workspace}),
                )
                err.print(f"[dim]· run {id_}[/]")
                return await handle.result() if wait else None
            except WorkflowAlreadyStartedError:
                stop(FAILED, f"sync {request.sync_id!r} is over: give another id, or none")

    done = run(do())
    if done is None:
        return
    if as_json:
        give(done)
        return
    say(f"{done.pushed:,} pushed, {done.withdrawn:,} withdrawn, {sum(done.failed.values()):,} not taken by Iterable")
    for reason, count in sorted(done.failed.items()):
        say(f"  {reason}: {count:,}")


async def _paths(store: Store, workspace: str) -> list[SendPath]:
    row = await installed(store, workspace)
    return SendPath.all_of(row.settings, row.catalog)


def person_named(hasher: KeyedHasher, address: str, *, user_id: bool) -> Person:
    """Whom an admin means; ends the command where it is nobody's name."""
    try:
        if user_id:
            return Person.by_user_id(hasher, _USER_ID.validate_python(address))
        return Person.by_email(hasher, _EMAIL.validate_python(address.strip()))
    except ValidationError:
        stop(USAGE, "this is not a user id" if user_id else "this is not an address (a user id needs --user-id)")


def _shown(entry: SuppressionEntry) -> str:
    if entry.email is not None:
        return escape(masked(entry.email))
    return escape(entry.user_id or f"{entry.recipient_hash[:12]}…")


def _rule(rule: Suppression) -> dict[str, str | None]:
    return {"cause": rule.cause, "scope": rule.scope, "since": rule.since.isoformat(), "reason": rule.reason}


def _standing(one: Suppression, entry: SuppressionEntry) -> str:
    if one.lifted_at is not None and not one.active:
        return f"lifted {_time(one.lifted_at)}"
    if entry.blocks:
        return f"blocks {' and '.join(entry.blocks)}; first {_time(one.first_seen_at)}, last {_time(one.last_seen_at)}"
    if one.scope == WORKSPACE:
        return "holds, and the settings let it block nothing"
    return "holds, and no stream of this connector goes out through it"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _exported(one: Suppression, person: Person) -> tuple[str, ...]:
    return (
        person.email or "",
        person.user_id or "",
        one.cause.value,
        one.scope,
        one.reason or "",
        one.source or "",
        one.first_seen_at.isoformat(),
        one.last_seen_at.isoformat(),
    )


def _progress() -> Progress:
    """On standard error, and only where somebody looks."""
    columns = (
        TextColumn("{task.fields[name]}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    return Progress(*columns, console=err, disable=not err.is_terminal)


class _Notes:
    """Bad lines: the first few on standard error, all of them in the file that was asked for."""

    def __init__(self, file: TextIO | None) -> None:
        self._file = file
        self._shown = 0

    def __call__(self, line: int, problem: str) -> None:
        if self._file is not None:
            self._file.write(f"{line}: {problem}\n")
        if self._shown < _BAD_SHOWN:
            err.print(f"line {line}: {problem}")
        elif self._shown == _BAD_SHOWN:
            err.print("further bad lines are counted only" if self._file is None else "further ones: see the file")
        self._shown += 1


@contextmanager
def _bad_lines(path: Path | None) -> Generator[_Notes]:
    if path is None:
        yield _Notes(None)
        return
    with path.open("w") as file:
        yield _Notes(file)
