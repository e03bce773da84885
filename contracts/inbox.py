"""What passes between `EventInboxWorkflow` and its activity."""

from contracts.model import Contract, WorkspaceId


class InboxShard(Contract):
    """The argument of `EventInboxWorkflow`: which part of a workspace's intake a run drains."""

    workspace_id: WorkspaceId
    shard: int = 0


class DrainResult(Contract):
    """What one turn did; `more` says that events were left. `lag_seconds` is how long the oldest had waited."""

    drained: int
    joined: int
    unmatched: int
    set_aside: int
    more: bool
    lag_seconds: float | None = None
