"""Logs: one JSON object a line, or columns for people; never an address, a key or a token.

Code logs ids, codes and counts. The scrubber behind it is the second line of defence: whatever text reaches a log, from
a library or a traceback, loses what looks like an address or a secret before it is written.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

_ADDRESS = re.compile(r"[^\s@<>\"'(),:;=&?/\\]{1,64}@[^\s@<>\"'(),:;&?/\\]{1,253}")
_ADDRESS_ESCAPED = re.compile(r"[^\s@<>\"'(),:;=&?/\\]{1,64}%40[^\s@<>\"'(),:;&?/\\]{1,253}", re.IGNORECASE)
_SECRET = re.compile(r"(?i)(api[-_]key|token|authorization|bearer)([\"']?\s*[:=]\s*[\"']?|\s+)[^\s\"',;}]{8,}")
_QUIET = ("httpx", "httpcore", "aiosqlite", "asyncio")


def scrub(text: str) -> str:
    """Takes out what looks like an address or a secret. Linear in the length of the text."""
    if "@" in text:
        text = _ADDRESS.sub("[address]", text)
    if "%40" in text:
        text = _ADDRESS_ESCAPED.sub("[address]", text)
    return _SECRET.sub(r"\1\2[secret]", text)


def _scrubbed(value: Any) -> Any:
    match value:
        case str():
            return scrub(value)
        case dict():
            return {scrub(str(key)): _scrubbed(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case list() | tuple():
            return [_scrubbed(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
        case None | bool() | int() | float():
            return value
        case _:
            return scrub(str(value))


def _scrub_event(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    del logger, method
    return {key: _scrubbed(value) for key, value in event.items()}


def configure_logging(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Sends structlog's and the standard library's records down one path. Call once, first thing in a process."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _scrub_event,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
