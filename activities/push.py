"""Pushing the feed to a receiver: signed batches, in order, repeated until they are taken."""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import structlog
from temporalio import activity
from temporalio.client import Client

from activities.receivers import ReceiverRefused, check_receiver
from activities.signing import sign
from contracts.attributes import WORKSPACE, at_start
from contracts.event import TimelineEntry
from contracts.names import PUSH_WORKFLOW, WAKE_SIGNAL, push_workflow_id
from contracts.push import PushAnswer, PushedEvents, PushRequest
from store.pushes import PushRow
from store.store import Store

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_BATCH = 50
"""Entries a delivery: about 20 kB, what the specification suggests as the most of a body."""
_TIMEOUT = httpx.Timeout(20.0)
_GONE = 410
_BUSY = frozenset({429, 503})
_LONGEST_WAIT = 6 * 3600.0


async def wake_push(temporal: Client, task_queue: str, workspace_id: str, signal: str = WAKE_SIGNAL) -> None:
    """Starts the run that pushes, or tells the open one that there is news. Safe to repeat. `RETRY_SIGNAL` also cuts
    its wait after a failure short."""
    await temporal.start_workflow(
        PUSH_WORKFLOW,
        PushRequest(workspace_id=workspace_id),
        id=push_workflow_id(workspace_id),
        task_queue=task_queue,
        start_signal=signal,
        static_summary=f"pushes the feed of {workspace_id} to GenieOS",
        search_attributes=at_start({WORKSPACE: workspace_id}),
    )


class PushActivities:
    """What `EventPushWorkflow` does to the world."""

    def __init__(self, store: Store, *, allow_private: bool, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._store = store
        self._allow_private = allow_private
        self._transport = transport

    @activity.defn
    async def push_batch(self, request: PushRequest) -> PushAnswer:
        """Tries to deliver the next batch once; the workflow decides when to try again.

        Safe to repeat: a batch whose answer was lost goes out again under the same id, and the receiver knows it by
        that. The cursor moves only once the receiver has said 2xx.
        """
        with structlog.contextvars.bound_contextvars(workspace=request.workspace_id):
            async with self._store.read() as tx:
                receiver = await tx.pushes.get(request.workspace_id)
                entries = await tx.events.page(request.workspace_id, receiver.cursor, _BATCH + 1) if receiver else []
            if receiver is None or receiver.disabled is not None:
                return PushAnswer(end="off")
            batch = _first_batch(entries, request.up_to)
            more = len(entries) > len(batch)
            if not batch:
                return PushAnswer(end="empty")
            answer = await self._deliver(request.workspace_id, receiver, batch)
            if answer.end == "delivered":
                async with self._store.begin() as tx:
                    await tx.pushes.advance(request.workspace_id, receiver.cursor, batch[-1].cursor)
            elif answer.end == "off":
                async with self._store.begin() as tx:
                    await tx.pushes.disable(request.workspace_id, answer.problem or "switched off")
            log.info("push.tried", end=answer.end, problem=answer.problem, entries=len(batch))
            return answer.model_copy(update={"more": more, "up_to": batch[-1].cursor})

    @activity.defn
    async def give_up_batch(self, request: PushRequest) -> None:
        """Notes the batch that failed as undeliverable and goes on behind it. Safe to repeat: what comes after the
        batch was never tried, and is not given up with it."""
        async with self._store.begin() as tx:
            receiver = await tx.pushes.get(request.workspace_id)
            if receiver is None or request.up_to is None:
                return
            entries = await tx.events.page(request.workspace_id, receiver.cursor, _BATCH)
            batch = [entry for entry in entries if entry.cursor <= request.up_to]
            if batch:
                await tx.pushes.give_up(
                    request.workspace_id, batch[0].cursor, batch[-1].cursor, f"{request.failures} tries failed"
                )
                await tx.pushes.advance(request.workspace_id, receiver.cursor, batch[-1].cursor)

    async def _deliver(self, workspace_id: str, receiver: PushRow, batch: Sequence[TimelineEntry]) -> PushAnswer:
        now = datetime.now(UTC)
        body = PushedEvents(timestamp=now, data=list(batch)).model_dump_json().encode()
        webhook_id = f"{workspace_id}_{receiver.round}_{batch[0].cursor}-{batch[-1].cursor}"
        seconds = int(now.timestamp())
        try:
            await check_receiver(receiver.url, allow_private=self._allow_private)
            # No proxy, no redirect: a delivery goes where it was checked to go.
            async with httpx.AsyncClient(transport=self._transport, timeout=_TIMEOUT, trust_env=False) as client:
                response = await client.post(
                    receiver.url,
                    content=body,
                    headers={
                        "Content-Type": "application/json",
                        "webhook-id": webhook_id,
                        "webhook-timestamp": str(seconds),
                        "webhook-signature": sign(receiver.secret, webhook_id, seconds, body),
                    },
                )
        except ReceiverRefused as error:
            return PushAnswer(end="failed", problem=str(error))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return PushAnswer(end="failed", problem=type(error).__name__)
        if response.is_success:
            return PushAnswer(end="delivered")
        if response.status_code == _GONE:
            return PushAnswer(end="off", problem="the receiver answered 410: it wants nothing more")
        wait = _retry_after(response.headers.get("Retry-After"), now) if response.status_code in _BUSY else None
        return PushAnswer(end="failed", problem=f"answered {response.status_code}", retry_after=wait)


def _first_batch(entries: list[TimelineEntry], up_to: int | None) -> list[TimelineEntry]:
    """The next batch; the same one as before where it failed, unless a replay has gone back further."""
    known = [entry for entry in entries if up_to is None or entry.cursor <= up_to]
    return (known or entries)[:_BATCH]


def _retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds, from either form of the header; bounded, so that a receiver cannot stop its own push for days."""
    if text is None:
        return None
    try:
        wait = float(text) if text.strip().isdecimal() else (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(wait, 0.0), _LONGEST_WAIT)
