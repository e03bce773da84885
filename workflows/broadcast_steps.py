"""The steps of a broadcast: one activity each, with its timeouts and retries, and why."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.broadcast import BroadcastActivities
    from activities.send import SendActivities
    from activities.shadow import ShadowActivities
    from contracts.broadcast import BroadcastProgress, BroadcastRequest, Tally
    from contracts.broadcasting import (
        BroadcastName,
        LaneReport,
        LaneRequest,
        OpenBroadcast,
        OpenedBroadcast,
        Standing,
        Steering,
        SurveyRequest,
    )
    from contracts.send import Recipient, SendRequest
    from contracts.shadow import Shadow, ShadowRequest, ShadowWanted
    from contracts.target import FingerprintRequest, PreparedSend, TemplateBody
    from contracts.template import Stream
    from workflows.send_steps import HEARTBEAT, OWN, OWN_TIMEOUT, SHADOW_TIMEOUT

PROVIDER = RetryPolicy(initial_interval=timedelta(seconds=2), maximum_interval=timedelta(minutes=1))
"""A page while Iterable is away: repeated; the activity itself says when it has been away for too long."""
PAGE_TIMEOUT = timedelta(minutes=10)
"""Far longer than a page takes: it ends by itself after half a minute, and a call of it after a minute more."""
SURVEY_TIMEOUT = timedelta(hours=6)
"""Millions of rows are read once; nothing is written, so a survey that broke off begins anew."""


def open_broadcast(request: BroadcastRequest) -> asyncio.Task[OpenedBroadcast]:
    """The broadcast in the store, its id taken."""
    return workflow.start_activity_method(
        BroadcastActivities.open_broadcast,
        OpenBroadcast(request=request, run_id=workflow.info().first_execution_run_id),
        start_to_close_timeout=OWN_TIMEOUT,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=OWN,
    )


async def fingerprint(request: BroadcastRequest, stream: Stream, template_ref: str | None) -> PreparedSend:
    """The content checked and named, once for all recipients, as a single send's is."""
    content = SendRequest(
        workspace_id=request.workspace_id,
        send_id=request.broadcast_id,
        stream=stream,
        template=request.template,
        template_ref=None if request.template else template_ref,
        recipient=Recipient(user_id="nobody"),  # its recipients come later
        dry_run=request.dry_run,
    )
    return await workflow.execute_activity_method(
        SendActivities.fingerprint_template,
        args=[
            FingerprintRequest.of(content, workflow.info().first_execution_run_id, content_only=True),
            request.template and TemplateBody(workspace_id=request.workspace_id, template=request.template),
        ],
        start_to_close_timeout=OWN_TIMEOUT,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=OWN,
    )


async def survey(request: BroadcastRequest) -> BroadcastProgress:
    """A dry run: the template is checked and kept, the audience is read. The broadcast's id stays free."""
    prepared = await fingerprint(request, request.stream, request.template_ref)
    return await workflow.execute_activity_method(
        BroadcastActivities.survey_audience,
        SurveyRequest(
            request=request.model_copy(update={"template": None, "template_ref": prepared.template_ref}),
            template_ref=prepared.template_ref,
        ),
        task_queue=_pages(),
        start_to_close_timeout=SURVEY_TIMEOUT,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=OWN,
    )


async def with_shadow(lane: LaneRequest, gone: Shadow | None) -> LaneRequest:
    """The lane with a campaign that runs; `gone` is one that takes no sends."""
    wanted = ShadowRequest(
        workspace_id=lane.workspace_id,
        fingerprint=lane.fingerprint,
        template_ref=lane.template_ref,
        message_type_id=lane.message_type_id,
    )
    shadow = await workflow.execute_activity_method(
        ShadowActivities.ensure_shadow,
        ShadowWanted(shadow=wanted, gone=gone),
        task_queue=f"{workflow.info().task_queue}-shadow",  # who waits must take no slot from who works
        start_to_close_timeout=SHADOW_TIMEOUT,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=OWN,
    )
    return lane.model_copy(update={"shadow": shadow})


async def run_page(activity: Any, lane: LaneRequest) -> LaneReport:
    """A page of the audience, or of the rows that are held: transactional ones first, and workspaces in turns."""
    return await workflow.execute_activity_method(
        activity,
        lane,
        task_queue=_pages(),
        start_to_close_timeout=PAGE_TIMEOUT,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=PROVIDER,
        priority=Priority(priority_key=2 if lane.stream == "transactional" else 4, fairness_key=lane.workspace_id),
    )


async def retry_failed(name: BroadcastName) -> int:
    """Recipients that failed are held once more: how many rows are held now."""
    return await workflow.execute_activity_method(
        BroadcastActivities.retry_failed,
        name,
        start_to_close_timeout=PAGE_TIMEOUT,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=OWN,
    )


async def steer(name: BroadcastName, **wanted: Any) -> None:
    """What is wanted from now on, fields of `Steering`: once it returns, no attempt begins that this forbids."""
    await workflow.execute_activity_method(
        BroadcastActivities.steer_broadcast,
        Steering(workspace_id=name.workspace_id, broadcast_id=name.broadcast_id, **wanted),
        start_to_close_timeout=OWN_TIMEOUT,
        retry_policy=OWN,
    )


async def write_down(standing: Standing) -> None:
    """How it stands, for who reads the store."""
    await workflow.execute_activity_method(
        BroadcastActivities.show_broadcast, standing, start_to_close_timeout=OWN_TIMEOUT, retry_policy=OWN
    )


async def close_broadcast(standing: Standing) -> Tally:
    """The end, and what became of all rows."""
    return await workflow.execute_activity_method(
        BroadcastActivities.close_broadcast,
        standing,
        start_to_close_timeout=PAGE_TIMEOUT,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=OWN,
    )


def _pages() -> str:
    """The task queue of what works for half a minute at a time."""
    return f"{workflow.info().task_queue}-broadcast"
