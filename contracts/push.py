"""Pushing the feed: what GenieOS receives, and what passes between `EventPushWorkflow` and its activity."""

from datetime import datetime
from typing import Literal

from contracts.event import TimelineEntry
from contracts.model import Contract, WorkspaceId


class PushedEvents(Contract):
    """The body of one delivery, in the form of Standard Webhooks. `type` is always `iterable.events`.

    A delivery is repeated until it is taken, under the same `webhook-id`; entries come in order of cursors.
    """

    type: Literal["iterable.events"] = "iterable.events"
    timestamp: datetime
    data: list[TimelineEntry]


class PushRequest(Contract):
    """The argument of `EventPushWorkflow`. `failing_since` and `failures` come with it across continue-as-new."""

    workspace_id: WorkspaceId
    failing_since: datetime | None = None
    failures: int = 0


PushEnd = Literal["delivered", "empty", "failed", "off"]
"""`empty`: nothing to push. `off`: no receiver, or it was switched off, by its own answer 410 perhaps."""


class PushAnswer(Contract):
    """`push_batch`: how one try ended. `retry_after` is in seconds, where the receiver asks for a wait."""

    end: PushEnd
    retry_after: float | None = None
    more: bool = False
    problem: str | None = None
