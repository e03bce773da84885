"""What became of a send whose answer was lost: the ledger and our events first, then Iterable's records."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from activities.connectors import InForce
from activities.evidence import Facts, Verdict, judge
from activities.target import known_outcome
from activities.turns import look_up_turn, take_turn
from contracts.send import RESERVED_DATA_KEY, Recipient
from contracts.target import TargetEnd
from iterable.errors import IterableError, RecipientUnknown
from iterable.events import UserEvent
from iterable.users import User
from iterable.webhook_event import SEND_EVENTS
from store.members import MemberRow
from store.sends import Attempt, SendKey, SendRow
from store.store import Store

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_CLOCK_SKEW = timedelta(minutes=5)
"""How far our clock and Iterable's may be apart."""
_IN_FLIGHT = timedelta(seconds=60)
"""How long an attempt without an end may still be on its way: its worker may live, cut off from Temporal, and hold the
request for as long as the client's timeouts together allow (50 s)."""
_OLDEST_RIVAL = timedelta(days=1)
"""Other sends that tried before that are not held against a message: Iterable's records of theirs are older, too."""
_SENT_MESSAGES_PER_SECOND = 2.5
"""Iterable allows 3/s for a project; somebody else may be asking too."""
_LONGEST_WAIT = timedelta(seconds=10)
"""For a turn, inside the activity; who would wait longer comes back later."""
_MOST_MESSAGES = 1000


@dataclass(frozen=True)
class Case:
    """A send and what our own database has of it. `proven_at` is when the first event happened that names it.
    `answered_since` is from when on Iterable has answered every look for it; None where it has not been asked yet, or
    did not answer the last time."""

    workspace_id: str
    send_id: str
    recipient: Recipient
    row: SendRow | MemberRow | None
    attempts: list[Attempt]
    proven_at: datetime | None
    answered_since: datetime | None


@dataclass(frozen=True)
class Finding:
    """`at` is since when the message is taken. `asked` is false where Iterable's records could not be read."""

    verdict: Verdict
    at: datetime | None = None
    asked: bool = True


class Inquiry:
    """The same for a single send and for a member of a broadcast; who asks writes down what is found."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def settle(self, case: Case, connector: InForce) -> Finding:
        """What is proven. Raises `ApplicationError` (`rate_limited`) where no turn to ask Iterable comes up soon."""
        told = told_by_us(case)
        if told is not None:
            return told
        try:
            verdict = await self._ask(case, connector)
        except IterableError as error:
            log.info("outcome.not_asked", operation=error.operation, status=error.status)
            return Finding("unknown", asked=False)
        return Finding(verdict, case.attempts[-1].started_at if verdict == "taken" else None)

    async def _ask(self, case: Case, connector: InForce) -> Verdict:
        lost = [attempt for attempt in case.attempts if attempt.may_have_reached]
        campaigns = {attempt.campaign_id for attempt in lost if attempt.campaign_id is not None}
        since = lost[0].started_at - _CLOCK_SKEW
        await look_up_turn(self._store, case.workspace_id, _LONGEST_WAIT)
        reported = [event for event in await _events(connector, case.recipient) if _is_of(event, campaigns, since)]
        named = {event.message_id: cause for event in reported if (cause := _cause(event)) and event.message_id}
        if (case.workspace_id, case.send_id) in named.values():
            return "taken"
        messages = {event.message_id for event in reported if event.message_id}
        shown_by = _shown_by(lost, case.answered_since, timedelta(seconds=connector.settings.evidence_after_seconds))
        complete = shown_by is not None and self._store.now() >= shown_by
        if complete:  # only now can the slow look-up prove anything that the quick one does not
            messages |= await self._sent_messages(case, connector, campaigns, since)
        messages -= named.keys()
        facts = await self._facts(case, case.recipient, campaigns, messages, since, complete=complete)
        if judge(facts) != "taken":
            return judge(facts)
        # Before somebody else's message passes for this one's: others may have reached this person under another name.
        person = await _profile(connector, case.recipient)
        if person is not None:
            known_as = Recipient(
                email=case.recipient.email or person.email or None,
                user_id=case.recipient.user_id or person.user_id or None,
            )
            facts = await self._facts(case, known_as, campaigns, messages, since, complete=complete)
        return judge(facts)

    async def _facts(
        self,
        case: Case,
        known_as: Recipient,
        campaigns: Collection[int],
        messages: set[str],
        since: datetime,
        *,
        complete: bool,
    ) -> Facts:
        """Each known message explains one attempt of its own send's, and of no other's."""
        async with self._store.read() as tx:
            hashes = self._store.hasher.all_of(known_as.email, known_as.user_id)
            rivals = await tx.sends.rivals(campaigns, hashes, since - _OLDEST_RIVAL)
            rivals.pop((case.workspace_id, case.send_id), None)
            explained = await tx.events.messages_of(rivals)
        others = sum(max(0, attempts - len(explained[rival])) for rival, attempts in rivals.items())
        unexplained = messages.difference(*explained.values())
        return Facts(messages=len(unexplained), others=others, records_complete=complete)

    async def _sent_messages(
        self, case: Case, connector: InForce, campaigns: Collection[int], since: datetime
    ) -> set[str]:
        await take_turn(
            self._store, case.workspace_id, "users/getSentMessages", _SENT_MESSAGES_PER_SECOND, _LONGEST_WAIT
        )
        email, user_id = case.recipient.identity(connector.settings.project_type)
        try:
            messages = await connector.iterable.users.sent_messages(
                email=email, user_id=user_id, campaign_ids=sorted(campaigns), start=since, limit=_MOST_MESSAGES
            )
        except RecipientUnknown:
            return set()
        return {message.message_id for message in messages}


def told_by_us(case: Case) -> Finding | None:
    """What the ledger and our events prove; None where only Iterable can tell."""
    known = known_outcome(case.row, case.attempts)
    if known is None:
        return Finding("not_taken")
    if known.end is TargetEnd.TAKEN:
        return Finding("taken", known.accepted_at)
    return None if case.proven_at is None else Finding("taken", case.proven_at)


def _shown_by(lost: list[Attempt], answered_since: datetime | None, evidence_after: timedelta) -> datetime | None:
    """When a message of any of these attempts must have shown up; None where that cannot be said yet. Records may lag
    behind after an outage, so the time counts from when Iterable answered again, too."""
    if answered_since is None:
        return None
    ended = [attempt.ended_at or attempt.started_at + _IN_FLIGHT for attempt in lost]
    return max(answered_since, *ended) + evidence_after


async def _events(connector: InForce, recipient: Recipient) -> list[UserEvent]:
    email, user_id = recipient.identity(connector.settings.project_type)
    try:
        return await connector.iterable.events.for_user(email=email, user_id=user_id)
    except RecipientUnknown:
        return []


async def _profile(connector: InForce, recipient: Recipient) -> User | None:
    email, user_id = recipient.identity(connector.settings.project_type)
    if email is not None:
        return await connector.iterable.users.get_by_email(email)
    return await connector.iterable.users.get_by_user_id(user_id or "")


def _is_of(event: UserEvent, campaigns: Collection[int], since: datetime) -> bool:
    return (
        event.event_type in SEND_EVENTS
        and event.campaign_id in campaigns
        and event.created_at is not None
        and event.created_at >= since
    )


def _cause(event: UserEvent) -> SendKey | None:
    """The send whose correlation the event carries."""
    match (event.transactional_data or {}).get(RESERVED_DATA_KEY):
        case {"workspace": str(workspace_id), "send": str(send_id)}:
            return workspace_id, send_id
        case _:
            return None
