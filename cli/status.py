"""How a connector stands, and what became of a send: status, timeline."""

import asyncio
from typing import Annotated

import typer
from rich.markup import escape

from cli.database import installed, opened
from cli.output import NOT_FOUND, give, say, stop
from cli.showing import event_rows, say_connector, show_result, skip_advice
from contracts.names import send_workflow_id
from runtime.process import run

app = typer.Typer()

Workspace = Annotated[str, typer.Argument(help="The GenieOS workspace.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command()
def status(
    workspace: Workspace,
    send_id: Annotated[str | None, typer.Argument(help="One send; without it, the connector.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Show a connector, or one send as the ledger has it.

    Of a send under way it tells what its run waits for, and why the last try failed.
    """

    async def do() -> None:
        async with opened() as store:
            row = await installed(store, workspace)
            async with store.read() as tx:
                if send_id is None:
                    waiting, set_aside = await tx.inbox.counts(workspace)
                    unmatched = await tx.events.count_unmatched(workspace)
                    if as_json:
                        give(row.status())
                        return
                    say_connector(row.status())
                    say(f"events: {waiting} waiting, {unmatched} unmatched, {set_aside} set aside (`connector events`)")
                    return
                sent = await tx.sends.get(workspace, send_id)
                if sent is None:
                    stop(NOT_FOUND, _unknown(workspace, send_id))
                events = await tx.events.of_sends(workspace, [send_id])
            show_result(send_id, sent.result(events.get(send_id, [])), as_json=as_json)
            if sent.status is None and not as_json:
                await _say_pending(send_workflow_id(workspace, send_id))

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
        seen = 0
        async with opened() as store:
            await installed(store, workspace)
            while True:
                async with store.read() as tx:
                    entries = await tx.events.page(workspace, seen, 1_000, send_id)
                    known = await tx.sends.get(workspace, send_id)
                if known is None and not follow:
                    stop(NOT_FOUND, _unknown(workspace, send_id))
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

    try:
        run(do())
    except KeyboardInterrupt:
        return


async def _say_pending(workflow_id: str) -> None:
    from cli.pending import pending_steps  # noqa: PLC0415 - Temporal's client, a second of a command's start

    for line in await pending_steps(workflow_id):
        say(escape(line))


def _unknown(workspace: str, send_id: str) -> str:
    """One that was refused first is not in the ledger, and nothing that this command asks knows of it."""
    run_id = send_workflow_id(workspace, send_id)
    return (
        f"no send {send_id!r} has reached the ledger of {workspace!r}. If one was started, its run {run_id} tells why"
    )
