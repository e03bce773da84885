"""Temporal Schedules that start a run of ours again and again."""

from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
)
from temporalio.service import RPCError, RPCStatusCode


async def keep_schedule(
    temporal: Client, schedule_id: str, action: ScheduleActionStartWorkflow, every: timedelta, jitter: timedelta
) -> None:
    """Starts the run every so often, unless the one before is still open. Safe to repeat: a schedule that is there
    stays as it is."""
    schedule = Schedule(
        action=action,
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)], jitter=jitter),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
    )
    try:
        await temporal.create_schedule(schedule_id, schedule)
    except ScheduleAlreadyRunningError:
        return


async def end_schedule(temporal: Client, schedule_id: str) -> None:
    """Safe to repeat."""
    try:
        await temporal.get_schedule_handle(schedule_id).delete()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
