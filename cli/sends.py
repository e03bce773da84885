"""Commands that start a send, or try one: send, preview."""

from pathlib import Path
from typing import Annotated

import typer
from temporalio.exceptions import WorkflowAlreadyStartedError

from cli.connection import connected
from cli.output import FAILED, err, stop
from cli.preview import preview
from cli.requests import insist_that_it_fits, request_of, text_of
from cli.sending import send_accepted
from cli.showing import show_result
from contracts.names import send_workflow_id
from contracts.send import SendRequest, SendResult
from runtime.process import run

app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command()
def send(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="A SendRequest as JSON; - for standard input.")],
    *,
    wait: Annotated[bool, typer.Option(help="Wait until the message is settled, not only accepted.")] = False,
    as_json: Json = False,
) -> None:
    """Start one send and wait until Iterable has the message."""
    request = request_of(SendRequest, text_of(file))

    async def do() -> None:
        async with connected(request.workspace_id) as c:
            await insist_that_it_fits(c.temporal, request)
            handle = c.temporal.get_workflow_handle(
                send_workflow_id(request.workspace_id, request.send_id), result_type=SendResult
            )
            err.print(f"[dim]· run {handle.id}; Ctrl-C leaves it running[/]")
            try:
                result = await send_accepted(c.temporal, c.settings.task_queue, request)
                if wait:
                    result = await handle.result()
            except WorkflowAlreadyStartedError:
                err.print(f"[dim]· send {request.send_id} was started before, and its id is used[/]")
                before = await handle.result()  # raises what it failed with
                stop(FAILED, f"the send has ended as {before.status}: see `connector status`")
        show_result(request.send_id, result, as_json=as_json)

    run(do())


@app.command(name="preview")
def preview_command(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="A SendRequest as JSON; - for standard input.")],
    against: Annotated[
        typer.FileBinaryRead | None, typer.Option(help="HTML to compare Iterable's render with, in place of our own.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write Iterable's render to this file.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Check a send and have Iterable render it, without sending; show how it differs from our own render."""
    request = request_of(SendRequest, text_of(file))
    preview(request, against=text_of(against) if against else None, html_to=html, as_json=as_json)
