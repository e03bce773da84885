"""Running a process to a clean end."""

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from pydantic import ValidationError

from runtime.settings import Settings, what_is_wrong
from store.keyring import KeyringError
from store.store import OlderSchema

T = TypeVar("T")

_SETTLE_SECONDS = 0.05
_YOUNG_OBJECTS = 20_000


def run(main: Coroutine[Any, Any, T], *, fast: bool = False) -> T:
    """`asyncio.run`, with a moment after the last await; `fast` runs it on uvloop where there is one (not on Windows).

    A process that ends right after its last Temporal call can crash at interpreter exit: a Rust thread drops its Python
    references a few milliseconds after the call returned (temporalio/sdk-python#300).
    """

    async def settled() -> T:
        try:
            return await main
        finally:
            await asyncio.sleep(_SETTLE_SECONDS)

    with asyncio.Runner(loop_factory=_uvloop() if fast else None) as runner:
        return runner.run(settled())


def run_service(main: Coroutine[Any, Any, None], *, fast: bool = False) -> None:
    """`run`, for a process that reads `Settings` and opens the store itself: why it cannot is its last line."""
    try:
        run(main, fast=fast)
    except ValidationError as error:
        if error.title != Settings.__name__:
            raise
        sys.exit(what_is_wrong(error))
    except (KeyringError, OlderSchema) as error:
        sys.exit(str(error))


def _uvloop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - exists on other platforms only

    return uvloop.new_event_loop


def spare_the_collector() -> None:
    """The garbage collector leaves alone what is there now: modules and their like, which live as long as the process.
    Going through them again and again took a fifth of an inbox's drain. Call once, when all is imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])


def stop_signal() -> asyncio.Event:
    """An event that is set by SIGTERM or SIGINT. Call inside the running loop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
