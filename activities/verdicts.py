"""What the ends of a turn's attempts mean, before any of it is written: the rules of single sends, many at a time."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from activities.departures import Ended, Row
from activities.failures import code_of, spread
from activities.inquiry import Finding
from activities.targeting import campaign_is_gone
from contracts.errors import ErrorCode
from contracts.send import SendStatus
from contracts.target import Pace
from iterable.errors import (
    IterableError,
    KeyRefused,
    NotConnected,
    OutcomeUnknown,
    RateLimited,
    RecipientForgotten,
    RecipientUnknown,
)
from store.held import Held, State
from store.sends import NOT_TAKEN, TAKEN, UNKNOWN

_LONGEST_PAUSE = 60.0
"""Seconds between tries to write a profile that Iterable does not answer to."""
_RETRY_AFTER = 1.0
"""Seconds, where a 429 does not say."""


@dataclass
class Verdicts:
    """Everything that one transaction has to write. `counted` says how each finished row is counted; `again` are rows
    that certainly did not reach Iterable and stay in the lane."""

    pace: Pace
    renewed: bool = False
    """The campaign was just made sure of: a row that was tried before and is refused with it again fails, as a single
    send does after one renewal."""
    ends: list[tuple[str, int, str]] = field(default_factory=list[tuple[str, int, str]])
    taken: list[tuple[str, datetime]] = field(default_factory=list[tuple[str, datetime]])
    closed: list[tuple[str, SendStatus, str]] = field(default_factory=list[tuple[str, SendStatus, str]])
    held: list[Held] = field(default_factory=list[Held])
    counted: dict[Row, str] = field(default_factory=dict[Row, str])
    proven: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Ends that evidence gives to attempts without one: (send id, end)."""
    again: list[Row] = field(default_factory=list[Row])
    forgotten: list[Row] = field(default_factory=list[Row])
    slow_down: float | None = None
    campaign_gone: bool = False
    key_refused: ErrorCode | None = None
    unanswered: int = 0
    """Ends in a row, up to the last, that are no answer of Iterable's."""
    answered: bool = False

    def add(self, one: Ended) -> None:
        """One more end."""
        row, error = one.row, one.error
        number = row.attempts + 1
        away = isinstance(error, OutcomeUnknown | NotConnected)
        self.unanswered = self.unanswered + 1 if away else 0
        self.answered = self.answered or not away
        if error is None:
            self.ends.append((row.send_id, number, TAKEN))
            self.taken.append((row.send_id, one.at))
            self._settle(row, one.at, "taken")
        elif isinstance(error, OutcomeUnknown):
            self.ends.append((row.send_id, number, UNKNOWN))
            due = one.at + timedelta(seconds=self.pace.evidence_every_seconds)
            since = row.held.held_at if row.held is not None and row.attempts else one.at  # the first of several
            self._hold(row, "unknown", "unknown", None, since, due)
        else:
            self.ends.append((row.send_id, number, NOT_TAKEN))
            self._not_taken(row, error, one.at)

    # ── rows that were held ───────────────────────────────────────────────────────────────────────────────────────

    def found(self, row: Row, found: Finding) -> None:
        """What evidence says of lost attempts. Unknown is looked into again. Attempts that stay unanswered have an end
        once the row has been open for as long as a send may wait."""
        now = datetime.now(UTC)
        match found.verdict:
            case "taken":
                self.proven.append((row.send_id, TAKEN))
                self.taken.append((row.send_id, found.at or now))
                self._settle(row, now, "taken")
            case "not_taken":
                self.proven.append((row.send_id, NOT_TAKEN))
                since = row.held.held_at if row.held is not None else now
                if row.held is not None:
                    row.held = replace(row.held, excused=0)  # the ledger has an end for each of them now
                if self._has_waited(since, now):
                    self._fail(row, ErrorCode.PROVIDER_UNAVAILABLE, now)
                else:
                    self._hold(row, "waiting", "waiting", None, since, now)
            case "unknown":
                since = row.held.held_at if row.held is not None and row.held.state == "unknown" else now
                due = now + timedelta(seconds=self.pace.evidence_every_seconds)
                answered_since = ((row.held and row.held.answered_since) or now) if found.asked else None
                self._hold(row, "unknown", "unknown", None, since, due, answered_since)

    def give_up(self, row: Row) -> None:
        """Nothing was proven within the window: the stream's policy decides."""
        now = datetime.now(UTC)
        if row.held is not None and row.held.repeats < self.pace.may_repeat:
            self.counted[row] = "waiting"
            again = replace(
                row.held,
                state="waiting",
                repeats=row.held.repeats + 1,
                excused=row.attempts,
                answered_since=None,
                due_at=now,
            )
            self.held.append(again)
        else:
            self._fail(row, ErrorCode.OUTCOME_UNKNOWN, now)

    def suppress(self, row: Row) -> None:
        """The recipient was suppressed while the row was held. An attempt that stays unknown may have reached them."""
        if row.held is not None and (row.held.excused or row.held.state == "unknown"):
            self._fail(row, ErrorCode.OUTCOME_UNKNOWN, datetime.now(UTC))
            return
        self.closed.append((row.send_id, SendStatus.SUPPRESSED, ErrorCode.RECIPIENT_SUPPRESSED))
        self._settle(row, datetime.now(UTC), "suppressed")

    def profile(self, row: Row, held: Held, error: IterableError | None) -> None:
        """A held row's thin profile was written, or why not. What Iterable refuses fails its own row and no other; what
        it does not answer is tried again, ever less often, for as long as a send may wait."""
        now = datetime.now(UTC)
        match error:
            case None:
                due = now + timedelta(seconds=self.pace.profile_wait_seconds)
                self._keep_waiting(row, replace(held, has_profile=True, reason=None, held_at=now, due_at=due))
            case RecipientForgotten():  # erased by now, and found so when it is due
                self._keep_waiting(row, replace(held, has_profile=True, due_at=now))
            case KeyRefused():
                self.key_refused = code_of(error)
            case RateLimited() | NotConnected() | OutcomeUnknown():
                since = held.held_at if held.reason == ErrorCode.PROVIDER_UNAVAILABLE else now
                if self._has_waited(since, now):
                    self._fail(row, code_of(error), now)
                    return
                asked = error.retry_after if isinstance(error, RateLimited) else None
                pause = asked or min(max(_RETRY_AFTER, (now - since).total_seconds()), _LONGEST_PAUSE)
                away = replace(held, reason=ErrorCode.PROVIDER_UNAVAILABLE, held_at=since, due_at=now + spread(pause))
                self._keep_waiting(row, away)
            case _:
                self._fail(row, code_of(error), now)

    # ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _has_waited(self, since: datetime, now: datetime) -> bool:
        return now >= since + timedelta(seconds=self.pace.give_up_after_seconds)

    def _keep_waiting(self, row: Row, held: Held) -> None:
        self.counted[row] = "waiting"
        self.held.append(held)

    def _not_taken(self, row: Row, error: IterableError, at: datetime) -> None:
        match error:
            case RateLimited():
                self.slow_down = max(self.slow_down or 0.0, error.retry_after or _RETRY_AFTER)
                self.again.append(row)
            case NotConnected():
                self.again.append(row)
            case KeyRefused():
                self.key_refused = code_of(error)
                self.again.append(row)
            case _ if campaign_is_gone(error) and not (self.renewed and row.attempts):
                self.campaign_gone = True
                self.again.append(row)
            case RecipientUnknown() if self._may_write_profile(row):
                self._hold(row, "waiting", "waiting", ErrorCode.RECIPIENT_UNKNOWN, at, at)
            case _:
                if isinstance(error, RecipientForgotten):
                    self.forgotten.append(row)
                self._fail(row, code_of(error), at)

    def _may_write_profile(self, row: Row) -> bool:
        return self.pace.profile_policy == "on_unknown" and not (row.held is not None and row.held.has_profile)

    def _fail(self, row: Row, code: ErrorCode, at: datetime) -> None:
        if row.held is not None and row.held.excused:
            code = ErrorCode.OUTCOME_UNKNOWN  # whatever else failed, an earlier attempt may have reached them
        self.closed.append((row.send_id, SendStatus.FAILED, code))
        self._hold(row, "failed", f"failed:{code}", code, at, at)

    def _settle(self, row: Row, at: datetime, counted: str) -> None:
        self.counted[row] = counted
        if row.held is not None:
            self.held.append(replace(row.held, state="settled", due_at=at))

    def _hold(
        self,
        row: Row,
        state: State,
        counted: str,
        reason: str | None,
        at: datetime,
        due: datetime,
        answered_since: datetime | None = None,
    ) -> None:
        self.counted[row] = counted
        if row.held is not None:
            self.held.append(
                replace(row.held, state=state, reason=reason, held_at=at, due_at=due, answered_since=answered_since)
            )
            return
        self.held.append(
            Held(
                audience_row=row.number,
                send_id=row.send_id,
                recipient_hash=row.recipient_hash,
                state=state,
                counted_as=counted,
                reason=reason,
                row=row.row,
                due_at=due,
                held_at=at,
                answered_since=answered_since,
            )
        )
