"""`connector demo`: one template, three recipients, three fates; and a second send that makes nothing new."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
from temporalio.client import WorkflowHandle

from cli.development import Development, Workspace, development_stack, install_against_sandbox
from cli.output import out, say, table
from cli.sending import start_send
from cli.showing import event_rows
from cli.welcome import welcome_template
from contracts.event import Event
from contracts.masking import masked
from contracts.send import Recipient, SendRequest, SendResult
from runtime.settings import STATE_FOLDER

_WORKSPACE = "demo"
_POLL_SECONDS = 0.3
_SETTLE_SECONDS = 6
"""Short, so that the demo ends by itself; an installation follows a message for longer."""
_FATES = {
    "snd_open_click": ("open-click@example.com", "Olga"),
    "snd_hard_bounce": ("hard-bounce@example.com", "Hank"),
    "snd_skipped": ("skip-frequencycapping@example.com", "Skip"),
}
_SECOND = ("snd_second", "sent@example.com", "Anna")


@dataclass
class _Followed:
    request: SendRequest
    handle: WorkflowHandle[None, SendResult]
    seen: set[str]


async def demo(*, keep: bool) -> None:
    """Raises where a message does not end as it should. With `keep` the stack stays up until Ctrl-C."""
    started = time.monotonic()
    async with development_stack(STATE_FOLDER / "demo", _tell) as development:
        workspace = await install_against_sandbox(
            development, _WORKSPACE, settings={"settle_for_seconds": _SETTLE_SECONDS}
        )
        _tell(f"installed connector {_WORKSPACE!r} in {time.monotonic() - started:.0f} s")
        say("\n[bold]One template, three recipients[/]")
        followed = [await _start(development, send_id, *who) for send_id, who in _FATES.items()]
        results = await _follow(development, followed)
        before = await _counts(development, workspace)

        say("\n[bold]The same content once more[/]")
        second = await _start(development, *_SECOND)
        results |= await _follow(development, [second])
        after = await _counts(development, workspace)

        _summary([*followed, second], results)
        _check(results, before, after)
        say(
            f"\nIterable has {after['templates_written']} template and {after['campaigns']} campaign for "
            f"{after['messages']} messages: the second send reused both."
        )
        say(f"Done in {time.monotonic() - started:.0f} s. `make dev` keeps such a stack up.")
        if keep:
            say(f"\nKept up until Ctrl-C. Temporal UI {development.addresses.temporal_ui}, ")
            say(f"messages as rendered {development.addresses.sandbox}/_sandbox/outbox")
            await development.stack.watch()


def _tell(text: str) -> None:
    say(f"[dim]· {text}[/]")


async def _start(development: Development, send_id: str, address: str, first_name: str) -> _Followed:
    request = SendRequest(
        workspace_id=_WORKSPACE,
        send_id=send_id,
        stream="transactional",
        template=welcome_template(),
        recipient=Recipient(email=address),
        data={
            "first_name": first_name,
            "offer_ends": "Sunday",
            "favourites": [{"name": "Harbour mug", "price": "€ 12"}, {"name": "Deck chair", "price": "€ 89"}],
        },
    )
    connection = development.connection
    handle = await start_send(connection.temporal, connection.settings.task_queue, request)
    run_url = development.addresses.run_url(handle.id, handle.result_run_id or "")
    say(f"{send_id:<16} to {masked(address)}\n{'':<16} {run_url}")
    return _Followed(request, handle, set())


async def _follow(development: Development, followed: list[_Followed]) -> dict[str, SendResult]:
    """Prints events as they come, until every run has ended."""
    say(f"\n[bold]{'time (UTC)':<12}{'send':<18}{'event':<14}reason or link[/]")
    running = asyncio.gather(*(one.handle.result() for one in followed))
    while not running.done():
        await asyncio.wait({running}, timeout=_POLL_SECONDS)
        async with development.connection.store.read() as tx:
            timelines = await tx.events.of_sends(_WORKSPACE, [one.request.send_id for one in followed])
        for one in followed:
            _print_new(one, timelines.get(one.request.send_id, []))
    return {one.request.send_id: result for one, result in zip(followed, running.result(), strict=True)}


def _print_new(one: _Followed, events: list[Event]) -> None:
    fresh = [event for event in events if event.event_id not in one.seen]
    one.seen |= {event.event_id for event in fresh}
    for moment, kind, reason in event_rows(fresh):
        say(f"{moment:<12}{one.request.send_id:<18}{kind:<14}{reason}")


async def _counts(development: Development, workspace: Workspace) -> dict[str, int]:
    async with httpx.AsyncClient(timeout=10) as sandbox:
        answer = await sandbox.get(
            f"{development.addresses.sandbox}/_sandbox/counts", params={"project_id": workspace.project_id}
        )
    return answer.raise_for_status().json()


def _summary(followed: list[_Followed], results: dict[str, SendResult]) -> None:
    out.print()
    for one in followed:
        table(
            f"{one.request.send_id} → {results[one.request.send_id].status}",
            ("time (UTC)", "event", "reason or link"),
            event_rows(results[one.request.send_id].events),
        )
    table(
        "Summary",
        ("send", "status", "reason", "template", "campaign"),
        [
            (
                one.request.send_id,
                result.status.value,
                result.reason or "",
                str(result.template_id),
                str(result.campaign_id),
            )
            for one in followed
            for result in [results[one.request.send_id]]
        ],
    )


def _check(results: dict[str, SendResult], before: dict[str, int], after: dict[str, int]) -> None:
    """The demo is a promise: it fails where it is not kept."""
    wanted = {"snd_open_click": "sent", "snd_hard_bounce": "bounced", "snd_skipped": "skipped", "snd_second": "sent"}
    ended = {send_id: result.status.value for send_id, result in results.items()}
    if ended != wanted:
        raise DemoBroken(f"the sends ended as {ended}, not as {wanted}")
    kinds = {event.kind.value for event in results["snd_open_click"].events}
    if not {"sent", "opened", "clicked"} <= kinds:
        raise DemoBroken(f"the first recipient's timeline shows only {sorted(kinds)}")
    for thing in ("templates_written", "campaigns"):
        if before[thing] != 1 or after[thing] != 1:
            raise DemoBroken(f"Iterable has {after[thing]} {thing}, not 1")


class DemoBroken(Exception):
    """What the demo shows is not so."""


def demo_logs() -> Path:
    """Where the demo's processes wrote their logs."""
    return STATE_FOLDER / "demo" / "logs"
