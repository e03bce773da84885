"""`connector shadows …`: the templates and campaigns that stand for contents in Iterable."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

import typer
from temporalio.common import WorkflowIDConflictPolicy

from activities.connectors import InstalledConnectors
from activities.shadow_care import ShadowCareActivities
from cli.connection import Connection, connected
from cli.database import installed, opened
from cli.output import FAILED, NOT_FOUND, USAGE, give, say, stop, table
from contracts.attributes import WORKSPACE, at_start
from contracts.names import SHADOW_CARE_WORKFLOW, shadow_care_id
from contracts.shadow import CareRequest, CareResult, KnownShadow
from iterable.errors import IterableError, NotFound, Refused
from runtime.clients import client_factory
from runtime.process import run

app = typer.Typer(
    name="shadows", help="The templates and campaigns that stand for contents in Iterable.", no_args_is_help=True
)

Workspace = Annotated[str, typer.Argument(help="The GenieOS workspace.")]
Fingerprint = Annotated[str, typer.Argument(help="A fingerprint, or how it begins.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_PAGE = 1_000


@app.command(name="list")
def list_command(
    workspace: Workspace,
    after: Annotated[str, typer.Option(help="Only fingerprints behind this one.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=_PAGE, help="At most so many.")] = 50,
    *,
    as_json: Json = False,
) -> None:
    """Show shadows, in the order of their fingerprints, and how many were archived."""

    async def do() -> None:
        async with opened() as store:
            await installed(store, workspace)
            async with store.read() as tx:
                found = await tx.shadows.page(workspace, after, limit)
                archived, waiting = await tx.shadows.count_retired(workspace)
        if as_json:
            give([one.model_dump(mode="json") for one in found])
            return
        table(
            f"{workspace}: shadows",
            ("begins with", "state", "template", "campaign", "last used (UTC)"),
            [
                (
                    one.fingerprint[:16],
                    one.state,
                    str(one.template_id or "–"),
                    str(one.campaign_id or "–"),
                    f"{one.last_used_at:%Y-%m-%d %H:%M}" if one.last_used_at else "–",
                )
                for one in found
            ],
        )
        say(f"archived so far: {archived}; retired and waiting to be archived: {waiting}")
        if len(found) == limit:
            say(f"more with --after {found[-1].fingerprint}")

    run(do())


@app.command()
def inspect(workspace: Workspace, fingerprint: Fingerprint, *, as_json: Json = False) -> None:
    """Show one shadow: what the store knows, and what Iterable says of it now."""

    async def do() -> None:
        async with _in_force(workspace) as (c, connectors):
            connector = await connectors.get(workspace)
            one = await _one(c, workspace, fingerprint)
            live: dict[str, object] = {}
            try:
                if one.campaign_id is not None:
                    campaign = await connector.iterable.campaigns.get(one.campaign_id)
                    live |= {"campaign_name": campaign.name, "campaign_state": campaign.state}
                if one.template_id is not None:
                    template = await connector.iterable.templates.get(one.template_id)
                    live |= {"subject": template.subject, "from_email": template.from_email}
                copies = await connector.iterable.templates.find(f"genieos-{one.fingerprint}")
                live["templates_with_our_id"] = [copy.template_id for copy in copies]
            except (NotFound, Refused):
                live["missing"] = "Iterable does not have all of it: the next send makes it anew where it must"
            except IterableError as error:
                stop(FAILED, f"Iterable could not be asked: {type(error).__name__}")
        shown = one.model_dump(mode="json") | live
        if as_json:
            give(shown)
            return
        rows = [(name, str(value)) for name, value in shown.items() if value is not None and name != "fingerprint"]
        table(one.fingerprint, ("", ""), rows)

    run(do())


@app.command()
def archive(
    workspace: Workspace,
    fingerprints: Annotated[list[str] | None, typer.Argument(help="Fingerprints, or how they begin.")] = None,
    *,
    idle: Annotated[bool, typer.Option("--idle", help="What archive_idle_after_days says, now.")] = False,
) -> None:
    """Archive shadows: those named, or with --idle all that nobody has used for long enough.

    One that an open send stands for, or that was used within the last hour, is left alone. Archived campaigns come back
    only in Iterable's UI; a content that is sent again gets another one.
    """
    if bool(fingerprints) == idle:
        stop(USAGE, "name fingerprints, or give --idle")

    async def do() -> None:
        async with connected(workspace) as c:
            named = [(await _one(c, workspace, one)).fingerprint for one in fingerprints or []]
            say("[dim]takes two minutes at least: sends that look a shadow up just now are waited for[/]")
            handle = await c.temporal.start_workflow(
                SHADOW_CARE_WORKFLOW,
                CareRequest(workspace_id=workspace, fingerprints=named),
                id=f"{shadow_care_id(workspace)}/by-hand",
                task_queue=c.settings.task_queue,
                static_summary=f"archives campaigns of {workspace}, asked for by hand",
                search_attributes=at_start({WORKSPACE: workspace}),
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                result_type=CareResult,
            )
            done = await handle.result()
        left = done.in_use + max(0, len(named) - done.marked)
        say(f"archived {done.archived}; left alone, because in use or used within the last hour: {left}")
        if done.failed:
            stop(FAILED, f"Iterable did not archive {', '.join(map(str, done.failed))}; tried again by the next run")

    run(do())


@app.command()
def adopt(workspace: Workspace, *, as_json: Json = False) -> None:
    """Find the shadows that Iterable has and the database lost, by the genieos- ids in their campaigns' names."""

    async def do() -> None:
        async with _in_force(workspace) as (c, connectors):
            care = ShadowCareActivities(c.store, connectors, c.temporal, c.settings.task_queue)
            try:
                done = await care.adopt_shadows(workspace)
            except IterableError as error:
                stop(FAILED, f"Iterable could not be asked: {type(error).__name__}")
        if as_json:
            give(done)
            return
        say(f"adopted {done.adopted}; known already {done.known}; not running {done.not_running}")
        if done.spare:
            say(f"{done.spare} more campaigns stand for contents that have one: archive them in Iterable if you like")

    run(do())


@asynccontextmanager
async def _in_force(workspace: str) -> AsyncGenerator[tuple[Connection, InstalledConnectors]]:
    """The connectors of this process, where the workspace has one in force; or the end of the command."""
    async with connected(workspace) as c:
        connectors = InstalledConnectors(c.store, client_factory(c.settings))
        try:
            await connectors.get(workspace)
            yield c, connectors
        finally:
            await connectors.close()


async def _one(c: Connection, workspace: str, beginning: str) -> KnownShadow:
    """The shadow whose fingerprint begins so, or the end of the command."""
    async with c.store.read() as tx:
        found = await tx.shadows.beginning_with(workspace, beginning)
    if not found:
        stop(NOT_FOUND, f"workspace {workspace!r} has no shadow {beginning!r}")
    if len(found) > 1:
        stop(USAGE, f"several fingerprints begin with {beginning!r}")
    return found[0]
