"""Pushing the feed: what GenieOS receives, and what passes between `EventPushWorkflow` and its activity."""

from datetime import datetime
from typing import Literal

from contracts.event import TimelineEntry
from contracts.model import Contract, WorkspaceId


class PushedEvents(Contract):
    """The body of one delivery, in the form of Standard Webhooks. `type` is always `iterable.events`.

    A delivery is repeated until it is taken, under the same `webhook-id`; entries come in order of cursors. One that a
    replay sends again has another id, so that a receiver that remembers ids takes it. Where a worker dies over a
    delivery its entries may come once more in another batch: a cursor that was seen before tells.
    """

    type: Literal["iterable.events"] = "iterable.events"
    timestamp: datetime
    data: list[TimelineEntry]


class PushRequest(Contract):
    """The argument of `EventPushWorkflow` and of its activities. What concerns a batch that failed goes with it:
    `up_to` is its last cursor, so that it is repeated as it was, under its own id, although the feed has grown."""

    workspace_id: WorkspaceId
    failing_since: datetime | None = None
    failures: int = 0
    up_to: int | None = None


PushEnd = Literal["delivered", "empty", "failed", "off"]
"""`empty`: nothing to push. `off`: no receiver, or it was switched off, by its own answer 410 perhaps."""


class PushAnswer(Contract):
    """`push_batch`: how one try ended. `retry_after` is in seconds, where the receiver asks for a wait; `up_to` is the
    last cursor of what was tried."""

    end: PushEnd
    retry_after: float | None = None
    more: bool = False
    up_to: int | None = None
    problem: str | None = None
