"""What passes between `SendWorkflow` and its activities."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import JsonValue

from contracts.connector import ProfilePolicy
from contracts.model import Contract, SendId, Sha256, WorkspaceId
from contracts.send import Recipient, SendRequest, SendResult, SendStatus
from contracts.shadow import Shadow
from contracts.template import Stream


class FingerprintRequest(Contract):
    """`fingerprint_template`. `run_id` is the run's first execution id: it tells this send's own retries and resets
    from a second start of the same send after Temporal forgot the first."""

    send: SendRequest
    run_id: str


class Pace(Contract):
    """The connector's settings that steer a run; read once, so that a change of settings never splits a send."""

    profile_policy: ProfilePolicy
    profile_wait_seconds: int
    confirm_within_seconds: int
    settle_for_seconds: int
    give_up_after_seconds: int
    reconcile_within_seconds: int


class PreparedSend(Contract):
    """What `fingerprint_template` found out. With `ending` set the send is over before it began (suppressed, or a
    second start of a send id that was used); without `shadow` the content is new to Iterable."""

    fingerprint: Sha256
    template_ref: Sha256
    message_type_id: int
    recipient_hash: str
    pace: Pace
    shadow: Shadow | None = None
    ending: SendResult | None = None


class TargetRequest(Contract):
    """`target_recipient`: one recipient at one campaign."""

    workspace_id: WorkspaceId
    send_id: SendId
    stream: Stream
    recipient: Recipient
    data: dict[str, JsonValue]
    metadata: dict[str, JsonValue]
    shadow: Shadow


class TargetEnd(StrEnum):
    """How an attempt ended. There are no others: see decision 0003."""

    TAKEN = "taken"
    RECIPIENT_UNKNOWN = "recipient_unknown"
    CAMPAIGN_GONE = "campaign_gone"
    UNKNOWN = "unknown"


class TargetOutcome(Contract):
    """`accepted_at` is set where the attempt was taken."""

    end: TargetEnd
    accepted_at: datetime | None = None


class ProfileRequest(Contract):
    """`upsert_profile`: a thin profile for one recipient."""

    workspace_id: WorkspaceId
    recipient: Recipient


class FindOutcomeRequest(Contract):
    """`find_outcome`: what is known of an attempt whose answer was lost."""

    workspace_id: WorkspaceId
    send_id: SendId


class FoundOutcome(Contract):
    """`taken` and `not_taken` are proven; `unknown` means no evidence either way yet."""

    verdict: Literal["taken", "not_taken", "unknown"]
    accepted_at: datetime | None = None


class SendEnding(Contract):
    """`close_send`: records an end that no other activity has recorded."""

    workspace_id: WorkspaceId
    send_id: SendId
    status: SendStatus
    reason: str | None
