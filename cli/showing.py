"""Connectors, findings and results of sends, as people read them."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.markup import escape

from cli.output import give, say, table
from contracts.connector import ConnectorStatus
from contracts.event import Event, EventKind, in_order
from contracts.finding import Finding, Level
from contracts.send import SendResult
from contracts.skip import SKIP_ADVICE, skip_class
from contracts.warning import SendWarning

_MARKS = {Level.OK: "[green]✓[/]", Level.ATTENTION: "[yellow]![/]", Level.REFUSED: "[red]✗[/]", Level.UNKNOWN: "?"}


def say_status(status: ConnectorStatus) -> None:
    """State and reason."""
    say(f"{status.state}{': ' + escape(status.reason) if status.reason else ''}")


def say_connector(status: ConnectorStatus) -> None:
    """Everything about a connector: what is wrong first."""
    say(f"[bold]{status.workspace_id}: {status.word}[/], {_since(status.changed_at)}")
    if status.reason:
        say(escape(status.reason))
    if status.settings is None:
        say("Nothing is in force: `connector install` with another key, or other settings.")
        return
    looked, came = _since(status.checked_at), _since(status.last_webhook_at)
    say(f"last look {looked} (`connector test {status.workspace_id}` looks now); last webhook {came}")
    rows = [(name, escape(str(value))) for name, value in status.settings.model_dump().items()]
    table("", ("setting in force", "value"), rows)


def _since(moment: datetime | None) -> str:
    if moment is None:
        return "never"
    minutes = int((datetime.now(UTC) - moment).total_seconds() // 60)
    ago = f"{minutes} min" if minutes < 120 else f"{minutes // 60} h" if minutes < 2_880 else f"{minutes // 1_440} days"
    return f"{moment:%Y-%m-%d %H:%M} UTC ({ago} ago)"


def show_findings(title: str, findings: list[Finding]) -> None:
    """One row a point; times where legs took some."""
    timed = any(one.seconds is not None for one in findings)
    rows = [
        (
            _MARKS[one.level],
            escape(one.point),
            escape(one.found),
            *(["" if one.seconds is None else f"{one.seconds:.1f} s"] if timed else []),
            escape(one.advice),
        )
        for one in findings
    ]
    table(title, ("", "point", "found", *(["time"] if timed else []), "what to do"), rows)


def show_result(send_id: str, result: SendResult, *, as_json: bool) -> None:
    """What became of a send."""
    if as_json:
        give(result)
        return
    rows = event_rows(result.events)
    table(f"{send_id} → {result.status} {result.reason or ''}", ("time (UTC)", "event", "reason or link"), rows)
    for advice in skip_advice(result.events):
        say(advice)
    say_warnings(result.warnings)
    say(f"template {result.template_id}, campaign {result.campaign_id}, fingerprint {result.fingerprint}")


def say_warnings(warnings: Sequence[SendWarning]) -> None:
    """What was told of a send before it went out, a line each."""
    for warning in warnings:
        say(f"[yellow]{warning.code}[/]  {escape(warning.message)}")


def event_rows(events: Sequence[Event]) -> list[tuple[str, str, str]]:
    """(time, event, reason) in order of occurrence."""
    return [(f"{event.occurred_at:%H:%M:%S}", event.kind.value, _reason(event)) for event in in_order(list(events))]


def _reason(event: Event) -> str:
    if event.kind is EventKind.SKIPPED:
        return escape(f"{event.reason or ''} ({skip_class(event.reason)})")
    return escape(event.reason or event.url or "")


def skip_advice(events: Sequence[Event]) -> list[str]:
    """What to do about the skips among events, each advice once."""
    skips = {skip_class(event.reason) for event in events if event.kind is EventKind.SKIPPED}
    return [f"{kind}: {SKIP_ADVICE[kind]}" for kind in sorted(skips)]
