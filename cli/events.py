"""`connector events …`: what happened to events after they came in."""

import math
import uuid
from datetime import UTC, datetime
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.markup import escape

from activities.backfill import EXPORTS_PER_MINUTE
from activities.push import wake_push
from activities.receivers import ReceiverRefused, check_receiver
from activities.signing import new_secret
from activities.waking import wake_inboxes
from cli.connection import connected
from cli.database import LARGEST, installed, opened
from cli.output import FAILED, NOT_FOUND, USAGE, err, give, say, stop, table
from contracts.attributes import WORKSPACE, at_start
from contracts.backfill import BackfillRequest, BackfillResult
from contracts.names import BACKFILL_WORKFLOW, RETRY_SIGNAL, backfill_schedule_id
from contracts.received import refusal_of
from iterable.webhook_event import EMAIL_EVENTS
from runtime.process import run
from workflows.backfill import WINDOW

app = typer.Typer(
    name="events", help="Look after events: problems, unmatched ones, back-fill, push.", no_args_is_help=True
)

Workspace = Annotated[str, typer.Argument(help="The GenieOS workspace.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]


@app.command(name="list-problems")
def list_problems(workspace: Workspace, *, limit: Limit = 100, as_json: Json = False) -> None:
    """Show events that could not be read, and why. They are kept; `events replay` tries them again.

    Events that came together and that no key of the ring opens are one entry, with an id below zero.
    """

    async def do() -> None:
        async with opened() as store:
            await installed(store, workspace)
            async with store.read() as tx:
                found = await tx.inbox.problems(workspace, limit)
        if as_json:
            give([one.__dict__ for one in found])
            return
        rows = [
            (
                str(one.id),
                str(one.events),
                "sealed too" if one.received_at is None else _moment(one.received_at),
                escape(one.reason),
            )
            for one in found
        ]
        table(f"{workspace}: events set aside", ("id", "events", "received (UTC)", "reason"), rows)

    run(do())


@app.command()
def replay(
    workspace: Workspace,
    id_: Annotated[
        int | None, typer.Option("--id", min=-LARGEST, max=LARGEST, help="One event, by its id in list-problems.")
    ] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> None:
    """Put events that were set aside back in line, after what was wrong has been put right."""
    if (id_ is None) != all_:
        stop(USAGE, "give either --id or --all")

    async def do() -> None:
        async with connected(workspace) as c:
            async with c.store.begin() as tx:
                shards = await tx.inbox.replay(workspace, id_)
            if not shards and id_ is not None:
                stop(NOT_FOUND, "no such event is set aside")
            await wake_inboxes(c.temporal, c.settings.task_queue, workspace, shards)
        say(f"{len(shards)} back in line" if shards else "nothing is set aside")

    run(do())


@app.command()
def discard(
    workspace: Workspace,
    id_: Annotated[int, typer.Option("--id", min=-LARGEST, max=LARGEST, help="One entry, by its id in list-problems.")],
) -> None:
    """Drop an entry that was set aside, for good: what nobody will ever be able to read."""

    async def do() -> None:
        async with opened() as store:
            await installed(store, workspace)
            async with store.begin() as tx:
                dropped = await tx.inbox.discard(workspace, id_)
        if not dropped:
            stop(NOT_FOUND, "no such event is set aside")
        say(f"{dropped} dropped")

    run(do())


@app.command()
def unmatched(workspace: Workspace, *, limit: Limit = 100, as_json: Json = False) -> None:
    """Show events that belong to no send of ours that we know of, newest first.

    Most are of other campaigns of the same Iterable project. One of a campaign of ours is joined as soon as only one
    send can be meant.
    """

    async def do() -> None:
        async with opened() as store:
            await installed(store, workspace)
            async with store.read() as tx:
                found = await tx.events.unmatched(workspace, limit)
                count = await tx.events.count_unmatched(workspace)
        if as_json:
            give([one.__dict__ for one in found])
            return
        rows = [
            (
                _moment(one.occurred_at),
                one.kind.value,
                str(one.campaign_id or ""),
                escape(one.message_id or ""),
                escape(one.named_send or ""),
            )
            for one in found
        ]
        table(f"{workspace}: {count} unmatched", ("time (UTC)", "event", "campaign", "message", "names the send"), rows)

    run(do())


@app.command()
def backfill(
    workspace: Workspace,
    since: Annotated[datetime, typer.Option("--from", help="Start (UTC), inclusive.")],
    until: Annotated[datetime | None, typer.Option("--to", help="End (UTC), exclusive; now if left out.")] = None,
    event: Annotated[
        list[str] | None, typer.Option(help="A kind in Iterable's words (emailSend); all if none.")
    ] = None,
    *,
    wait: Annotated[bool, typer.Option(help="Wait for the end: about 3 minutes for each day and all kinds.")] = True,
) -> None:
    """Read from Iterable's export what webhooks may have lost. It also happens by itself, every hour."""
    unknown = sorted(set(event or []) - set(EMAIL_EVENTS))
    if unknown:
        stop(USAGE, f"unknown events: {', '.join(unknown)}; there are {', '.join(EMAIL_EVENTS)}")
    since, until = since.replace(tzinfo=UTC), datetime.now(UTC) if until is None else until.replace(tzinfo=UTC)
    try:
        request = BackfillRequest(workspace_id=workspace, since=since, until=until, event_names=event or [])
    except ValidationError as error:
        stop(USAGE, f"{refusal_of(error)}")

    id_ = f"{backfill_schedule_id(workspace)}/{uuid.uuid4().hex[:8]}"
    exports = math.ceil((until - since) / WINDOW) * len(event or EMAIL_EVENTS)
    minutes = math.ceil(exports / EXPORTS_PER_MINUTE)

    async def do() -> None:
        async with connected(workspace) as c:
            handle = await c.temporal.start_workflow(
                BACKFILL_WORKFLOW,
                request,
                id=id_,
                task_queue=c.settings.task_queue,
                result_type=BackfillResult,
                static_summary=f"reads Iterable's export for {workspace} from {since:%Y-%m-%d %H:%M} UTC",
                search_attributes=at_start({WORKSPACE: workspace}),
            )
            if not wait:
                say(f"reading: {id_}")
                return
            told = f"Iterable allows four exports a minute, so it takes some {minutes} min; Ctrl-C leaves it running"
            err.print(f"[dim]· run {id_}: {told}[/]")
            result: BackfillResult = await handle.result()
        say(f"{result.read} read, {result.found} of them new")

    try:
        run(do())
    except KeyboardInterrupt:
        say(f"stopped waiting; the run goes on: {id_}")


@app.command(name="push-to")
def push_to(
    workspace: Workspace,
    url: Annotated[str, typer.Argument(help="An https URL that takes signed batches.")],
    *,
    everything: Annotated[bool, typer.Option(help="Begin with the oldest event, not with the next.")] = False,
) -> None:
    """Push joined events to a URL, signed as Standard Webhooks says. Prints the secret this once.

    For a URL that is set again the secret is a new one, and the push goes on where it was.
    """

    async def do() -> None:
        async with connected(workspace) as c:
            try:
                await check_receiver(url, allow_private=c.settings.push_allow_private)
            except ReceiverRefused as error:
                stop(FAILED, f"{error}. CONNECTOR_PUSH_ALLOW_PRIVATE=true lets private addresses and http pass")
            secret = new_secret()
            async with c.store.begin() as tx:
                start = 0 if everything else await tx.feed.last(workspace)
                await tx.pushes.set_receiver(workspace, url, secret, start)
            await wake_push(c.temporal, c.settings.task_queue, workspace, RETRY_SIGNAL)
        say(f"secret  {secret.get_secret_value()}   (shown this once)")

    run(do())


@app.command(name="push-off")
def push_off(workspace: Workspace) -> None:
    """Push nothing any more. GenieOS can still read the feed."""

    async def do() -> None:
        async with opened() as store:
            await installed(store, workspace)
            async with store.begin() as tx:
                known = await tx.pushes.remove(workspace)
        if not known:
            stop(NOT_FOUND, f"events of {workspace!r} are not pushed")
        say("events are not pushed any more")

    run(do())


@app.command(name="push-status")
def push_status(workspace: Workspace, *, as_json: Json = False) -> None:
    """Show where the push stands, and which batches were given up."""

    async def do() -> None:
        async with opened() as store:
            await installed(store, workspace)
            async with store.read() as tx:
                receiver = await tx.pushes.get(workspace)
                last = await tx.feed.last(workspace)
                given_up = await tx.pushes.dead_letters(workspace)
        if receiver is None:
            stop(NOT_FOUND, f"events of {workspace!r} are not pushed: see `connector events push-to`")
        if as_json:
            found = {"url": receiver.url, "cursor": receiver.cursor, "last": last, "disabled": receiver.disabled}
            give({**found, "given_up": [one.__dict__ for one in given_up]})
            return
        say(f"{escape(receiver.url)}: {receiver.disabled or 'on'}, at {receiver.cursor} of {last}")
        rows = [(f"{one.first}–{one.last}", _moment(one.given_up_at), one.problem) for one in given_up]
        table("given up", ("cursors", "at (UTC)", "problem"), rows)

    run(do())


@app.command(name="push-replay")
def push_replay(
    workspace: Workspace,
    after: Annotated[int, typer.Option("--from", min=0, max=LARGEST, help="Send again what came after this cursor.")],
) -> None:
    """Push again from a cursor on; also switches a push on that was switched off."""

    async def do() -> None:
        async with connected(workspace) as c:
            async with c.store.begin() as tx:
                known = await tx.pushes.rewind(workspace, after)
            if not known:
                stop(NOT_FOUND, f"events of {workspace!r} are not pushed: see `connector events push-to`")
            await wake_push(c.temporal, c.settings.task_queue, workspace, RETRY_SIGNAL)
        say(f"pushing again what came after {after}")

    run(do())


def _moment(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}"
