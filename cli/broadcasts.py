"""`connector broadcast …`: start broadcasts, watch them, steer them."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from pydantic import BaseModel, ValidationError
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from cli.connection import Connection, connected
from cli.database import LARGEST, installed, opened
from cli.output import FAILED, NOT_FOUND, USAGE, err, give, out, say, stop, table
from cli.requests import insist_that_it_fits, request_of, text_of
from contracts.attributes import WORKSPACE, at_start
from contracts.broadcast import Audience, AudienceMove, BroadcastProgress, BroadcastRequest, RateChange
from contracts.names import BROADCAST_WORKFLOW, broadcast_workflow_id
from contracts.received import M, refusal_of
from runtime.process import run
from runtime.temporal import update_with_start
from store.broadcasts import ENDS, BroadcastRow
from store.recipients import STATUSES
from store.store import Store

app = typer.Typer(name="broadcast", help="One template to many recipients.", no_args_is_help=True)
Workspace = Annotated[str, typer.Argument(help="The GenieOS workspace.")]
Broadcast = Annotated[str, typer.Argument(help="The broadcast's id.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_POLL_SECONDS = 1.0
_QUERY_SECONDS = 5


async def start_broadcast(
    temporal: Client, task_queue: str, request: BroadcastRequest
) -> WorkflowHandle[Any, BroadcastProgress]:
    """The run of a broadcast, started or found. Raises `WorkflowAlreadyStartedError` where it has ended."""
    id_ = broadcast_workflow_id(request.workspace_id, request.broadcast_id)
    return await temporal.start_workflow(
        BROADCAST_WORKFLOW,
        request,
        id=f"{id_}/dry-run" if request.dry_run else id_,
        task_queue=task_queue,
        static_summary=request.summary,
        search_attributes=at_start({WORKSPACE: request.workspace_id}),
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=(
            WorkflowIDReusePolicy.ALLOW_DUPLICATE if request.dry_run else WorkflowIDReusePolicy.REJECT_DUPLICATE
        ),
        priority=Priority(priority_key=4, fairness_key=request.workspace_id),
        result_type=BroadcastProgress,
    )


@app.command(name="run")
def run_command(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="A BroadcastRequest as JSON; - for standard input.")],
    *,
    audience: Annotated[str | None, typer.Option(help="The audience's URI, in place of the request's.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Read and count, and send nothing.")] = False,
    rate: Annotated[float | None, typer.Option(help="Recipients a second at most.")] = None,
    wait: Annotated[bool, typer.Option(help="Show the progress until it ends.")] = True,
    as_json: Json = False,
) -> None:
    """Start a broadcast (or find it) and show how it goes. Ctrl-C stops watching, not the broadcast.

    The exit code is 1 where nobody was reached; where only some were not, the table tells.
    """
    changes: dict[str, Any] = {"audience": {"uri": _absolute(audience)}} if audience else {}
    if rate is not None:
        changes["rate"] = rate
    if dry_run:
        changes["dry_run"] = True
    request = request_of(BroadcastRequest, _changed(text_of(file), changes))

    async def do() -> None:
        async with connected(request.workspace_id) as c:
            await insist_that_it_fits(c.temporal, request)
            try:
                handle = await start_broadcast(c.temporal, c.settings.task_queue, request)
            except WorkflowAlreadyStartedError:
                stop(FAILED, f"broadcast {request.broadcast_id!r} was started before and has ended: see `watch`")
            if not wait and not request.dry_run:
                say(f"started: connector broadcast watch {request.workspace_id} {request.broadcast_id}")
                return
            ended = await _follow(handle, as_json=as_json)
            if not request.dry_run:
                _insist_on_somebody(ended)

    _until_interrupted(do())


def _changed(text: str, changes: dict[str, Any]) -> str:
    """A request of which some fields are given elsewhere."""
    try:
        given: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    if not isinstance(given, dict):
        return text
    return orjson.dumps({**given, **changes}).decode()  # pyright: ignore[reportUnknownArgumentType]


@app.command()
def watch(workspace: Workspace, broadcast_id: Broadcast, *, as_json: Json = False) -> None:
    """Show how a broadcast goes, until it ends or Ctrl-C."""

    async def do() -> None:
        async with connected(workspace) as c:
            handle = c.temporal.get_workflow_handle(
                broadcast_workflow_id(workspace, broadcast_id), result_type=BroadcastProgress
            )
            try:
                await handle.describe()
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                _, stands = await _stored(c.store, workspace, broadcast_id)
                _show(stands, as_json=as_json)
                return
            await _follow(handle, as_json=as_json)

    _until_interrupted(do())


@app.command()
def pause(workspace: Workspace, broadcast_id: Broadcast, *, as_json: Json = False) -> None:
    """Stop targeting until `resume`. Once this returns nobody is targeted."""
    _update(workspace, broadcast_id, "pause", as_json=as_json)


@app.command()
def resume(
    workspace: Workspace,
    broadcast_id: Broadcast,
    *,
    audience: Annotated[
        str | None, typer.Option(help="Where the very same file can be read now: a fresh signed URL, say.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Go on, also where the run was terminated: then another one takes the broadcast up where it stood."""

    async def do() -> None:
        async with connected(workspace) as c:
            move = None if audience is None else _given(AudienceMove, uri=_absolute(audience))
            answer = await _updated(c, workspace, broadcast_id, "resume", *([] if move is None else [move]))
            if answer is None:
                answer = await _taken_up(c, workspace, broadcast_id, move=move)
        _show_steered("resume", answer, as_json=as_json)

    run(do())


