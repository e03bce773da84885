"""Finding out what became of a send whose answer was lost."""

from dataclasses import replace

import structlog
from temporalio import activity

from activities.connectors import InstalledConnectors
from activities.failures import failures
from activities.inquiry import Case, Finding, Inquiry, told_by_us
from contracts.target import FindOutcomeRequest, FoundOutcome
from store.store import Store

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class OutcomeActivities:
    """`find_outcome`, for the runs of single sends."""

    def __init__(self, store: Store, connectors: InstalledConnectors) -> None:
        self._store = store
        self._connectors = connectors
        self._inquiry = Inquiry(store)

    @activity.defn
    async def find_outcome(self, request: FindOutcomeRequest) -> FoundOutcome:
        """What is known of a send whose answer was lost; what is proven goes into the ledger.

        Safe to repeat. Our own records come first: they tell even where the connector is gone. Where Iterable cannot
        be asked the answer is `unknown` and says so. Retried with `rate_limited` while the project's shared pace of
        look-ups is used up. Fails with `connector_disabled` and `connector_not_installed` where only Iterable could
        tell.
        """
        with structlog.contextvars.bound_contextvars(workspace=request.workspace_id, send=request.send_id):
            case = await self._case(request)
            found = told_by_us(case)
            if found is None:
                with failures():
                    connector = await self._connectors.get(request.workspace_id)
                found = await self._inquiry.settle(case, connector)
            found = await self._write(case, found)
            return FoundOutcome(
                verdict=found.verdict, accepted_at=found.at, asked=found.asked, attempts=len(case.attempts)
            )

    async def _case(self, request: FindOutcomeRequest) -> Case:
        async with self._store.read() as tx:
            proven = await tx.events.proven_at(request.workspace_id, [request.send_id])
            row, attempts = await tx.sends.with_attempts(request.workspace_id, request.send_id)
            return Case(
                workspace_id=request.workspace_id,
                send_id=request.send_id,
                recipient=request.recipient,
                row=row,
                attempts=attempts,
                proven_at=proven.get(request.send_id),
                answered_since=request.answered_since,
            )

    async def _write(self, case: Case, found: Finding) -> Finding:
        """What stands in the end: an event may have come while Iterable was asked."""
        if found.verdict == "unknown":
            return found
        async with self._store.begin() as tx:
            if found.verdict == "not_taken":
                proven = await tx.events.proven_at(case.workspace_id, [case.send_id])
                found = told_by_us(replace(case, proven_at=proven.get(case.send_id))) or found
            await tx.sends.settle_attempts(case.workspace_id, case.send_id, found.verdict)
            if found.at is not None:
                await tx.sends.accept(case.workspace_id, case.send_id, found.at)
        log.info("outcome.found", verdict=found.verdict)
        return found
