"""A send: one message to one recipient. `SendRequest` is what GenieOS starts `SendWorkflow` with."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, JsonValue, field_validator, model_validator

from contracts.connector import ProjectType
from contracts.event import SETTLING, Event, EventKind, Occurrence, decisive
from contracts.masking import masked, masked_id
from contracts.model import Contract, JsonObject, SendId, Sha256, WorkspaceId
from contracts.template import EmailAddress, Stream, Template
from contracts.warning import SendWarning

RESERVED_DATA_KEY = "genieos"
"""The connector's own key in the data it hands to Iterable; it comes back on the `emailSend` event."""


UserId = Annotated[str, Field(min_length=1, max_length=52, pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$")]
"""Iterable's rule: at most 52 printable ASCII characters, case-sensitive, no space at the ends."""


class Recipient(Contract):
    """Who gets the message: an address, a user id, or both. `profile` may be written to Iterable, as far as the
    connector's profile policy and its list of allowed fields permit."""

    email: EmailAddress | None = None
    user_id: UserId | None = None
    profile: JsonObject = {}

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.email is None and self.user_id is None:
            raise ValueError("an email address or a user_id is needed")
        return self

    def identity(self, project_type: ProjectType) -> tuple[str | None, str | None]:
        """(email, user id), exactly one of them: what this kind of project is asked with."""
        if project_type == "userid" or self.email is None:
            return None, self.user_id
        return self.email, None


class SendRequest(Contract):
    """The one argument of `SendWorkflow`.

    Start it with the id `iterable/{workspace_id}/send/{send_id}`, conflict policy USE_EXISTING, reuse policy
    REJECT_DUPLICATE. Either `template` or `template_ref`: the ref names content the connector already holds.
    `data` fills the merge tags, `metadata` is passed through; integers in them have 64 bits, longer ones are text.
    `send_at` (aware, within 365 days; past = now) makes the run wait. `attachments` exists to be refused clearly.

    With `dry_run` everything is checked and the message rendered, at once, and nothing is sent: the run ends as
    `skipped` with the reason `dry_run`, and `GET /v1/workspaces/{ws}/previews/{send_id}` gives what was rendered. It
    leaves the send id free in the ledger; Temporal has its run under it, so give a dry run an id of its own.
    """

    workspace_id: WorkspaceId
    send_id: SendId
    stream: Stream = "transactional"
    template: Template | None = None
    template_ref: Sha256 | None = None
    recipient: Recipient
    data: JsonObject = {}
    metadata: JsonObject = {}
    send_at: AwareDatetime | None = None
    attachments: list[JsonValue] = []
    dry_run: bool = False

    @property
    def summary(self) -> str:
        """One line for people, the recipient masked: `Welcome → a•••@example.com, transactional`."""
        content = self.template.name if self.template else f"template {(self.template_ref or '')[:12]}"
        who = masked(self.recipient.email) if self.recipient.email else masked_id(self.recipient.user_id or "")
        return f"{content} → {who}, {self.stream}"

    @field_validator("attachments")
    @classmethod
    def _no_attachments(cls, value: list[JsonValue]) -> list[JsonValue]:
        if value:
            raise ValueError("files cannot be attached")
        return value

    @field_validator("data", "metadata")
    @classmethod
    def _reserved(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if RESERVED_DATA_KEY in value:
            raise ValueError(f"the key {RESERVED_DATA_KEY!r} is reserved for the connector")
        return value

    @model_validator(mode="after")
    def _one_template(self) -> Self:
        if (self.template is None) == (self.template_ref is None):
            raise ValueError("give either template or template_ref")
        return self


DRY_RUN = "dry_run"
"""The reason of a result that was only tried."""


class SendStatus(StrEnum):
    """How a send stands: `sending` until Iterable has the message, `accepted` until the first event; a run ends in one
    of the others."""

    SENDING = "sending"
    ACCEPTED = "accepted"
    SENT = "sent"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    SKIPPED = "skipped"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    UNCONFIRMED = "unconfirmed"


class PreviewSummary(Contract):
    """What came of a dry run, without anything personal. `differences` counts the lines in which our own render differs
    from Iterable's; None where there was nothing to compare, and `problems` says why."""

    rendered_by_iterable: bool
    differences: int | None
    problems: list[str]


class SendResult(Contract):
    """What became of a send; the result of `SendWorkflow` and of its update `accepted`.

    `reason` is an error code, or Iterable's own word (a skip reason, a bounce's state). `message_id` is Iterable's and
    known only from the first event on. `events` are those that came while the run was open, in order of occurrence;
    later ones are on the timeline that the endpoint serves. `warnings` are what the run found before it sent.
    """

    status: SendStatus
    reason: str | None = None
    fingerprint: Sha256 | None = None
    template_ref: Sha256 | None = None
    template_id: int | None = None
    campaign_id: int | None = None
    message_id: str | None = None
    accepted_at: datetime | None = None
    events: list[Event] = []
    warnings: list[SendWarning] = []
    preview: PreviewSummary | None = None
    """Of a dry run."""


class CancelAnswer(Contract):
    """The answer of the update `cancel`: `cancelled` is false where the message was already on its way."""

    cancelled: bool
    status: SendStatus


_STATUS_OF_KIND = {
    EventKind.SENT: SendStatus.SENT,
    EventKind.OPENED: SendStatus.SENT,
    EventKind.CLICKED: SendStatus.SENT,
    EventKind.DELIVERED: SendStatus.DELIVERED,
    EventKind.SKIPPED: SendStatus.SKIPPED,
    EventKind.BOUNCED: SendStatus.BOUNCED,
    EventKind.COMPLAINED: SendStatus.COMPLAINED,
}


def standing(events: Sequence[Occurrence]) -> tuple[SendStatus, str | None]:
    """Status and reason of a message that Iterable took, from its events in whatever order they arrived."""
    event = decisive(events)
    if event is None:
        return SendStatus.ACCEPTED, None
    if event.kind in {EventKind.OPENED, EventKind.CLICKED} and any(e.kind == EventKind.DELIVERED for e in events):
        return SendStatus.DELIVERED, None
    return _STATUS_OF_KIND[EventKind(event.kind)], event.reason if event.kind in SETTLING else None


_TOLD_BY_EVENTS = frozenset(_STATUS_OF_KIND.values())
_ORDINARY = frozenset(EventKind) - {EventKind.DELIVERED, EventKind.SKIPPED, EventKind.BOUNCED, EventKind.COMPLAINED}


def is_old_news(status: SendStatus | None, kind: EventKind) -> bool:
    """Whether an event of this kind, come to the others, leaves `standing` as it is, whatever the others are."""
    return status in _TOLD_BY_EVENTS and kind in _ORDINARY
