"""`python -m sandbox`: serves the sandbox until SIGTERM or SIGINT."""

import argparse
import logging
import sys

import structlog
import uvicorn

from sandbox.app import create_app
from sandbox.settings import SandboxSettings

# Open connections get this long to end; with it the process is gone within two seconds.
_GRACE_SECONDS = 1
# Longer than any client keeps an idle connection: a server that closes first may close on a request under way.
_KEEP_ALIVE_SECONDS = 75


def main(arguments: list[str] | None = None) -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="sandbox", description="A stand-in for Iterable, US and EU, in memory.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8800)
    parser.add_argument("--seed", type=int, help="makes message ids and keys repeatable")
    parser.add_argument("--quiet", action="store_true", help="no line for each request")
    options = parser.parse_args(arguments)
    serve(options.host, options.port, seed=options.seed, log_requests=not options.quiet)


def serve(host: str, port: int, *, seed: int | None = None, log_requests: bool = True) -> None:
    """Serves until a signal comes. One line for each request goes to stderr, with nothing personal in it."""
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.add_log_level,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    uvicorn.run(
        create_app(SandboxSettings(seed=seed), log_requests=log_requests),
        host=host,
        port=port,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )


if __name__ == "__main__":
    main()
