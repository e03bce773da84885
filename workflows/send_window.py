"""What an admin sees of a send: for whom and what (masked), how it stands, what it waits for, and what was reported."""

from temporalio import workflow

from workflows.window import (
    CAMPAIGN_ID,
    FINGERPRINT,
    RECIPIENT_HASH,
    STATUS,
    STREAM,
    WORKSPACE,
    bullets,
    moment,
    plain,
    show,
)

with workflow.unsafe.imports_passed_through():
    from contracts.event import Event, EventKind, in_order
    from contracts.send import SendRequest, SendStatus
    from contracts.shadow import Shadow
    from contracts.skip import SKIP_ADVICE, skip_class
    from contracts.target import PreparedSend


def show_send(
    request: SendRequest,
    prepared: PreparedSend | None,
    shadow: Shadow | None,
    status: SendStatus,
    events: list[Event],
    step: str,
    *,
    is_listed: bool,
) -> None:
    """Puts a send's state into its run's details and, where it is to be listed, into search attributes. `step` is a
    paragraph."""
    attributes = {WORKSPACE: request.workspace_id, STREAM: str(request.stream), STATUS: str(status)}
    rows = [("send", f"`{request.send_id}`")]
    if prepared is not None:
        attributes |= {FINGERPRINT: prepared.fingerprint, RECIPIENT_HASH: prepared.recipient_hash}
    if shadow is not None:
        attributes[CAMPAIGN_ID] = str(shadow.campaign_id)
        rows += [("Iterable campaign", str(shadow.campaign_id)), ("Iterable template", str(shadow.template_id))]
    if prepared is not None:
        rows += [("fingerprint", f"`{prepared.fingerprint}`"), ("template ref", f"`{prepared.template_ref}`")]
    show(
        attributes if is_listed else {},
        f"**{status}** · {plain(request.summary)}",
        step,
        "**Reported by Iterable:**" if events else "",
        bullets(*(_row(event) for event in in_order(events))),
        *_advice(events),
        "**Names:**",
        bullets(*rows),
    )


def _row(event: Event) -> tuple[str, str]:
    return f"{moment(event.occurred_at)} UTC", f"**{event.kind}** {plain(_reason(event))}"


def _reason(event: Event) -> str:
    if event.kind is EventKind.SKIPPED:
        return f"{event.reason or ''} ({skip_class(event.reason)})"
    return event.reason or ""


def _advice(events: list[Event]) -> list[str]:
    skips = {skip_class(event.reason) for event in events if event.kind is EventKind.SKIPPED}
    return [f"**{kind}:** {SKIP_ADVICE[kind]}" for kind in sorted(skips)]
