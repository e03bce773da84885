"""A broadcast: one template to many recipients. `BroadcastRequest` is what GenieOS starts `BroadcastWorkflow` with."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, JsonValue, field_validator, model_validator

from contracts.model import Contract, JsonObject, SendId, Sha256, WorkspaceId
from contracts.send import RESERVED_DATA_KEY, Recipient
from contracts.template import Stream, Template

MOST_INLINE = 1_000
"""Recipients that may stand in the request itself; more are read from a file."""

BroadcastId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$")]
"""GenieOS's name for a broadcast; unique in its workspace, for ever."""

Rate = Annotated[float, Field(gt=0, le=10_000)]
"""Recipients a second."""

Format = Literal["jsonl", "csv", "parquet"]

AudienceUri = Annotated[str, Field(min_length=1, max_length=4096)]


class AudienceRow(Contract):
    """One recipient of an audience: a line of JSON Lines, and an entry of `recipients`.

    In CSV and Parquet the columns `email`, `user_id` and `send_id` are read as such and every other one is a field of
    `data`; an empty cell is a field that is not there. Without a `send_id` one is derived from the broadcast and the
    recipient, always the same.
    """

    recipient: Recipient
    send_id: SendId | None = None
    data: JsonObject = {}
    metadata: JsonObject = {}

    @field_validator("data", "metadata")
    @classmethod
    def _reserved(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if RESERVED_DATA_KEY in value:
            raise ValueError(f"the key {RESERVED_DATA_KEY!r} is reserved for the connector")
        return value


class Audience(Contract):
    """Who gets it: `recipients`, or a file under `uri`.

    `recipients` are objects like `AudienceRow`; each is checked as a row of a file is, so that a bad one is reported by
    its number. `uri` is a path or `file://` below a folder that the worker allows, `s3://`, `gs://`, `az://`, or
    `https://`. `format` is told from the name's end where it is not given.
    """

    recipients: Annotated[list[dict[str, JsonValue]], Field(min_length=1, max_length=MOST_INLINE)] | None = None
    uri: AudienceUri | None = None
    format: Format | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.recipients is None) == (self.uri is None):
            raise ValueError("give either recipients or a uri")
        return self


class BroadcastRequest(Contract):
    """The one argument of `BroadcastWorkflow`.

    Start it with the id `iterable/{workspace_id}/broadcast/{broadcast_id}`, conflict policy USE_EXISTING, reuse policy
    REJECT_DUPLICATE (but for `again` and `resume`). Either `template` or `template_ref`. `send_at` (within 365 days;
    past = now) makes the run wait; from `expires_at` on nobody is targeted any more. `rate` is the most recipients a
    second, below what the connector's setting `sends_per_second` allows for the whole project. `on_bad_row` says
    whether a row that is no recipient is counted and passed over, or ends the broadcast. `dry_run` reads the audience,
    counts, and sends nothing.

    `again` is for a broadcast that ended: recipients that failed are targeted once more, and it ends as it did. It
    takes none of the other fields; audience and template are those of the first run. Reuse policy ALLOW_DUPLICATE.

    `resume` is for a broadcast that has not ended and whose run is gone (terminated, timed out): it goes on where it
    stood. It takes no other field than an `audience`: the same file under another `uri`. Reuse policy
    ALLOW_DUPLICATE_FAILED_ONLY.
    """

    workspace_id: WorkspaceId
    broadcast_id: BroadcastId
    stream: Stream = "marketing"
    template: Template | None = None
    template_ref: Sha256 | None = None
    audience: Audience | None = None
    send_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    rate: Rate | None = None
    on_bad_row: Literal["skip", "fail"] = "skip"
    dry_run: bool = False
    again: bool = False
    resume: bool = False
    carried: dict[str, JsonValue] | None = None
    """Not for whoever starts a broadcast: carries a run over its continuations."""

    @property
    def summary(self) -> str:
        """One line for people: `Spring → an audience, marketing`."""
        content = self.template.name if self.template else f"template {(self.template_ref or '')[:12]}"
        return f"{content} → an audience, {self.stream}{', dry run' if self.dry_run else ''}"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.carried is not None:
            return self
        if self.again and self.resume:
            raise ValueError("give either again or resume")
        if self.again or self.resume:
            if self.template is not None or self.template_ref is not None or (self.again and self.audience):
                raise ValueError("`again` takes neither a template nor an audience, and `resume` no template")
            if self.audience is not None and self.audience.uri is None:
                raise ValueError("the audience of `resume` is a uri")
            return self
        if (self.template is None) == (self.template_ref is None):
            raise ValueError("give either template or template_ref")
        if self.audience is None:
            raise ValueError("an audience is needed")
        return self


