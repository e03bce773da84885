"""The ASGI app: routes, and what lives as long as the process."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from temporalio.client import Client

from endpoint.api import Api
from endpoint.assets import Assets
from endpoint.codec import Codec
from endpoint.intake import Intake
from endpoint.metrics import Metrics
from endpoint.tokens import WebhookTokens
from endpoint.webhooks import PATH, Webhooks
from images.assets import AssetStore
from runtime import health
from runtime.assets import image_host
from runtime.settings import Settings
from store.store import Store


class Endpoint(Starlette):
    """Starlette for everything but webhooks, which go past its middleware and routing: they are a flood, the rest is
    not."""

    webhooks: Webhooks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the lifespan."""
        if scope["type"] == "http" and scope["path"].startswith(PATH):
            await self.webhooks(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(store: Store, temporal: Client, settings: Settings) -> Endpoint:
    """The endpoint over an open store and a (lazy) Temporal client. The caller closes the store afterwards."""
    metrics = Metrics()
    intake = Intake(store, temporal, settings.task_queue, settings.inbox_shards, metrics)
    api = Api(store, settings.admin_token, image_host(settings))
    assets = Assets(AssetStore(settings.assets_store))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        del app
        await intake.start()
        yield
        await intake.drain()

    workspace = "/v1/workspaces/{workspace_id}"
    app = Endpoint(
        routes=[
            *health.Health(database=health.database(store), temporal=health.temporal(temporal)).routes(),
            Route("/metrics", metrics.get),
            Route("/assets/{name}", assets.get),
            Route(f"{workspace}/sends/{{send_id}}", api.guarded(api.send)),
            Route(f"{workspace}/timeline", api.guarded(api.timeline)),
            Route(f"{workspace}/broadcasts/{{broadcast_id}}", api.guarded(api.broadcast)),
            Route(f"{workspace}/broadcasts/{{broadcast_id}}/recipients", api.guarded(api.recipients)),
            Route(f"{workspace}/suppressions", api.guarded(api.suppressions)),
            Route(f"{workspace}/previews/{{send_id}}", api.guarded(api.preview)),
            Route(f"{workspace}/shadows", api.guarded(api.shadows)),
            Route(f"{workspace}/shadows/{{fingerprint}}", api.guarded(api.shadow)),
            Route(f"{workspace}/connector", api.guarded(api.connector)),
            Route(f"{workspace}/templates", api.guarded(api.put_template), methods=["PUT"]),
            Codec(settings).mount(),
        ],
        lifespan=lifespan,
    )
    app.webhooks = Webhooks(intake, WebhookTokens(store), metrics, settings.webhook_max_bytes)
    return app
