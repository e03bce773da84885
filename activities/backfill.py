"""Back-fill: what webhooks lost is read from Iterable's own records and goes through the same inbox.

An occurrence has the same id however it was reported (`iterable.webhook_event.occurrence_key`), so what a webhook
brought is recognised, and windows may overlap as they like.
"""

import json
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import structlog
from temporalio import activity
from temporalio.client import Client

from activities.connectors import InstalledConnectors
from activities.failures import failures, provider_failure
from activities.schedules import backfill_routine, end_schedule, keep_schedule
from activities.turns import look_up_turn, take_turn
from activities.waking import shard_of, wake_inboxes
from contracts.backfill import BackfillPlan, BackfillResult, ExportWindow
from contracts.names import backfill_schedule_id
from contracts.send import RESERVED_DATA_KEY
from contracts.target import FindOutcomeRequest
from iterable.errors import IterableError, RecipientUnknown
from iterable.export import ExportType
from iterable.webhook_event import EMAIL_EVENTS, as_webhook, occurrence_key
from store.inbox import Arrival
from store.store import Store

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_OVERLAP = timedelta(hours=1)
"""How far a window reaches back into the one before: entries appear in exports some time after the fact (how long is
documented nowhere), and a first report may have lacked what a later one has."""
_FIRST_LOOK_BACK = timedelta(hours=1)
EXPORTS_PER_MINUTE = 4 * 0.9
"""Iterable allows 4/min for a project; somebody else may be exporting too."""
_LONGEST_TURN = timedelta(seconds=20)
"""Longer than the time between two exports."""
_CHUNK = 500
_CLOCK_SKEW = timedelta(minutes=5)


class BackfillActivities:
    """What `BackfillWorkflow` and an unconfirmed send do to the world."""

    def __init__(
        self, store: Store, connectors: InstalledConnectors, temporal: Client, task_queue: str, shards: int
    ) -> None:
        self._store = store
        self._connectors = connectors
        self._temporal = temporal
        self._task_queue = task_queue
        self._shards = shards

    @activity.defn
    async def schedule_backfill(self, workspace_id: str) -> None:
        """Has the export read every hour from now on. Safe to repeat: a schedule that is there is written anew."""
        await keep_schedule(self._temporal, backfill_routine(workspace_id, self._task_queue))

    @activity.defn
    async def unschedule_backfill(self, workspace_id: str) -> None:
        """Ends the schedule. Safe to repeat."""
        await end_schedule(self._temporal, backfill_schedule_id(workspace_id))

    @activity.defn
    async def plan_backfill(self, workspace_id: str) -> BackfillPlan:
        """The span that nobody has read yet, and some of what was read. After days of standstill it spans them all."""
        now = datetime.now(UTC)
        async with self._store.read() as tx:
            until = await tx.backfills.until(workspace_id)
        since = now - _FIRST_LOOK_BACK if until is None else until - _OVERLAP
        return BackfillPlan(workspace_id=workspace_id, since=since, until=now)

    @activity.defn
    async def read_export(self, window: ExportWindow) -> BackfillResult:
        """Reads one kind of event within a span, and puts what is new into the inbox.

        Safe to repeat: occurrences have ids. Retried with `rate_limited` while the project's shared pace of exports is
        used up.
        """
        with structlog.contextvars.bound_contextvars(workspace=window.workspace_id):
            with failures():
                connector = await self._connectors.get(window.workspace_id)
            await take_turn(
                self._store, window.workspace_id, "export/data.json", EXPORTS_PER_MINUTE / 60, _LONGEST_TURN
            )
            name = cast("ExportType", window.event_name)
            read = found = 0
            chunk: list[dict[str, Any]] = []
            try:
                entries = connector.iterable.export.data_json(name, start=window.since, end=window.until)
                async with aclosing(entries):
                    async for entry in entries:
                        chunk.append(as_webhook(name, entry, "export"))
                        read += 1
                        if len(chunk) == _CHUNK:
                            found += await self._keep(window.workspace_id, chunk)
                            chunk = []
                            activity.heartbeat()
            except IterableError as error:
                await self._keep(window.workspace_id, chunk)  # what came until then
                raise provider_failure(error, connector.settings) from None
            found += await self._keep(window.workspace_id, chunk)
            if found:
                log.info("backfill.found", event_name=name, read=read, found=found)
            return BackfillResult(read=read, found=found)

    @activity.defn
    async def finish_backfill(self, done: BackfillPlan) -> None:
        """Notes how far the export has been read. Safe to repeat."""
        async with self._store.begin() as tx:
            await tx.backfills.advance(done.workspace_id, done.until)

    @activity.defn
    async def look_for_events(self, request: FindOutcomeRequest) -> int:
        """Asks Iterable for the events of a message that nothing has been heard of; how many were news.

        Safe to repeat. They go through the inbox and come back as every event does. Where Iterable knows nobody of
        that name there are none.
        """
        with structlog.contextvars.bound_contextvars(workspace=request.workspace_id, send=request.send_id):
            with failures():
                connector = await self._connectors.get(request.workspace_id)
            async with self._store.read() as tx:
                row, attempts = await tx.sends.with_attempts(request.workspace_id, request.send_id)
            began = [one.started_at for one in attempts if one.may_have_reached]
            if row is None or not began:
                return 0
            await look_up_turn(self._store, request.workspace_id, _LONGEST_TURN)
            email, user_id = request.recipient.identity(connector.settings.project_type)
            try:
                events = await connector.iterable.events.for_user(email=email, user_id=user_id)
            except RecipientUnknown:
                return 0
            except IterableError as error:
                raise provider_failure(error, connector.settings) from None
            since = min(began) - _CLOCK_SKEW
            payloads = [
                as_webhook(event.event_type, {"email": email, "userId": user_id} | event.fields, "events")
                for event in events
                if event.event_type in EMAIL_EVENTS
                and event.campaign_id == row.campaign_id
                and event.created_at is not None
                and event.created_at >= since
            ]
            return await self._keep(request.workspace_id, payloads)

    async def _keep(self, workspace_id: str, payloads: Sequence[dict[str, Any]]) -> int:
        """Puts what is news into the inbox: occurrences that are not there, and those that are there without the name
        of their send while this report has it."""
        by_id = {self._store.hasher.of_occurrence(occurrence_key(payload)): payload for payload in payloads}
        async with self._store.read() as tx:
            known = await tx.events.known(workspace_id, sorted(by_id))
        news = {
            event_id: body
            for event_id, payload in by_id.items()
            if event_id not in known or (not known[event_id] and _may_name_its_send(payload))
            for body in [json.dumps(payload, ensure_ascii=False).encode(errors="replace")]
        }
        if not news:
            return 0
        now = datetime.now(UTC)
        arrivals = [
            Arrival(workspace_id, shard_of(event_id, self._shards), event_id, body, now)
            for event_id, body in news.items()
        ]
        async with self._store.begin() as tx:
            await tx.inbox.add(arrivals)
        await wake_inboxes(self._temporal, self._task_queue, workspace_id, {one.shard for one in arrivals})
        return len(arrivals)


def _may_name_its_send(payload: dict[str, Any]) -> bool:
    return RESERVED_DATA_KEY in str(payload["dataFields"].get("transactionalData", ""))