class Tally(Contract):
    """Recipients by what became of them. Every row that was read is counted once, below one of the names.

    `taken`: Iterable has the message (its timeline says what became of that). `suppressed`: must not be sent to.
    `duplicates`: an earlier row had the same address (the user id, where Iterable is asked with that). `bad`: no
    recipient. `used`: the row's `send_id` belongs to another send. `failed`: by error code. `unknown`: an answer was
    lost, evidence is being looked for. `waiting`: will be targeted (again): proven not to have been, or its profile was
    just written. `cancelled`: the broadcast was cancelled or expired before their turn came; rows that were not read by
    then are in no count.
    """

    taken: int = 0
    suppressed: int = 0
    duplicates: int = 0
    bad: int = 0
    used: int = 0
    failed: dict[str, int] = {}
    unknown: int = 0
    waiting: int = 0
    cancelled: int = 0

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> Self:
        """From counts by name; a failure's name is `failed:` and its code."""
        named = {name: count for name, count in counts.items() if name in _COUNTS and count}
        failed = {
            name.removeprefix("failed:"): count
            for name, count in sorted(counts.items())
            if name.startswith("failed:") and count
        }
        return cls(failed=failed, **named)

    def counts(self) -> Counter[str]:
        """What `of` takes."""
        found = Counter({name: getattr(self, name) for name in _COUNTS})
        found.update({f"failed:{code}": count for code, count in self.failed.items()})
        return found

    def plus(self, other: "Tally") -> "Tally":
        """The sum; a tally of changes may have negative numbers."""
        total = self.counts()
        total.update(other.counts())
        return Tally.of(total)

    @property
    def rows(self) -> int:
        """All of them."""
        return sum(getattr(self, name) for name in _COUNTS) + sum(self.failed.values())

    @property
    def open(self) -> int:
        """Recipients whose end is not known yet."""
        return self.unknown + self.waiting


_COUNTS = tuple(name for name in Tally.model_fields if name != "failed")


class BroadcastStatus(StrEnum):
    """How a broadcast stands. `completed`, `cancelled` and `expired` are ends."""

    PREPARING = "preparing"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    PAUSED = "paused"
    SETTLING = "settling"
    """The audience is through; some outcomes are still being found out."""
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"


class BadRow(Contract):
    """A row of an audience that is no recipient. `row` counts from 1; `reason` has fields and rules, never a value."""

    row: int
    reason: str


class Survey(Contract):
    """What a dry run found. `sendable` rows would be targeted. `missing` says for each merge tag of the template how
    many sendable rows have no data for it. `seconds` is the time at the allowed rate; `calls` are requests to Iterable
    and `actions` what Temporal would bill, both without repeats."""

    sendable: int
    missing: dict[str, int]
    bad_rows: list[BadRow]
    """The first hundred."""
    seconds: float
    calls: int
    actions: int


class BroadcastProgress(Contract):
    """How far a broadcast has come: the query `progress`, the answer of its updates, and its result.

    `rate` is recipients a second of late; `done` the part of the audience that was read (0–1) and `eta_seconds` the
    time that the rest takes at that rate, where they are known. `reason` is a code: why it is paused or has failed.
    """

    status: BroadcastStatus
    reason: str | None = None
    tally: Tally = Tally()
    done: float | None = None
    rate: float | None = None
    eta_seconds: float | None = None
    campaign_id: int | None = None
    template_ref: Sha256 | None = None
    survey: Survey | None = None


class AudienceMove(Contract):
    """The argument of the update `resume` where the audience's file is under another URI now: a fresh signature, say.
    It is read on at the same row, and refused where it is not the same file."""

    uri: AudienceUri


class RateChange(Contract):
    """The argument of the update `set_rate`; null takes the broadcast's own limit away."""

    rate: Rate | None


class RecipientEntry(Contract):
    """One row of an audience and what became of it. `row` counts from 1. `status` is that of a send, or `bad`,
    `duplicate`, `used`, `unknown`, `waiting`; `reason` an error code, Iterable's own word, or what is wrong with the
    row. The recipient is a keyed hash; the address is GenieOS's to know."""

    row: int
    send_id: str | None
    recipient_hash: str | None
    status: str
    reason: str | None
    message_id: str | None
    accepted_at: datetime | None


class RecipientPage(Contract):
    """Rows after a cursor, in the audience's order; `next_cursor` is what to ask with next, null at the end."""

    entries: list[RecipientEntry]
    next_cursor: int | None
