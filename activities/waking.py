"""Waking the runs that drain the inbox."""

from collections.abc import Iterable

from temporalio.client import Client
from temporalio.common import Priority

from contracts.attributes import WORKSPACE, at_start
from contracts.inbox import InboxShard
from contracts.names import INBOX_WORKFLOW, WAKE_SIGNAL, inbox_workflow_id

FIRST = Priority(priority_key=1)
"""Before the sends: a few drains answer what thousands of open sends wait for."""


def shard_of(event_id: str, shards: int) -> int:
    """The shard that an occurrence belongs to: always the same, so that a second report of it meets the first."""
    return int(event_id[:8], 16) % shards


async def wake_inboxes(temporal: Client, task_queue: str, workspace_id: str, shards: Iterable[int]) -> None:
    """Starts the runs of the shards, or tells the open ones that events wait. Safe to repeat."""
    for shard in sorted(set(shards)):
        await temporal.start_workflow(
            INBOX_WORKFLOW,
            InboxShard(workspace_id=workspace_id, shard=shard),
            id=inbox_workflow_id(workspace_id, shard),
            task_queue=task_queue,
            priority=FIRST,
            start_signal=WAKE_SIGNAL,
            static_summary=f"events of {workspace_id}, shard {shard}",
            search_attributes=at_start({WORKSPACE: workspace_id}),
        )
