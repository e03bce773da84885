"""Counters of the endpoint. Labels are words of ours: never a workspace, an address or anything a caller chooses."""

from typing import Self

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response
from temporalio.client import Client

from contracts.errors import ApiCode
from endpoint.backlog import Backlog
from runtime.settings import Settings
from store.store import Store

_REFUSALS = (
    ApiCode.UNAUTHORISED,
    ApiCode.NOT_ALLOWLISTED,
    ApiCode.UNREADABLE,
    ApiCode.TOO_LARGE,
    ApiCode.NOT_KEPT,
)


class Metrics:
    """One registry an app, so that two apps in one process do not share counts."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._backlog: Backlog | None = None
        self.webhooks = Counter(
            "connector_webhooks", "Webhook requests by how they were answered", ["result"], registry=self._registry
        )
        self.kept = self.webhooks.labels("kept")  # looked up once: it is counted at every event
        for result in _REFUSALS:  # there from the start: Prometheus sees no increase up to a first value
            self.webhooks.labels(result)
        self.events_kept = Counter("connector_events_kept", "Events taken into the store", registry=self._registry)
        self.events_ignored = Counter(
            "connector_events_ignored", "Events of other media, answered 2xx and not kept", registry=self._registry
        )

    def with_backlog(self, store: Store, temporal: Client, settings: Settings) -> Self:
        """Tells of what waits, too."""
        self._backlog = Backlog(store, temporal, settings, self._registry)
        return self

    async def get(self, request: Request) -> Response:
        """`GET /metrics`."""
        del request
        if self._backlog is not None:
            await self._backlog.refresh()
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)
