"""The steps of a send: one activity each, with its timeouts and retries, and why."""

import asyncio
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.backfill import BackfillActivities
    from activities.outcome import OutcomeActivities
    from activities.preview import PreviewActivities
    from activities.send import SendActivities
    from activities.shadow import ShadowActivities
    from activities.target import TargetActivities
    from contracts.preview import PreviewRequest
    from contracts.send import PreviewSummary, SendRequest
    from contracts.shadow import Shadow, ShadowRequest, ShadowWanted
    from contracts.target import (
        FindOutcomeRequest,
        FingerprintRequest,
        FoundOutcome,
        PreparedSend,
        ProfileRequest,
        SendEnding,
        TargetOutcome,
        TargetRequest,
        TemplateBody,
    )

OWN = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
"""Our store and Temporal: tried until they are back; the run stays open and shows the last error."""
PROVIDER = RetryPolicy(initial_interval=timedelta(seconds=2), maximum_interval=timedelta(minutes=2))
"""Iterable: tried for as long as the connector lets a send wait (`schedule_to_close` at each call)."""

OWN_TIMEOUT = timedelta(seconds=30)
"""A transaction or two, and the images of a template."""
CALL_TIMEOUT = timedelta(seconds=60)
"""One call to Iterable; longer than the client's own timeouts together, so that the client's verdict comes first."""
LOOK_TIMEOUT = timedelta(minutes=3)
"""Three calls to Iterable, and a turn for two of them."""
LOOK_UP_PATIENCE = timedelta(minutes=10)
"""How long an unconfirmed send tries to ask Iterable for its events. The hourly back-fill finds them later as well."""
PREVIEW_TIMEOUT = timedelta(seconds=90)
"""A template that was just made may not be found for some 15 s."""
PREVIEW_PATIENCE = timedelta(minutes=10)
"""Somebody waits for it: Iterable being away for longer is an answer too."""
SHADOW_TIMEOUT = timedelta(hours=25)
"""Longer than the run that makes the shadow may take."""
HEARTBEAT = timedelta(seconds=15)
"""How soon a worker that died is noticed."""


def _priority(request: SendRequest) -> Priority:
    """Where activities wait for a slot: transactional first, and workspaces in turns."""
    return Priority(priority_key=2 if request.stream == "transactional" else 4, fairness_key=request.workspace_id)


def prepare(request: SendRequest) -> asyncio.Task[PreparedSend]:
    """The request checked and in the ledger, its content named. A cancellation waits until it is known whether it is
    in the ledger."""
    return workflow.start_activity_method(
        SendActivities.fingerprint_template,
        args=[
            FingerprintRequest.of(request, workflow.info().first_execution_run_id),
            request.template and TemplateBody(workspace_id=request.workspace_id, template=request.template),
        ],
        summary=f"{request.stream}, {'content in full' if request.template else 'content by ref'}",
        start_to_close_timeout=OWN_TIMEOUT,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=OWN,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        priority=_priority(request),
    )


async def preview(request: SendRequest, prepared: PreparedSend) -> PreviewSummary:
    """The message as Iterable renders it."""
    return await workflow.execute_activity_method(
        PreviewActivities.preview_send,
        PreviewRequest(send=request, prepared=prepared),
        start_to_close_timeout=PREVIEW_TIMEOUT,
        schedule_to_close_timeout=PREVIEW_PATIENCE,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=PROVIDER,
    )


def ensure_shadow(request: SendRequest, prepared: PreparedSend, gone: Shadow | None) -> asyncio.Task[Shadow]:
    """Waits for the run that makes this content's template and campaign; `gone` is one that takes no sends."""
    wanted = ShadowRequest(
        workspace_id=request.workspace_id,
        fingerprint=prepared.fingerprint,
        template_ref=prepared.template_ref,
        message_type_id=prepared.message_type_id,
    )
    return workflow.start_activity_method(
        ShadowActivities.ensure_shadow,
        ShadowWanted(shadow=wanted, gone=gone),
        summary=f"content {prepared.fingerprint[:12]}",
        task_queue=f"{workflow.info().task_queue}-shadow",  # who waits must take no slot from who works
        start_to_close_timeout=SHADOW_TIMEOUT,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=OWN,
    )


def upsert_profile(request: SendRequest, prepared: PreparedSend) -> asyncio.Task[None]:
    """A thin profile, so that Iterable knows the recipient."""
    return workflow.start_activity_method(
        SendActivities.upsert_profile,
        ProfileRequest(workspace_id=request.workspace_id, recipient=request.recipient),
        start_to_close_timeout=CALL_TIMEOUT,
        schedule_to_close_timeout=timedelta(seconds=prepared.pace.give_up_after_seconds),
        heartbeat_timeout=HEARTBEAT,
        retry_policy=PROVIDER,
    )


def target(request: SendRequest, shadow: Shadow, until: datetime, excused: int) -> asyncio.Task[TargetOutcome]:
    """One attempt, repeated by itself only where it certainly did not reach Iterable. A cancellation waits for one
    that is under way, so that its answer is known."""
    return workflow.start_activity_method(
        TargetActivities.target_recipient,
        TargetRequest(
            workspace_id=request.workspace_id,
            send_id=request.send_id,
            stream=request.stream,
            recipient=request.recipient,
            data=request.data,
            metadata=request.metadata,
            shadow=shadow,
            excused=excused,
        ),
        summary=f"campaign {shadow.campaign_id}",
        start_to_close_timeout=CALL_TIMEOUT,
        # Past its time goes only what the stream's policy sends again: one call.
        schedule_to_close_timeout=until - workflow.now() if until > workflow.now() else CALL_TIMEOUT,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=PROVIDER,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        priority=_priority(request),
    )


async def find_outcome(request: SendRequest, answered_since: datetime | None) -> FoundOutcome:
    """Did an attempt whose answer was lost reach Iterable?"""
    return await workflow.execute_activity_method(
        OutcomeActivities.find_outcome,
        FindOutcomeRequest(
            workspace_id=request.workspace_id,
            send_id=request.send_id,
            recipient=request.recipient,
            answered_since=answered_since,
        ),
        summary="did a lost attempt reach Iterable?",
        start_to_close_timeout=LOOK_TIMEOUT,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=OWN,
    )


async def look_for_events(request: SendRequest) -> int:
    """Asks Iterable once for the events of a message; how many the inbox will join."""
    return await workflow.execute_activity_method(
        BackfillActivities.look_for_events,
        FindOutcomeRequest(workspace_id=request.workspace_id, send_id=request.send_id, recipient=request.recipient),
        start_to_close_timeout=CALL_TIMEOUT,
        heartbeat_timeout=HEARTBEAT,
        schedule_to_close_timeout=LOOK_UP_PATIENCE,
        retry_policy=PROVIDER,
    )


async def close_send(ending: SendEnding) -> None:
    """The end, in the ledger."""
    await workflow.execute_activity_method(
        SendActivities.close_send,
        ending,
        summary=f"{ending.status} {ending.reason or ''}".strip(),
        start_to_close_timeout=OWN_TIMEOUT,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=OWN,
    )
