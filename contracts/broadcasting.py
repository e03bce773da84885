"""What passes between `BroadcastWorkflow` and its activities."""

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime

from contracts.broadcast import (
    AudienceUri,
    BroadcastId,
    BroadcastProgress,
    BroadcastRequest,
    BroadcastStatus,
    Rate,
    Tally,
)
from contracts.model import Contract, Sha256, WorkspaceId
from contracts.shadow import Shadow
from contracts.target import Pace
from contracts.template import Stream

Stop = Literal["page", "end", "paused", "cancelled", "expired", "campaign_gone", "stuck", "bad_row", "trouble"]
"""Why a lane stopped. `page`: it has done its share and goes on in the next activity. `end`: nothing is left. `stuck`:
somebody must do something before it can go on. `trouble`: Iterable is away; the activity is repeated."""


class OpenBroadcast(Contract):
    """`open_broadcast`. `run_id` is the run's first execution id."""

    request: BroadcastRequest
    run_id: str


Wanted = Literal["go", "pause", "cancel"]


class OpenedBroadcast(Contract):
    """What the run needs to know of a broadcast, from its request or from the store. With `ending` set it is over
    already: a second start of an id that was used. `ended_as` and `ended_because` are of one that is gone over again;
    `wanted` is what was, of one whose run was lost."""

    stream: Stream
    template_ref: Sha256 | None
    send_at: AwareDatetime | None
    expires_at: AwareDatetime | None
    ending: BroadcastProgress | None = None
    ended_as: BroadcastStatus | None = None
    ended_because: str | None = None
    wanted: Wanted = "go"


class LaneRequest(Contract):
    """`target_audience` and `look_after_held`: one page of a lane. `renewed`: the campaign was refused and then made
    sure of, and it has taken nobody since."""

    workspace_id: WorkspaceId
    broadcast_id: BroadcastId
    run_id: str
    stream: Stream
    fingerprint: Sha256
    template_ref: Sha256
    message_type_id: int
    shadow: Shadow
    pace: Pace
    renewed: bool = False


class LaneReport(Contract):
    """Where a broadcast stands after a page. `tally` is the whole broadcast's. `rows` were finished within `seconds`;
    `done` is the part of the audience that was read. `held` rows are open; the first of those that may move is due at
    `next_due`. `ended` counts the page's attempts by their end."""

    stop: Stop
    reason: str | None = None
    tally: Tally = Tally()
    rows: int = 0
    seconds: float = 0.0
    done: float | None = None
    held: int = 0
    next_due: datetime | None = None
    ended: dict[str, int] = {}


class Steering(Contract):
    """`steer_broadcast`: what is wanted from now on, and where the audience is; a field that is not given stays as it
    is."""

    workspace_id: WorkspaceId
    broadcast_id: BroadcastId
    wanted: Wanted | None = None
    changes_rate: bool = False
    rate: Rate | None = None
    audience: AudienceUri | None = None


class Standing(Contract):
    """`show_broadcast`: how a broadcast stands, for readers of the store."""

    workspace_id: WorkspaceId
    broadcast_id: BroadcastId
    status: BroadcastStatus
    reason: str | None = None
    campaign_id: int | None = None
    template_ref: Sha256 | None = None


class BroadcastName(Contract):
    """Names a broadcast."""

    workspace_id: WorkspaceId
    broadcast_id: BroadcastId


class SurveyRequest(Contract):
    """`survey_audience`: a dry run."""

    request: BroadcastRequest
    template_ref: Sha256


class Carried(Contract):
    """What a run hands to its continuation: nothing of the audience, whose position is in the store."""

    opened: OpenedBroadcast
    lane: LaneRequest
    report: LaneReport
    audience_done: bool = False
    is_paused: bool = False
    reason: str | None = None
    ending: BroadcastStatus | None = None
    retries: bool = False
