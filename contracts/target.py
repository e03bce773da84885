"""What passes between `SendWorkflow` and its activities."""

from datetime import datetime
from enum import StrEnum
from typing import Literal, Self

from pydantic import JsonValue, model_validator

from contracts.connector import ConnectorSettings, ProfilePolicy
from contracts.model import Contract, SendId, Sha256, WorkspaceId
from contracts.send import Recipient, SendRequest, SendResult, SendStatus
from contracts.shadow import Shadow
from contracts.template import Stream, Template
from contracts.warning import SendWarning

_MOST_REPEATS = 3


class BareSend(SendRequest):
    """A send whose content travels beside it, as a `TemplateBody`."""

    @model_validator(mode="after")
    def _one_template(self) -> Self:
        return self


class TemplateBody(Contract):
    """A content by itself: the same for many sends, so that it is kept once (`runtime/bodies.py`)."""

    workspace_id: WorkspaceId
    template: Template


class FingerprintRequest(Contract):
    """`fingerprint_template`, together with a `TemplateBody` where the send does not name its content by ref. `run_id`
    is the run's first execution id: it tells this send's own retries and resets from a second start of the same send
    after Temporal forgot the first."""

    send: BareSend
    run_id: str
    content_only: bool = False
    """For a broadcast: the content is prepared, nobody is checked and no send id is claimed. Its recipients are, one by
    one, when their turn comes."""

    @classmethod
    def of(cls, send: SendRequest, run_id: str, *, content_only: bool = False) -> Self:
        """Without the content."""
        bare = BareSend.model_construct(**dict(send) | {"template": None})
        return cls(send=bare, run_id=run_id, content_only=content_only)

    def with_content(self, body: TemplateBody | None) -> Self:
        """With the content that travelled beside it."""
        if body is None:
            return self
        return self.model_copy(update={"send": self.send.model_copy(update={"template": body.template})})


class Pace(Contract):
    """The connector's settings that steer a run; read once, so that a change of settings never splits a send."""

    profile_policy: ProfilePolicy
    profile_wait_seconds: int
    confirm_within_seconds: int
    settle_for_seconds: int
    give_up_after_seconds: int
    reconcile_within_seconds: int
    evidence_every_seconds: int
    may_repeat: int
    """How often a send may go out again although an earlier attempt's outcome stayed unknown: never, where a message
    must not arrive twice (`at_most_once`)."""

    @classmethod
    def of(cls, settings: ConnectorSettings, stream: Stream) -> Self:
        """The part of the settings that concerns sends of one stream."""
        shared = settings.model_dump(include=set(cls.model_fields))
        may_repeat = _MOST_REPEATS if settings.outcome_policy(stream) == "at_least_once" else 0
        return cls(may_repeat=may_repeat, **shared)


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
    in_doubt: bool = False
    """An earlier run of this send was stopped in mid-flight: what it began may have reached Iterable."""
    warnings: list[SendWarning] = []


class TargetRequest(Contract):
    """`target_recipient`: one recipient at one campaign."""

    workspace_id: WorkspaceId
    send_id: SendId
    stream: Stream
    recipient: Recipient
    data: dict[str, JsonValue]
    metadata: dict[str, JsonValue]
    shadow: Shadow
    excused: int = 0
    """So many of the first attempts are not held against a new one although what became of them stayed unknown to the
    end (`at_least_once`)."""


class TargetEnd(StrEnum):
    """How an attempt ended, or why none began: `SUPPRESSED`. There are no others: see decision 0003."""

    TAKEN = "taken"
    RECIPIENT_UNKNOWN = "recipient_unknown"
    CAMPAIGN_GONE = "campaign_gone"
    UNKNOWN = "unknown"
    SUPPRESSED = "suppressed"


class TargetOutcome(Contract):
    """`accepted_at` is set where the attempt was taken."""

    end: TargetEnd
    accepted_at: datetime | None = None


class ProfileRequest(Contract):
    """`upsert_profile`: a thin profile for one recipient."""

    workspace_id: WorkspaceId
    recipient: Recipient


class FindOutcomeRequest(Contract):
    """`find_outcome` and `look_for_events`: what became of a send's attempts. `answered_since` is from when on Iterable
    has answered every earlier look."""

    workspace_id: WorkspaceId
    send_id: SendId
    recipient: Recipient
    answered_since: datetime | None = None


class FoundOutcome(Contract):
    """`taken` and `not_taken` are proven; `unknown` means no evidence either way yet. `asked` says whether Iterable's
    own records could be read, `attempts` how many attempts there were."""

    verdict: Literal["taken", "not_taken", "unknown"]
    accepted_at: datetime | None = None
    asked: bool = True
    attempts: int = 0


class SendEnding(Contract):
    """`close_send`: records an end that no other activity has recorded."""

    workspace_id: WorkspaceId
    send_id: SendId
    status: SendStatus
    reason: str | None
