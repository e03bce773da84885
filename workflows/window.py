"""What an admin sees of a run in the Temporal UI: search attributes and details. No address in either."""

from datetime import datetime

from temporalio import workflow
from temporalio.common import SearchAttributeKey

with workflow.unsafe.imports_passed_through():
    from contracts.attributes import SEARCH_ATTRIBUTES
    from contracts.broadcast import BroadcastProgress, BroadcastRequest
    from contracts.broadcasting import LaneRequest
    from contracts.connector import ConnectorStatus
    from contracts.event import Event, EventKind, in_order
    from contracts.send import SendRequest, SendStatus
    from contracts.shadow import Shadow, ShadowRequest
    from contracts.skip import skip_class
    from contracts.suppression import SyncProgress
    from contracts.target import PreparedSend

WORKSPACE, STATUS, STREAM, FINGERPRINT, CAMPAIGN_ID, RECIPIENT_HASH = (
    SearchAttributeKey.for_keyword(name) for name in SEARCH_ATTRIBUTES
)


def show_send(
    request: SendRequest,
    prepared: PreparedSend | None,
    shadow: Shadow | None,
    status: SendStatus | None,
    events: list[Event],
    next_step: str,
) -> None:
    """Puts a send's state into its run's details and search attributes. One history event."""
    attributes = [
        WORKSPACE.value_set(request.workspace_id),
        STREAM.value_set(request.stream),
        STATUS.value_set(status or SendStatus.SENDING),
    ]
    lines = [f"**{status or SendStatus.SENDING}** · {request.stream} · send `{request.send_id}`"]
    if prepared is not None:
        attributes += [
            FINGERPRINT.value_set(prepared.fingerprint),
            RECIPIENT_HASH.value_set(prepared.recipient_hash),
        ]
        lines.append(f"fingerprint `{prepared.fingerprint}`")
    if shadow is not None:
        attributes.append(CAMPAIGN_ID.value_set(str(shadow.campaign_id)))
        lines.append(f"Iterable campaign {shadow.campaign_id}, template {shadow.template_id}")
    lines += [f"Next: {next_step}", *_table(events)]
    workflow.upsert_search_attributes(attributes)  # pyright: ignore[reportUnknownMemberType]
    workflow.set_current_details("\n\n".join(lines))


def _table(events: list[Event]) -> list[str]:
    if not events:
        return []
    rows = [f"| {_time(event.occurred_at)} | {event.kind} | {_reason(event)} |" for event in in_order(events)]
    return ["\n".join(["| time (UTC) | event | reason |", "|---|---|---|", *rows])]


def _reason(event: Event) -> str:
    if event.kind is EventKind.SKIPPED:
        return f"{event.reason or ''} ({skip_class(event.reason)})"
    return event.reason or ""


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def show_shadow(request: ShadowRequest, shadow: Shadow | None) -> None:
    """What is being made, and for which content."""
    attributes = [WORKSPACE.value_set(request.workspace_id), FINGERPRINT.value_set(request.fingerprint)]
    if shadow is not None:
        attributes.append(CAMPAIGN_ID.value_set(str(shadow.campaign_id)))
    workflow.upsert_search_attributes(attributes)  # pyright: ignore[reportUnknownMemberType]


def show_broadcast(
    request: BroadcastRequest, lane: LaneRequest | None, progress: BroadcastProgress, *, is_new: bool
) -> None:
    """How far a broadcast has come: counts only. One history event where its status changes, none otherwise."""
    if is_new:
        attributes = [WORKSPACE.value_set(request.workspace_id), STATUS.value_set(progress.status)]
        if lane is not None:
            attributes += [
                STREAM.value_set(lane.stream),
                FINGERPRINT.value_set(lane.fingerprint),
                CAMPAIGN_ID.value_set(str(lane.shadow.campaign_id)),
            ]
        workflow.upsert_search_attributes(attributes)  # pyright: ignore[reportUnknownMemberType]
    counts = {name: count for name, count in sorted(progress.tally.counts().items()) if count}
    lines = [f"**{progress.status}** {progress.reason or ''} · broadcast `{request.broadcast_id}`"]
    if lane is not None:
        lines.append(f"Iterable campaign {lane.shadow.campaign_id}, template {lane.shadow.template_id}")
    if progress.done is not None:
        lines.append(f"{progress.done:.0%} of the audience")
    if progress.rate is not None:
        lines.append(f"{progress.rate:.0f} recipients/s, {progress.eta_seconds or 0:.0f} s to go")
    if counts:
        lines.append("\n".join(["| recipients | |", "|---|---|", *(f"| {k} | {v:,} |" for k, v in counts.items())]))
    workflow.set_current_details("\n\n".join(lines))


def show_sync(workspace_id: str, progress: SyncProgress, next_step: str) -> None:
    """How far a sync of suppressions has come: counts only."""
    failed = ", ".join(f"{count} {reason}" for reason, count in sorted(progress.failed.items())) or "none"
    workflow.upsert_search_attributes([WORKSPACE.value_set(workspace_id)])  # pyright: ignore[reportUnknownMemberType]
    lines = [
        f"**{progress.pushed} pushed**, {progress.withdrawn} withdrawn, in {progress.batches} batches",
        f"Not taken by Iterable: {failed}",
        f"Next: {next_step}",
    ]
    workflow.set_current_details("\n\n".join(lines))


def show_connector(status: ConnectorStatus) -> None:
    """How a connector stands, and what to do about it."""
    workflow.upsert_search_attributes(  # pyright: ignore[reportUnknownMemberType]
        [WORKSPACE.value_set(status.workspace_id), STATUS.value_set(status.state)]
    )
    rows = [
        " | ".join(
            ["", one.level, *(cell.replace("|", "\\|") for cell in (one.point, one.found, one.advice)), ""]
        ).strip()
        for one in status.findings
    ]
    table = ["\n".join(["| | point | found | what to do |", "|---|---|---|---|", *rows])] if rows else []
    lines = [f"**{status.state}** · connector of `{status.workspace_id}`", *([status.reason] if status.reason else [])]
    workflow.set_current_details("\n\n".join([*lines, *table]))
