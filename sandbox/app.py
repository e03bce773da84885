"""The application: Iterable's API for both data centres, the admin API, and pages."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox import admin, pages
from sandbox.api import serving
from sandbox.settings import SandboxSettings
from sandbox.wire import not_a_path
from sandbox.world import World

_log: structlog.stdlib.BoundLogger = structlog.get_logger("sandbox")


def create_app(settings: SandboxSettings | None = None, *, log_requests: bool = False) -> Starlette:
    """A sandbox of its own. Served without a lifespan (`httpx.ASGITransport`), `app.state.world.close()` ends it."""
    world = World(settings or SandboxSettings())

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        yield
        await world.close()

    app = Starlette(
        routes=[
            Route("/", _index),
            Route("/healthz", _healthz),
            *admin.routes(world),
            *serving.routes(world),
            Route("/{path:path}", _nowhere, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ],
        lifespan=lifespan,
    )
    app.state.world = world
    if log_requests:
        app.add_middleware(_RequestLog)
    return app


async def _index(request: Request) -> Response:
    del request
    return HTMLResponse(pages.index())


async def _healthz(request: Request) -> Response:
    del request
    return PlainTextResponse("ok")


async def _nowhere(request: Request) -> Response:
    del request
    return not_a_path()


class _RequestLog:
    """One line a request: the documented path, never the concrete one, which may hold an address."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            _log.info(
                "request",
                operation=scope.get(serving.OPERATION_STATE) or f"{scope['method']} {_local_path(scope)}",
                project=scope.get(serving.PROJECT_STATE),
                status=status,
                ms=round((time.perf_counter() - began) * 1000, 1),
            )


def _local_path(scope: Scope) -> str:
    """The sandbox's own paths hold nothing personal; any other unknown path might."""
    path: str = scope["path"]
    return path if path in {"/", "/healthz"} or path.startswith("/_sandbox/") else "(unknown path)"
