"""What an admin sees of a run in the Temporal UI: search attributes, and details in Markdown. No address in either."""

from collections.abc import Mapping
from datetime import UTC, datetime

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from contracts.attributes import CAMPAIGN_ID, FINGERPRINT, RECIPIENT_HASH, STATUS, STREAM, WORKSPACE
    from contracts.backfill import BackfillRequest, BackfillResult
    from contracts.broadcast import BroadcastProgress, BroadcastRequest
    from contracts.broadcasting import LaneRequest
    from contracts.connector import ConnectorStatus
    from contracts.finding import problems
    from contracts.inbox import InboxShard
    from contracts.shadow import Shadow, ShadowRequest
    from contracts.suppression import SyncProgress

__all__ = ["CAMPAIGN_ID", "FINGERPRINT", "RECIPIENT_HASH", "STATUS", "STREAM", "WORKSPACE"]

_MARKDOWN = str.maketrans({char: f"\\{char}" for char in "\\`*_{}[]<>|#!"} | {"\n": " ", "\r": " "})


def show(attributes: Mapping[SearchAttributeKey[str], str], *paragraphs: str) -> None:
    """Details cost nothing. An attribute costs an event and an action, so only those that change are written."""
    known = workflow.info().typed_search_attributes
    changed = [key.value_set(value) for key, value in attributes.items() if known.get(key) != value]
    if changed:
        workflow.upsert_search_attributes(changed)  # pyright: ignore[reportUnknownMemberType]
    workflow.set_current_details("\n\n".join(part for part in paragraphs if part))


def plain(text: str) -> str:
    """Text of others, as it is: no Markdown in it counts."""
    return text.translate(_MARKDOWN)


def bullets(*rows: tuple[str, str]) -> str:
    """A list of names and values, or nothing. Values are Markdown. No table: the UI sets no space between cells."""
    return "\n".join(f"- {name} {value}" for name, value in rows)


def moment(when: datetime) -> str:
    """A moment as details show it: UTC, to the second."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def next_step(text: str, until: datetime | None = None) -> str:
    """What a run does or waits for, and till when at the latest."""
    return f"**Next:** {text}" + (f" (until {moment(until)} UTC)" if until else "")


def failed_with(error: ApplicationError) -> str:
    """Why a run failed: its code, and the message, which says what to do."""
    return f"**What to do:** `{error.type}` · {plain(error.message)}"


def show_shadow(request: ShadowRequest, status: str, step: str, shadow: Shadow | None = None) -> None:
    """What is being made, and for which content."""
    attributes = {WORKSPACE: request.workspace_id, FINGERPRINT: request.fingerprint, STATUS: status}
    if shadow is not None:
        attributes[CAMPAIGN_ID] = str(shadow.campaign_id)
    rows = [("fingerprint", f"`{request.fingerprint}`"), ("Iterable message type", str(request.message_type_id))]
    if shadow is not None:
        rows += [("Iterable template", str(shadow.template_id)), ("Iterable campaign", str(shadow.campaign_id))]
    show(attributes, f"**{status}** · template and campaign of one content", step, bullets(*rows))


def show_inbox(shard: InboxShard, drained: int, step: str, until: datetime | None = None) -> None:
    """How much this run has drained: counts only."""
    show(
        {WORKSPACE: shard.workspace_id},
        f"events of `{shard.workspace_id}`, shard {shard.shard} · {drained} drained since this run began",
        next_step(step, until),
    )


def show_push(workspace_id: str, status: str, step: str, until: datetime | None = None) -> None:
    """Whether GenieOS gets its batches."""
    show(
        {WORKSPACE: workspace_id, STATUS: status}, f"**{status}** · pushes the feed to GenieOS", next_step(step, until)
    )


def show_backfill(request: BackfillRequest, status: str, done: BackfillResult, step: str) -> None:
    """How far Iterable's export has been read: counts only."""
    show(
        {WORKSPACE: request.workspace_id, STATUS: status},
        f"**{status}** · {done.read} events read from Iterable's export, {done.found} of them new",
        next_step(step),
    )


def show_sync(workspace_id: str, progress: SyncProgress, status: str, step: str) -> None:
    """How far a sync of suppressions has come: counts only."""
    failed = ", ".join(f"{count} {reason}" for reason, count in sorted(progress.failed.items())) or "none"
    show(
        {WORKSPACE: workspace_id, STATUS: status},
        f"**{status}** · {progress.pushed} pushed, {progress.withdrawn} withdrawn, in {progress.batches} batches",
        f"Not taken by Iterable: {failed}",
        step,
    )


def show_broadcast(request: BroadcastRequest, lane: LaneRequest | None, progress: BroadcastProgress) -> None:
    """How far a broadcast has come: counts only. One history event where its status changes, none otherwise."""
    attributes = {WORKSPACE: request.workspace_id, STATUS: str(progress.status)}
    if lane is not None:
        attributes |= {STREAM: lane.stream, FINGERPRINT: lane.fingerprint, CAMPAIGN_ID: str(lane.shadow.campaign_id)}
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
    show(attributes, *lines)


def show_connector(status: ConnectorStatus) -> None:
    """How a connector stands, and what to do about it."""
    lines = [f"**{status.word}** · connector of `{status.workspace_id}`"]
    wrong = problems(status.findings)
    if status.reason and status.reason != "\n".join(map(str, wrong)):  # which follow in another form
        lines += [plain(status.reason)]
    if wrong:
        lines += [bullets(*((f"**{plain(one.point)}:**", plain(f"{one.found}. {one.advice}")) for one in wrong))]
    if status.checked_at is not None:
        lines += [f"**Last look** {moment(status.checked_at)} UTC; `connector test` looks now"]
    lines += [bullets(*((f"{plain(one.point)}:", plain(one.found)) for one in status.findings if not one.is_problem))]
    show({WORKSPACE: status.workspace_id, STATUS: status.state}, *lines)
