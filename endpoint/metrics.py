"""Counters of the endpoint. Labels are words of ours: never a workspace, an address or anything a caller chooses."""

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response


class Metrics:
    """One registry an app, so that two apps in one process do not share counts."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.webhooks = Counter(
            "connector_webhooks", "Webhook requests by how they were answered", ["result"], registry=self._registry
        )
        self.kept = self.webhooks.labels("kept")  # looked up once: it is counted at every event
        self.events_kept = Counter("connector_events_kept", "Events taken into the store", registry=self._registry)
        self.events_ignored = Counter(
            "connector_events_ignored", "Events of other media, answered 2xx and not kept", registry=self._registry
        )

    async def get(self, request: Request) -> Response:
        """`GET /metrics`."""
        del request
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)
