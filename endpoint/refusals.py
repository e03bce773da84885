"""Refused webhooks are counted, by workspace: a wrong header in Iterable shows itself in the connector's state."""

import asyncio
import contextlib
from collections import Counter

import structlog
from sqlalchemy.exc import SQLAlchemyError

from store.store import Store
from store.webhooks import RefusedBecause

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_WRITTEN_EVERY_SECONDS = 2.0


class Refusals:
    """Counts in memory and writes now and then: whoever tries wrong tokens must not get a write out of each. Only
    workspaces that exist may be counted, so what is kept is bounded. A kill may lose the last seconds' counts."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._counts: Counter[tuple[str, RefusedBecause]] = Counter()
        self._task: asyncio.Task[None] | None = None

    def add(self, workspace_id: str, reason: RefusedBecause) -> None:
        """One more."""
        self._counts[workspace_id, reason] += 1

    async def start(self) -> None:
        """Call inside the loop."""
        self._task = asyncio.create_task(self._write_on())

    async def stop(self) -> None:
        """Writes what is left."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.write()

    async def write(self) -> None:
        """Writes what was counted; keeps it where the database does not answer."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            async with self._store.begin() as tx:
                await tx.webhooks.count_refused(counts)
        except (SQLAlchemyError, OSError) as error:
            self._counts.update(counts)
            log.warning("refusals.not_written", error=type(error).__name__)

    async def _write_on(self) -> None:
        while True:
            await asyncio.sleep(_WRITTEN_EVERY_SECONDS)
            await self.write()
