"""EventInboxWorkflow: drains one shard of a workspace's events. The events are in the store, none is in here."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.inbox import InboxActivities
    from contracts.inbox import InboxShard
    from contracts.received import Received
    from workflows.failures import given
    from workflows.window import show_inbox

DRAIN_TIMEOUT = timedelta(minutes=2)
"""A drain ends by itself after some seconds; what is beyond that is a database that hangs, and is tried anew."""
HEARTBEAT = timedelta(seconds=15)
"""A shard waits for its drain: a worker that died must be noticed soon."""
RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
"""Our store and Temporal: tried until they are back, for what was answered 2xx must not be lost."""
SWEEP_EVERY = timedelta(minutes=1)
"""Makes good a wake-up that got lost while the run was open."""
IDLE_SWEEPS = 10
"""A run without work ends after so many sweeps; the next event's wake-up starts a new one."""

MOST_DRAINS = 300
"""A drain leaves about ten events in the history, wake-ups among them; a run of some 3,000 replays quickly."""


@workflow.defn(name="EventInboxWorkflow")
class EventInboxWorkflow:
    """wait → drain, until there has been nothing to drain for a while."""

    def __init__(self) -> None:
        self._awake = True  # whatever started this run is a reason to look
        self._drained = 0

    @workflow.run
    async def run(self, received: Received[InboxShard] | None = None) -> None:
        """Drains for as long as events come; continues as new before its history grows."""
        shard = given(received)
        idle = drains = 0
        while self._awake or idle < IDLE_SWEEPS:
            self._awake = False
            show_inbox(shard, self._drained, "drains what waits")
            result = await workflow.execute_activity_method(
                InboxActivities.drain_inbox,
                shard,
                start_to_close_timeout=DRAIN_TIMEOUT,
                heartbeat_timeout=HEARTBEAT,
                retry_policy=RETRY,
            )
            self._drained += result.drained
            idle = 0 if result.drained or result.set_aside else idle + 1
            self._awake = self._awake or result.more
            drains += 1
            if drains >= MOST_DRAINS or workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(shard)
            await self._sleep(shard)

    async def _sleep(self, shard: InboxShard) -> None:
        show_inbox(shard, self._drained, "waits for events, and looks by itself", workflow.now() + SWEEP_EVERY)
        try:
            await workflow.wait_condition(lambda: self._awake, timeout=SWEEP_EVERY, timeout_summary="next look")
        except TimeoutError:
            return

    @workflow.signal
    def wake(self) -> None:
        """Events wait in the store."""
        self._awake = True
