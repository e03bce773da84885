"""The ASGI app: routes, and what lives as long as the process."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Route
from temporalio.client import Client

from endpoint.api import Api
from endpoint.health import Health
from endpoint.intake import Intake
from endpoint.metrics import Metrics
from endpoint.tokens import WebhookTokens
from endpoint.webhooks import Webhooks
from runtime.settings import Settings
from store.store import Store


def create_app(store: Store, temporal: Client, settings: Settings) -> Starlette:
    """The endpoint over an open store and a (lazy) Temporal client. The caller closes the store afterwards."""
    metrics = Metrics()
    intake = Intake(store, temporal, settings.task_queue)
    tokens = WebhookTokens(store)
    webhooks = Webhooks(intake, tokens, store.hasher, metrics, settings.webhook_max_bytes, settings.inbox_shards)
    health = Health(store, temporal)
    api = Api(store, settings.admin_token)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        del app
        await intake.start()
        yield
        await intake.drain()

    workspace = "/v1/workspaces/{workspace_id}"
    return Starlette(
        routes=[
            Route("/webhooks/iterable/{workspace_id}", webhooks.post, methods=["POST"]),
            Route("/healthz", health.alive),
            Route("/readyz", health.ready),
            Route("/metrics", metrics.get),
            Route(f"{workspace}/sends/{{send_id}}", api.guarded(api.send)),
            Route(f"{workspace}/timeline", api.guarded(api.timeline)),
            Route(f"{workspace}/suppressions", api.guarded(api.suppressions)),
            Route(f"{workspace}/connector", api.guarded(api.connector)),
            Route(f"{workspace}/templates", api.guarded(api.put_template), methods=["PUT"]),
        ],
        lifespan=lifespan,
    )
