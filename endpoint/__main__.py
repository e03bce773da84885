"""The endpoint process: `python -m endpoint --port 8700`."""

import argparse
from contextlib import AsyncExitStack
from typing import Any

import uvicorn
from starlette.middleware import Middleware
from temporalio.client import Interceptor

from endpoint.app import create_app
from runtime.extras import tracing
from runtime.logging import configure_logging
from runtime.process import run_service, spare_the_collector, stop_signal
from runtime.serving import serve_until
from runtime.settings import Settings
from runtime.temporal import connect
from store.store import Store

SERVER: dict[str, Any] = {
    "http": "httptools",
    "log_config": None,
    "access_log": False,
    "timeout_graceful_shutdown": 10,
    "timeout_keep_alive": 75,
    "proxy_headers": False,
}
"""How the endpoint is served. httptools by name, so that a missing one is an error and not a third of the pace. Which
proxies are believed is a setting of ours (`endpoint.origin`); the server would believe any on this machine. An idle
connection is kept for longer than load balancers keep theirs (60 s, by default): who closes first may close on a
request that is already under way."""


async def main() -> None:
    """Serves until SIGTERM or SIGINT, then answers what it has begun and commits what waits."""
    parser = argparse.ArgumentParser(prog="endpoint", description="The signal endpoint of the connector.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8700)
    where = parser.parse_args()
    configure_logging()
    spare_the_collector()
    settings, stop = Settings(), stop_signal()
    async with AsyncExitStack() as stack:
        store = await Store.open(settings.database_url, settings.keyring())
        stack.push_async_callback(store.close)
        interceptors: list[Interceptor] = []
        middleware: list[Middleware] = []
        if (traced := tracing(settings, "connector-endpoint")) is not None:
            stack.callback(traced.close)
            interceptors.append(traced.interceptor)
            middleware.append(traced.middleware)
        client = await connect(settings, lazy=True, interceptors=interceptors)
        app = create_app(store, client, settings, middleware)
        config = uvicorn.Config(app, host=where.host, port=where.port, **SERVER)
        await serve_until(stop, config)


if __name__ == "__main__":
    run_service(main(), fast=True)
