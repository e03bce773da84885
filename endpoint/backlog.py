"""What waits, for Prometheus: in the database and in Temporal's task queues.

Asked for while Prometheus asks, and not more often than every few seconds, so that a second scraper costs nothing.
Every endpoint tells the same numbers: take the maximum of them, not the sum.
"""

import asyncio
import time
from datetime import datetime, timedelta

import structlog
from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy.exc import SQLAlchemyError
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from runtime.settings import Settings
from store.store import Store

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_FRESH_SECONDS = 10.0
_SLOW_FRESH_SECONDS = 300.0
"""For what reads whole tables."""
_PATIENCE = timedelta(seconds=2)
_SLOW_PATIENCE = timedelta(seconds=8)
"""Prometheus itself gives up after ten seconds."""
_KINDS = {
    "workflow": TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    "activity": TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
}


class Backlog:
    """Gauges of one endpoint. What could not be asked keeps its last value; `connector_backlog_asked` says so."""

    def __init__(self, store: Store, temporal: Client, settings: Settings, registry: CollectorRegistry) -> None:
        self._store = store
        self._temporal = temporal
        self._queues = {
            "main": settings.task_queue,
            "shadow": settings.shadow_task_queue,
            "broadcast": settings.broadcast_task_queue,
        }
        self._asked = self._asked_slowly = -_SLOW_FRESH_SECONDS
        self._lock = asyncio.Lock()

        def gauge(name: str, what: str, *labels: str) -> Gauge:
            return Gauge(f"connector_{name}", what, labels, registry=registry)

        self._answered = gauge("backlog_asked", "Whether the gauges beside it could be asked for: 1, or 0", "source")
        self._waiting = gauge("inbox_waiting_events", "Events taken and not yet drained")
        self._waiting_age = gauge("inbox_waiting_age_seconds", "How long the oldest of them has waited")
        self._set_aside = gauge("inbox_set_aside_events", "Events that could not be read, kept for a person to look at")
        self._push_behind = gauge("push_behind_seconds", "How long the oldest event waits that a receiver has not got")
        self._backfill_behind = gauge("backfill_behind_seconds", "How long ago the export was last read to its end")
        self._unmatched = gauge("unmatched_events", "Events that belong to no send that is known")
        self._suppressions = gauge("suppressions", "Suppressions in force, by cause", "cause")
        self._tasks = gauge("task_queue_backlog", "Tasks that wait for a worker, about", "queue", "kind")
        self._age = gauge("task_queue_backlog_age_seconds", "How long the oldest of them has waited", "queue", "kind")
        self._pollers = gauge("task_queue_pollers", "Workers that asked for tasks within five minutes", "queue", "kind")

    async def refresh(self) -> None:
        """Brings the gauges up to date. Raises nothing: a part that does not answer is told as a metric."""
        async with self._lock:
            now = time.monotonic()
            if now - self._asked < _FRESH_SECONDS:
                return
            self._asked = now
            slow = now - self._asked_slowly >= _SLOW_FRESH_SECONDS
            ok = await asyncio.gather(self._ask_database(slow=slow), self._ask_temporal())
            if slow and ok[0]:
                self._asked_slowly = now
            for source, answered in zip(("database", "temporal"), ok, strict=True):
                self._answered.labels(source).set(answered)

    async def _ask_database(self, *, slow: bool) -> bool:
        try:
            patience = _SLOW_PATIENCE if slow else _PATIENCE
            async with asyncio.timeout(patience.total_seconds()), self._store.read() as tx:
                self._waiting.set(await tx.tallies.waiting())
                self._waiting_age.set(self._age_of(await tx.tallies.waiting_since()))
                self._push_behind.set(self._age_of(await tx.pushes.behind_since()))
                self._backfill_behind.set(self._age_of(await tx.backfills.behind_since()))
                self._set_aside.set(await tx.tallies.set_aside())
                if slow:
                    self._unmatched.set(await tx.tallies.unmatched())
                    for cause, count in (await tx.tallies.suppressions()).items():
                        self._suppressions.labels(cause).set(count)
        except (SQLAlchemyError, OSError) as error:  # a TimeoutError is an OSError
            log.warning("backlog.not_asked", source="database", error=type(error).__name__)
            return False
        return True

    def _age_of(self, since: datetime | None) -> float:
        return 0 if since is None else max(0, (self._store.now() - since).total_seconds())

    async def _ask_temporal(self) -> bool:
        try:
            for queue, name in self._queues.items():
                for kind, number in _KINDS.items():
                    if queue == "main" or kind != "workflow":  # the others have activities only
                        await self._ask_queue(queue, kind, name, number)
        except (RPCError, RuntimeError) as error:
            log.warning("backlog.not_asked", source="temporal", error=type(error).__name__)
            return False
        return True

    async def _ask_queue(self, queue: str, kind: str, name: str, number: TaskQueueType.ValueType) -> None:
        answer = await self._temporal.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=self._temporal.namespace,
                task_queue=TaskQueue(name=name),
                task_queue_type=number,
                report_stats=True,
            ),
            timeout=_PATIENCE,
        )
        self._tasks.labels(queue, kind).set(answer.stats.approximate_backlog_count)
        self._age.labels(queue, kind).set(answer.stats.approximate_backlog_age.ToTimedelta().total_seconds())
        self._pollers.labels(queue, kind).set(len(answer.pollers))
