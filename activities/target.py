"""Targeting a recipient: the one call that must not be repeated blindly."""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.beating import to_the_end
from activities.connectors import InForce, InstalledConnectors
from activities.failures import failure, provider_failure
from activities.forgetting import forget
from activities.suppressing import Path, is_suppressed
from activities.targeting import TARGET, campaign_is_gone, paced, patience, target_email
from contracts.connector import ConnectorSettings
from contracts.errors import ConnectorError, ErrorCode
from contracts.target import TargetEnd, TargetOutcome, TargetRequest
from iterable.errors import NotTaken, OutcomeUnknown, RateLimited, RecipientForgotten, RecipientUnknown
from store.members import MemberRow
from store.person import Person
from store.sends import NOT_TAKEN, TAKEN, Attempt, SendIsOver, SendRow
from store.store import Store, Transaction

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_CHECK_HOLDS = timedelta(minutes=1)
"""For so long after its claim a send's first attempt is not checked against suppressions again."""
_RECORD_PAUSES = (0.2, 0.5, 1, 2, 4, 8)  # seconds; within the activity's own timeout


class TargetActivities:
    """`email/target` behind the ledger."""

    def __init__(self, store: Store, connectors: InstalledConnectors) -> None:
        self._store = store
        self._connectors = connectors

    @activity.defn
    async def target_recipient(self, request: TargetRequest) -> TargetOutcome:
        """Targets one recipient at a campaign. Iterable has no idempotency key, so an attempt has one of three ends:
        taken, certainly not taken, unknown.

        Every attempt is in the ledger before its request leaves. A worker that dies in between leaves an attempt
        without an end, and whoever repeats this activity finds it and answers `unknown` instead of asking Iterable
        again. Only what certainly did not reach Iterable is retried (`provider_unavailable`, `rate_limited`).
        """
        with structlog.contextvars.bound_contextvars(workspace=request.workspace_id, send=request.send_id):
            try:
                connector = await self._connectors.get(request.workspace_id)
            except ConnectorError as gone:
                # What may be out is told first, whatever has become of the connector.
                if (known := await self._known(request)) is None:
                    raise failure(gone) from None
                return known
            return await to_the_end(self._attempt(request, connector))

    async def _known(self, request: TargetRequest) -> TargetOutcome | None:
        async with self._store.read() as tx:
            row, attempts = await tx.sends.with_attempts(request.workspace_id, request.send_id)
        return known_outcome(row, attempts, excused=request.excused)

    async def _attempt(self, request: TargetRequest, connector: InForce) -> TargetOutcome:
        """From the ledger to the answer and back; once begun, neither a cancellation nor a shutdown breaks it off."""
        email = target_email(
            workspace_id=request.workspace_id,
            send_id=request.send_id,
            campaign_id=request.shadow.campaign_id,
            recipient=request.recipient,
            data=request.data,
            metadata=request.metadata,
            project_type=connector.settings.project_type,
        )
        begun = await self._begin(request, connector)
        if isinstance(begun, TargetOutcome):
            return begun
        try:
            await connector.iterable.email.target(email)
        except NotTaken as error:
            return await self._not_taken(request, begun, error, connector.settings)
        except OutcomeUnknown as error:
            log.warning("send.outcome_unknown", number=begun, status=error.status, request_id=error.request_id)
            await self._end(request, begun, TargetEnd.UNKNOWN)
            return TargetOutcome(end=TargetEnd.UNKNOWN)
        accepted_at = await self._end(request, begun, TargetEnd.TAKEN)
        return TargetOutcome(end=TargetEnd.TAKEN, accepted_at=accepted_at)

    async def _begin(self, request: TargetRequest, connector: InForce) -> int | TargetOutcome:
        """Waits for its turn: the number of the attempt that begins; or the outcome, where an earlier one has it or
        none may begin any more."""
        async with self._store.begin() as tx:
            row, attempts = await tx.sends.with_attempts(request.workspace_id, request.send_id)
            known = known_outcome(row, attempts, excused=request.excused)
            if known is not None:
                return known
            if attempts and (proven := await self._proven(tx, request)) is not None:
                return proven
            may_have_changed = bool(attempts) or (row and datetime.now(UTC) - row.created_at > _CHECK_HOLDS)
            if may_have_changed and await self._is_suppressed(tx, request, connector):
                return TargetOutcome(end=TargetEnd.SUPPRESSED)
            wait, reserved = await tx.paces.reserve(
                request.workspace_id, TARGET, paced(connector.settings), patience(request.stream)
            )
            number = len(attempts) + 1
            if reserved:
                try:
                    await tx.sends.begin_attempt(request.workspace_id, request.send_id, number, request.shadow)
                except SendIsOver:
                    error = ConnectorError(ErrorCode.REQUEST_INVALID, "The send was closed before its turn came")
                    raise failure(error) from None
        if not reserved:
            raise ApplicationError("Waits for its turn to send", type=ErrorCode.RATE_LIMITED, next_retry_delay=wait)
        await asyncio.sleep(wait.total_seconds())
        return number

    async def _proven(self, tx: Transaction, request: TargetRequest) -> TargetOutcome | None:
        """An event may have told by now of an attempt that was given up, or taken for one that did not arrive."""
        at = (await tx.events.proven_at(request.workspace_id, [request.send_id])).get(request.send_id)
        if at is None:
            return None
        await tx.sends.settle_attempts(request.workspace_id, request.send_id, TAKEN)
        await tx.sends.accept(request.workspace_id, request.send_id, at)
        return TargetOutcome(end=TargetEnd.TAKEN, accepted_at=at)

    async def _is_suppressed(self, tx: Transaction, request: TargetRequest, connector: InForce) -> bool:
        """A send may have waited since it was checked: for its campaign, a profile, or Iterable."""
        known_as = self._store.hasher.all_of(request.recipient.email, request.recipient.user_id)
        path = Path.of(connector.settings, connector.catalog, request.stream)
        return await is_suppressed(tx, request.workspace_id, known_as, path)

    async def _not_taken(
        self, request: TargetRequest, number: int, error: NotTaken, settings: ConnectorSettings
    ) -> TargetOutcome:
        await self._end(request, number, NOT_TAKEN)
        if isinstance(error, RecipientUnknown):
            return TargetOutcome(end=TargetEnd.RECIPIENT_UNKNOWN)
        if isinstance(error, RecipientForgotten):
            people = Person.all_of(self._store.hasher, request.recipient.email, request.recipient.user_id)
            await forget(self._store, request.workspace_id, people, source="iterable")
        if isinstance(error, RateLimited):
            async with self._store.begin() as tx:
                await tx.paces.slow_down(request.workspace_id, TARGET, timedelta(seconds=error.retry_after or 1))
        if campaign_is_gone(error):
            async with self._store.begin() as tx:
                await tx.shadows.drop(request.workspace_id, request.shadow.campaign_id)
            return TargetOutcome(end=TargetEnd.CAMPAIGN_GONE)
        raise provider_failure(error, settings) from None

    async def _end(self, request: TargetRequest, number: int, end: str) -> datetime:
        """Writes the answer down. Tries for a while: an answer that cannot be written is lost."""
        for pause in _RECORD_PAUSES:
            try:
                return await self._record(request, number, end)
            except (SQLAlchemyError, OSError):
                await asyncio.sleep(pause)
        return await self._record(request, number, end)

    async def _record(self, request: TargetRequest, number: int, end: str) -> datetime:
        async with self._store.begin() as tx:
            ended_at = await tx.sends.end_attempt(request.workspace_id, request.send_id, number, end)
            if end == TargetEnd.TAKEN:
                await tx.sends.accept(request.workspace_id, request.send_id, ended_at)
        return ended_at


def known_outcome(
    row: SendRow | MemberRow | None, attempts: list[Attempt], *, excused: int = 0
) -> TargetOutcome | None:
    """What earlier attempts mean for a next one; None where it may begin. The first `excused` of them were looked into
    to the end, and the stream's policy is to send again all the same."""
    # Idempotency guard: taken, but the answer was lost on its way to the workflow.
    if row is not None and row.accepted_at is not None:
        return TargetOutcome(end=TargetEnd.TAKEN, accepted_at=row.accepted_at)
    # Idempotency guard: an attempt without an end may have reached Iterable.
    if any(attempt.may_have_reached and attempt.number > excused for attempt in attempts):
        return TargetOutcome(end=TargetEnd.UNKNOWN)
    return None
