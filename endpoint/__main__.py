"""The endpoint process: `python -m endpoint --port 8700`."""

import argparse
import asyncio

import uvicorn

from endpoint.app import create_app
from runtime.logging import configure_logging
from runtime.process import run
from runtime.settings import Settings
from runtime.temporal import connect
from store.store import Store

_GRACE_SECONDS = 10


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
        config = uvicorn.Config(
            app,
            host=where.host,
            port=where.port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        await asyncio.shield(uvicorn.Server(config).serve())
    finally:
        await store.close()


if __name__ == "__main__":
    run(main())