async def _taken_up(
    c: Connection, workspace: str, broadcast_id: str, *, move: AudienceMove | None = None, cancels: bool = False
) -> BroadcastProgress:
    """By a run for one that is gone: never beside one that is open, and never after one that ended by itself, for then
    the database is an older one than that run's (a backup), and who was reached since would be reached again. One that
    is cancelled targets nobody, and follows to its end what was under way."""
    row, _ = await _stored(c.store, workspace, broadcast_id)
    if row.status in ENDS:
        stop(FAILED, _why_not(row))
    if cancels:
        async with c.store.begin() as tx:
            await tx.broadcasts.want(workspace, broadcast_id, "cancel")
    request = BroadcastRequest(
        workspace_id=workspace,
        broadcast_id=broadcast_id,
        resume=True,
        audience=None if move is None else Audience(uri=move.uri),
    )
    try:
        return await update_with_start(
            c.temporal,
            BROADCAST_WORKFLOW,
            request,
            id_=broadcast_workflow_id(workspace, broadcast_id),
            task_queue=c.settings.task_queue,
            update="resume",
            result_type=BroadcastProgress,
            reuse=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            summary=f"takes up broadcast {broadcast_id}, whose run was gone",
            attributes=at_start({WORKSPACE: workspace}),
        )
    except WorkflowAlreadyStartedError:
        what = f"broadcast {broadcast_id!r} is {row.status} in this database, but its run has ended by itself"
        stop(FAILED, f"{what}: is this a backup that was restored? It is not taken up, lest people be reached twice")


@app.command()
def cancel(workspace: Workspace, broadcast_id: Broadcast, *, as_json: Json = False) -> None:
    """End a broadcast. Once this returns nobody is targeted any more."""

    async def do() -> None:
        async with connected(workspace) as c:
            answer = await _updated(c, workspace, broadcast_id, "cancel")
            if answer is None:
                answer = await _taken_up(c, workspace, broadcast_id, cancels=True)
        _show_steered("cancel", answer, as_json=as_json)

    run(do())


