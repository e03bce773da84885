"""The endpoint process: `python -m endpoint --port 8700`."""

import argparse
import asyncio
from typing import Any

import uvicorn

from endpoint.app import create_app
from runtime.logging import configure_logging
from runtime.process import run
from runtime.settings import Settings
from runtime.temporal import connect
from store.store import Store

SERVER: dict[str, Any] = {"http": "httptools", "log_config": None, "access_log": False, "timeout_graceful_shutdown": 10}
"""How the endpoint is served. httptools by name, so that a missing one is an error and not a third of the pace."""


async def main() -> None:
    """Serves until SIGTERM or SIGINT, then answers what it has begun and commits what waits."""
    parser = argparse.ArgumentParser(prog="endpoint", description="The signal endpoint of the connector.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8700)
    where = parser.parse_args()
    configure_logging()
    settings = Settings()
    store = await Store.open(settings.database_url, settings.keyring())
    try:
        app = create_app(store, await connect(lazy=True), settings)
        config = uvicorn.Config(app, host=where.host, port=where.port, **SERVER)
        await asyncio.shield(uvicorn.Server(config).serve())
    finally:
        await store.close()


if __name__ == "__main__":
    run(main(), fast=True)
