"""Commands that start a send, or try one: send, preview."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from temporalio.exceptions import WorkflowAlreadyStartedError

from cli.connection import connected
from cli.output import FAILED, USAGE, stop
from cli.preview import preview
from cli.sending import send_accepted
from cli.showing import show_result
from contracts.names import send_workflow_id
from contracts.received import refusal_of
from contracts.send import SendRequest, SendResult
from runtime.process import run

app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


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
            except WorkflowAlreadyStartedError:
                stop(FAILED, f"send {request.send_id!r} was started before and has ended: see `connector status`")
        show_result(request.send_id, result, as_json=as_json)

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