@app.command(name="set-rate")
def set_rate(
    workspace: Workspace,
    broadcast_id: Broadcast,
    rate: Annotated[
        float | None, typer.Argument(help="Recipients a second; without it, what the project allows.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Change the rate of a broadcast that runs."""
    _update(workspace, broadcast_id, "set_rate", _given(RateChange, rate=rate), as_json=as_json)


@app.command()
def retry(workspace: Workspace, broadcast_id: Broadcast, *, as_json: Json = False) -> None:
    """Target the recipients that failed once more, whether the broadcast still runs or has ended.

    Past its expires_at nobody is targeted: then only answers that were lost are looked into once more.
    """

    async def do() -> None:
        async with connected(workspace) as c:
            # A run for an id that never was one would take the id from the broadcast that is meant to have it.
            row, stands = await _stored(c.store, workspace, broadcast_id)
            tally = stands.tally
            if row.ended_at is not None and tally.rows and not tally.failed and not tally.open:
                err.print("nothing to retry: nobody failed")
                _show(stands, as_json=as_json)
                return
            start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
                BROADCAST_WORKFLOW,
                BroadcastRequest(workspace_id=workspace, broadcast_id=broadcast_id, again=True),
                id=broadcast_workflow_id(workspace, broadcast_id),
                task_queue=c.settings.task_queue,
                static_summary=f"retries what failed of broadcast {broadcast_id}",
                search_attributes=at_start({WORKSPACE: workspace}),
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                result_type=BroadcastProgress,
            )
            await c.temporal.execute_update_with_start_workflow(  # pyright: ignore[reportUnknownMemberType]
                "retry", start_workflow_operation=start, result_type=BroadcastProgress
            )
            await _follow(await start.workflow_handle(), as_json=as_json)

    _until_interrupted(do())


@app.command()
def recipients(
    workspace: Workspace,
    broadcast_id: Broadcast,
    status: Annotated[str | None, typer.Option(help=f"One of {', '.join(STATUSES)}.")] = None,
    after: Annotated[int, typer.Option(min=0, max=LARGEST, help="Rows behind this one.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    *,
    as_json: Json = False,
) -> None:
    """Show what became of recipients, row by row. The address of a row is in your audience."""
    if status is not None and status not in STATUSES:
        stop(USAGE, f"status is one of {', '.join(STATUSES)}")

    async def do() -> None:
        async with opened() as store:
            await _stored(store, workspace, broadcast_id)
            async with store.read() as tx:
                entries = await tx.recipients.page(workspace, broadcast_id, after, limit, status)
        if as_json:
            give([entry.model_dump(mode="json") for entry in entries])
            return
        rows = [(str(one.row), one.send_id or "", one.status, escape(one.reason or "")) for one in entries]
        table(broadcast_id, ("row", "send", "status", "reason"), rows)

    run(do())


# ── showing ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _follow(handle: WorkflowHandle[Any, BroadcastProgress], *, as_json: bool) -> BroadcastProgress:
    """The progress on one line, until the run ends; then its result."""
    ended = asyncio.ensure_future(handle.result())
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
        console=out,
        transient=True,
        disable=as_json,
    ) as bar:
        line = bar.add_task("preparing", total=1.0, counts="")
        while not ended.done():
            found = await _asked(handle)
            if found is not None:
                bar.update(line, completed=found.done or 0.0, description=found.status.value, counts=_counts(found))
            await asyncio.wait({ended}, timeout=_POLL_SECONDS)
    progress = ended.result()
    _show(progress, as_json=as_json)
    return progress


async def _asked(handle: WorkflowHandle[Any, BroadcastProgress]) -> BroadcastProgress | None:
    """None while no worker answers."""
    try:
        async with asyncio.timeout(_QUERY_SECONDS):
            return await handle.query("progress", result_type=BroadcastProgress)
    except (RPCError, TimeoutError):
        return None


async def _stored(store: Store, workspace: str, broadcast_id: str) -> tuple[BroadcastRow, BroadcastProgress]:
    """A broadcast as the store has it, whether Temporal still knows it or not; or the end of the command."""
    await installed(store, workspace)
    async with store.read() as tx:
        row = await tx.broadcasts.get(workspace, broadcast_id)
        lanes = await tx.broadcasts.lanes(workspace, broadcast_id)
    if row is None:
        stop(NOT_FOUND, f"workspace {workspace!r} has no broadcast {broadcast_id!r}")
    return row, row.progress(lanes.values())


def _insist_on_somebody(ended: BroadcastProgress) -> None:
    """A broadcast of which some failed did what was asked; one that reached nobody, for whom it could, did not."""
    tally = ended.tally
    if tally.taken or tally.suppressed:
        return
    if tally.failed:
        stop(FAILED, "nobody was reached: `connector broadcast recipients` tells why, `… retry` tries again")
    stop(FAILED, "nobody was targeted: correct the request or its audience and start it under another broadcast_id")


def _show(progress: BroadcastProgress, *, as_json: bool) -> None:
    if as_json:
        give(progress)
        return
    survey = progress.survey
    named = {"taken": "would be targeted"} if survey is not None else {}
    rows = [(named.get(name, name), f"{count:,}") for name, count in progress.tally.counts().items() if count]
    table(f"{progress.status} {progress.reason or ''}", ("recipients", ""), rows)
    if survey is not None:
        say(f"would be targeted: {survey.sendable:,}, in about {survey.seconds:,.0f} s at the allowed rate")
        say(f"requests to Iterable: {survey.calls:,}; billable Temporal actions: {survey.actions:,}")
        for bad in survey.bad_rows:
            say(f"bad row {bad.row}: {escape(bad.reason)}")
        for name, count in survey.missing.items():
            say(f"no data for {escape(name)}: {count:,} recipients")
    elif progress.tally.bad:
        say("`connector broadcast recipients … --status bad` tells what is wrong with each bad row")


def _counts(progress: BroadcastProgress) -> str:
    counts = ", ".join(f"{name} {count:,}" for name, count in progress.tally.counts().items() if count)
    rate = f" · {progress.rate:,.0f}/s" if progress.rate else ""
    left = f" · {progress.eta_seconds:,.0f} s to go" if progress.eta_seconds is not None else ""
    return escape(counts + rate + left)


def _update(workspace: str, broadcast_id: str, name: str, *args: RateChange, as_json: bool) -> None:
    async def do() -> None:
        async with connected(workspace) as c:
            answer = await _updated(c, workspace, broadcast_id, name, *args)
            if answer is None:
                row, _ = await _stored(c.store, workspace, broadcast_id)
                stop(FAILED, _why_not(row))
        _show_steered(name, answer, as_json=as_json)

    run(do())


async def _updated(
    c: Connection, workspace: str, broadcast_id: str, name: str, *args: BaseModel
) -> BroadcastProgress | None:
    """None where no run is open."""
    handle = c.temporal.get_workflow_handle(broadcast_workflow_id(workspace, broadcast_id))
    try:
        return await handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
            name, args=args, result_type=BroadcastProgress
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return None


def _why_not(row: BroadcastRow) -> str:
    """Why a broadcast without an open run is not steered."""
    told = f"broadcast {row.request.broadcast_id!r}"
    if row.status in ENDS:
        return f"{told} has ended: {row.status}. See `connector broadcast watch`"
    return f"{told} is {row.status}, but its run is gone: `connector broadcast resume` takes it up where it stood"


def _show_steered(name: str, answer: BroadcastProgress, *, as_json: bool) -> None:
    if as_json:
        give(answer)
        return
    is_going = name == "cancel" and answer.status not in ENDS  # what is under way is followed to its end
    say(f"{'being cancelled' if is_going else answer.status}: {_counts(answer)}")


def _given(model: type[M], **fields: Any) -> M:
    try:
        return model(**fields)
    except ValidationError as error:
        stop(USAGE, str(refusal_of(error)))


def _absolute(uri: str) -> str:
    """A path is meant from here, not from where the worker runs."""
    return uri if "://" in uri else str(Path(uri).resolve())


def _until_interrupted(work: Any) -> None:
    try:
        run(work)
    except KeyboardInterrupt:
        say("stopped watching; the broadcast goes on")
