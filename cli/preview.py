"""`connector preview`: a dry run, shown."""

import uuid
from pathlib import Path

from rich.markup import escape

from activities.rendering import differences
from cli.connection import connected
from cli.output import FAILED, give, say, stop
from cli.requests import insist_that_it_fits
from cli.sending import send_accepted
from cli.showing import say_warnings
from contracts.preview import Preview
from contracts.send import SendRequest, SendResult, SendStatus
from runtime.process import run


def preview(request: SendRequest, *, against: str | None, html_to: Path | None, as_json: bool) -> None:
    """Runs the request dry, under an id of its own, and shows what came of it."""
    result, made = run(_made(request))
    if against is not None and made.html is not None:
        made = made.model_copy(update={"differences": differences(against, made.html)})
    if html_to is not None:
        html_to.write_text(made.html or (made.local.html if made.local else ""))
    if as_json:
        give({"result": result.model_dump(mode="json"), "preview": made.model_dump(mode="json")})
    else:
        _show(result, made, other="the file" if against is not None else "our own render")


async def _made(request: SendRequest) -> tuple[SendResult, Preview]:
    dry = request.model_copy(update={"dry_run": True, "send_id": f"preview-{uuid.uuid4().hex}"})
    async with connected(dry.workspace_id) as c:
        await insist_that_it_fits(c.temporal, dry)
        result = await send_accepted(c.temporal, c.settings.task_queue, dry)
        async with c.store.read() as tx:
            made = await tx.previews.get(dry.workspace_id, dry.send_id)
    if made is None:
        stop(FAILED, f"no preview was made: the send would have ended as {result.status} ({result.reason})")
    return result, made


def _show(result: SendResult, made: Preview, *, other: str) -> None:
    say("nothing was sent" if result.status is SendStatus.SKIPPED else f"{result.status}")
    if made.local is not None:
        say(f"subject    {escape(made.local.subject)}")
        if made.local.preheader:
            say(f"preheader  {escape(made.local.preheader)}")
    say_warnings(result.warnings)
    for problem in made.problems:
        say(f"[yellow]{escape(problem)}[/]")
    if made.html is not None:
        how = "from a template that was made for it and deleted" if made.temporary_template else "from its shadow"
        say(f"Iterable rendered {len(made.html)} characters of HTML, {how}")
    if made.differences is None:
        return
    if not made.differences:
        say(f"[green]Iterable's render and {other} are alike[/]")
        return
    say(f"from {other} to Iterable's render:")
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in made.differences:
        colour = colours.get(line[:1])
        say(f"[{colour}]{escape(line)}[/]" if colour else escape(line))
