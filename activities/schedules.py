"""Temporal Schedules that start a run of ours again and again."""

from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from contracts.attributes import WORKSPACE, at_start
from contracts.backfill import BackfillRequest
from contracts.names import BACKFILL_WORKFLOW, SHADOW_CARE_WORKFLOW, backfill_schedule_id, shadow_care_id
from contracts.shadow import CareRequest


class Routine(NamedTuple):
    """A run that starts every so often, unless the one before is still open."""

    id: str
    schedule: Schedule


def backfill_routine(workspace_id: str, task_queue: str) -> Routine:
    """Reads the export every hour. Connectors of many workspaces do not all read at the full hour."""
    action = ScheduleActionStartWorkflow(
        BACKFILL_WORKFLOW,
        BackfillRequest(workspace_id=workspace_id),
        id=backfill_schedule_id(workspace_id),
        task_queue=task_queue,
        static_summary=f"reads from Iterable's export what webhooks of {workspace_id} may have lost",
        typed_search_attributes=at_start({WORKSPACE: workspace_id}),
    )
    return _routine(action, timedelta(hours=1), timedelta(minutes=20))


def shadow_care_routine(workspace_id: str, task_queue: str) -> Routine:
    """Archives idle shadows once a day."""
    action = ScheduleActionStartWorkflow(
        SHADOW_CARE_WORKFLOW,
        CareRequest(workspace_id=workspace_id),
        id=shadow_care_id(workspace_id),
        task_queue=task_queue,
        static_summary=f"archives campaigns of {workspace_id} that nobody sends any more",
        typed_search_attributes=at_start({WORKSPACE: workspace_id}),
    )
    return _routine(action, timedelta(days=1), timedelta(hours=2))


async def keep_schedule(temporal: Client, routine: Routine) -> None:
    """Has it run from now on. Safe to repeat: a schedule that is there is written anew."""
    try:
        await temporal.create_schedule(routine.id, routine.schedule)
    except ScheduleAlreadyRunningError:
        await _renew(temporal, routine)


async def renew_schedules(temporal: Client, workspace_id: str, task_queue: str) -> int:
    """Writes a workspace's schedules anew; how many there were. What a schedule starts is encrypted once, when it is
    written, so each outlives its key unless this is done. Makes none: a connector that is uninstalled has none."""
    routines = (backfill_routine(workspace_id, task_queue), shadow_care_routine(workspace_id, task_queue))
    return sum([await _renew(temporal, routine) for routine in routines])


async def end_schedule(temporal: Client, schedule_id: str) -> None:
    """Safe to repeat."""
    try:
        await temporal.get_schedule_handle(schedule_id).delete()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


def _routine(action: ScheduleActionStartWorkflow, every: timedelta, jitter: timedelta) -> Routine:
    return Routine(
        action.id,
        Schedule(
            action=action,
            spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)], jitter=jitter),
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
        ),
    )


async def _renew(temporal: Client, routine: Routine) -> bool:
    """One that somebody paused stays paused. False where there is none."""

    def anew(now: ScheduleUpdateInput) -> ScheduleUpdate:
        return ScheduleUpdate(replace(routine.schedule, state=now.description.schedule.state))

    try:
        await temporal.get_schedule_handle(routine.id).update(anew)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True
