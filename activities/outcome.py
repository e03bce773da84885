"""Finding out what became of an attempt whose answer was lost."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import structlog
from temporalio import activity

from activities.connectors import InForce, InstalledConnectors
from activities.evidence import Facts, Verdict, judge
from activities.failures import failures
from activities.target import known_outcome
from activities.turns import take_turn
from contracts.send import RESERVED_DATA_KEY, Recipient
from contracts.target import FindOutcomeRequest, FoundOutcome, TargetEnd, TargetOutcome
from iterable.errors import IterableError, RecipientUnknown
from iterable.events import UserEvent
from iterable.webhook_event import SEND_EVENTS
from store.members import MemberRow
from store.sends import Attempt, SendRow
from store.store import Store

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_CLOCK_SKEW = timedelta(minutes=5)
"""How far our clock and Iterable's may be apart."""
_IN_FLIGHT = timedelta(seconds=60)
"""How long an attempt without an end may still be on its way: its worker may live, cut off from Temporal, and hold the
request for as long as the client's timeouts together allow (50 s)."""
_SENT_MESSAGES_PER_SECOND = 2.5
"""Iterable allows 3/s for a project; somebody else may be asking too."""
_LONGEST_WAIT = timedelta(seconds=10)
"""For a turn, inside the activity; who would wait longer comes back later."""
_MOST_MESSAGES = 1000


class OutcomeActivities:
    """Evidence from our ledger and events first, then from Iterable's records."""

    def __init__(self, store: Store, connectors: InstalledConnectors) -> None:
        self._store = store
        self._connectors = connectors
        self._inquiry = Inquiry(store)

    @activity.defn
    async def find_outcome(self, request: FindOutcomeRequest) -> FoundOutcome:
        """What is known of a send whose answer was lost; what is proven goes into the ledger.

        Safe to repeat. Where Iterable cannot be asked the answer is `unknown` and says so. Retried with
        `rate_limited` while the project's shared pace of look-ups is used up.
        """
        with structlog.contextvars.bound_contextvars(workspace=request.workspace_id, send=request.send_id):
            with failures():
                connector = await self._connectors.get(request.workspace_id)
            async with self._store.read() as tx:
                row = await tx.sends.get(request.workspace_id, request.send_id)
                attempts = await tx.sends.attempts(request.workspace_id, request.send_id)
                proven = await tx.events.proven_at(request.workspace_id, [request.send_id])
            match known_outcome(row, attempts):
                case None:
                    return FoundOutcome(verdict="not_taken")
                case TargetOutcome(end=TargetEnd.TAKEN, accepted_at=accepted_at):
                    return FoundOutcome(verdict="taken", accepted_at=accepted_at)
                case _ if request.send_id in proven:
                    return await self._settle(request, "taken", proven[request.send_id])
                case _ if row is None or row.campaign_id is None:
                    return FoundOutcome(verdict="unknown")
                case _:
                    pass
            try:
                verdict = await self._inquiry.ask(request, connector, row, attempts)
            except IterableError as error:
                log.info("outcome.not_asked", operation=error.operation, status=error.status)
                return FoundOutcome(verdict="unknown", asked=False)
            return await self._settle(request, verdict, attempts[-1].started_at)

    async def _settle(self, request: FindOutcomeRequest, verdict: Verdict, at: datetime) -> FoundOutcome:
        if verdict == "unknown":
            return FoundOutcome(verdict="unknown")
        async with self._store.begin() as tx:
            await tx.sends.settle_attempts(request.workspace_id, request.send_id, verdict)
            if verdict == "taken":
                await tx.sends.accept(request.workspace_id, request.send_id, at)
        log.info("outcome.found", verdict=verdict)
        return FoundOutcome(verdict=verdict, accepted_at=at if verdict == "taken" else None)


class Inquiry:
    """Holds Iterable's records against the ledger, for a single send or for a member of a broadcast."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def ask(
        self, request: FindOutcomeRequest, connector: InForce, row: SendRow | MemberRow, attempts: list[Attempt]
    ) -> Verdict:
        """What Iterable's records prove of attempts whose answers were lost. Raises `IterableError` where it cannot be
        asked, and `ApplicationError` (`rate_limited`) where no turn to ask comes up soon."""
        lost = [attempt for attempt in attempts if attempt.may_have_reached]
        since = lost[0].started_at - _CLOCK_SKEW
        reported = [event for event in await _events(connector, request.recipient) if _is_of(event, row, since)]
        if any(_names(event, request) for event in reported):
            return "taken"
        found = {event.message_id for event in reported if event.message_id}
        waited = datetime.now(UTC) - lost[-1].started_at
        if any(attempt.end is None for attempt in lost):
            waited -= _IN_FLIGHT
        complete = waited >= timedelta(seconds=connector.settings.evidence_after_seconds)
        if complete:  # only now can the slow look-up prove anything that the quick one does not
            found |= await self._sent_messages(request, connector, row, since)
        return judge(await self._facts(request, row, found, since, complete=complete))

    async def _sent_messages(
        self, request: FindOutcomeRequest, connector: InForce, row: SendRow | MemberRow, since: datetime
    ) -> set[str]:
        await take_turn(
            self._store, request.workspace_id, "users/getSentMessages", _SENT_MESSAGES_PER_SECOND, _LONGEST_WAIT
        )
        email, user_id = request.recipient.identity(connector.settings.project_type)
        try:
            messages = await connector.iterable.users.sent_messages(
                email=email,
                user_id=user_id,
                campaign_ids=[row.campaign_id] if row.campaign_id else [],
                start=since,
                limit=_MOST_MESSAGES,
            )
        except RecipientUnknown:
            return set()
        return {message.message_id for message in messages}

    async def _facts(
        self, request: FindOutcomeRequest, row: SendRow | MemberRow, found: set[str], since: datetime, *, complete: bool
    ) -> Facts:
        async with self._store.read() as tx:
            known = await tx.events.known_messages(request.workspace_id, sorted(found))
            # From further back than messages: a message whose attempt is not counted would pass for proof.
            attempts = await tx.sends.count_attempts(
                request.workspace_id, row.campaign_id or 0, row.recipient_hash, since - _CLOCK_SKEW
            )
        return Facts(messages=len(found - known), attempts=max(1, attempts - len(known)), records_complete=complete)


async def _events(connector: InForce, recipient: Recipient) -> list[UserEvent]:
    email, user_id = recipient.identity(connector.settings.project_type)
    try:
        return await connector.iterable.events.for_user(email=email, user_id=user_id)
    except RecipientUnknown:
        return []


def _is_of(event: UserEvent, row: SendRow | MemberRow, since: datetime) -> bool:
    return (
        event.event_type in SEND_EVENTS
        and event.campaign_id == row.campaign_id
        and event.created_at is not None
        and event.created_at >= since
    )


def _names(event: UserEvent, request: FindOutcomeRequest) -> bool:
    """Whether the event carries the correlation that this very send gave Iterable."""
    correlation: Any = (event.transactional_data or {}).get(RESERVED_DATA_KEY)
    wanted = {"workspace": request.workspace_id, "send": request.send_id}
    return isinstance(correlation, dict) and wanted.items() <= cast("dict[str, Any]", correlation).items()
