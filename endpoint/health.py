"""`/healthz`: the process lives. `/readyz`: what it depends on answers."""

from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from temporalio.client import Client
from temporalio.service import RPCError

from store.store import Store

_PATIENCE = timedelta(seconds=2)


class Health:
    """Asks at every request; remembers nothing."""

    def __init__(self, store: Store, temporal: Client) -> None:
        self._store = store
        self._temporal = temporal

    async def alive(self, request: Request) -> Response:
        """`GET /healthz`."""
        del request
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """`GET /readyz`: 503 naming what does not answer. Webhooks are taken while only Temporal is away."""
        del request
        parts = {"database": await self._database(), "temporal": await self._server()}
        return JSONResponse(parts, status_code=200 if set(parts.values()) == {"ok"} else 503)

    async def _database(self) -> str:
        try:
            await self._store.ping()
        except (SQLAlchemyError, OSError):
            return "does not answer"
        return "ok"

    async def _server(self) -> str:
        try:
            await self._temporal.service_client.check_health(timeout=_PATIENCE)
        except (RPCError, RuntimeError):
            return "does not answer"
        return "ok"
