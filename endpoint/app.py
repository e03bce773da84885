"""The ASGI app: routes, and what lives as long as the process."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from temporalio.client import Client

from endpoint.administration import Administration
from endpoint.api import mount_api
from endpoint.assets import Assets
from endpoint.codec import Codec
from endpoint.intake import Intake
from endpoint.metrics import Metrics
from endpoint.origin import Origin
from endpoint.problems import not_taken
from endpoint.refusals import Refusals
from endpoint.tokens import WebhookTokens
from endpoint.webhooks import PATH, Webhooks
from images.assets import AssetStore
from runtime import health
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


def create_app(store: Store, temporal: Client, settings: Settings, middleware: Sequence[Middleware] = ()) -> Endpoint:
    """The endpoint over an open store and a (lazy) Temporal client. The caller closes the store afterwards."""
    metrics = Metrics().with_backlog(store, temporal, settings)
    intake = Intake(store, temporal, settings.task_queue, settings.inbox_shards, metrics)
    assets = Assets(AssetStore(settings.assets_store))
    refusals = Refusals(store)
    administration = Administration(store, temporal, settings.task_queue)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        del app
        await intake.start()
        await refusals.start()
        yield
        await intake.drain()
        await refusals.stop()

    app = Endpoint(
        routes=[
            *health.Health(database=health.database(store), temporal=health.temporal(temporal)).routes(),
            Route("/metrics", metrics.get),
            Route("/assets/{name}", assets.get),
            Codec(settings).mount(),
            mount_api(store, administration, settings),
        ],
        middleware=middleware,
        exception_handlers={HTTPException: not_taken},
        lifespan=lifespan,
    )
    tokens = WebhookTokens(store, refusals, Origin(settings.trusted_proxies))
    app.webhooks = Webhooks(intake, tokens, metrics, settings.webhook_max_bytes)
    return app
