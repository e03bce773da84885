"""A supervisor for a stack of local processes. It knows names, commands and readiness, and nothing of what they do.

What it promises: a child that was started is ended, with its process group, when the stack is left for whatever reason;
on Linux the kernel ends it too where this process is killed. It does not restart anything by itself.
"""

import asyncio
import contextlib
import ctypes
import os
import secrets
import signal
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx
import structlog

Ready = Callable[[], Awaitable[bool]] | str

_POLL_SECONDS: Final = 0.05
_LAST_LINES: Final = 20
_TAIL_BYTES: Final = 16_384
_PR_SET_PDEATHSIG: Final = 1

_log: structlog.stdlib.BoundLogger = structlog.get_logger("stack")
# Handed out by this process and perhaps not yet bound by the child it is for.
_PORTS = range(20_000, 32_000)
_handed_out: set[int] = set()


class ChildFailed(Exception):
    """A child ended, or did not get ready in time. `last_lines` are the end of its log."""

    def __init__(self, name: str, what: str, last_lines: list[str]) -> None:
        super().__init__(f"{name} {what}" + "".join(f"\n  {line}" for line in last_lines))
        self.name = name
        self.what = what
        self.last_lines = last_lines


@dataclass
class _Child:
    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None
    ready: Ready | None
    timeout: float
    log: Path
    process: asyncio.subprocess.Process
    ended: asyncio.Task[int] = field(repr=False)
    # Ended by us, so nobody needs to hear of it.
    is_expected_to_end: bool = False

    def last_lines(self) -> list[str]:
        with self.log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        return list(deque(lines, maxlen=_LAST_LINES))

    def signal_group(self, number: signal.Signals) -> None:
        """To the whole group: what the child started goes with it, even where the child itself is gone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


class Stack:
    """An async context manager; for the main thread, as the kernel ties a child's life to the thread it came from."""

    def __init__(self, log_folder: Path, *, grace: float = 5.0) -> None:
        self._log_folder = log_folder
        self._grace = grace
        self._children: dict[str, _Child] = {}
        self._fallen: asyncio.Queue[str] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._log_folder.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Shielded, so that a second Ctrl-C does not leave children behind.
        await asyncio.shield(asyncio.ensure_future(self.stop_all()))

    @property
    def names(self) -> list[str]:
        """Of the children that run, in the order in which they were started."""
        return [name for name, child in self._children.items() if child.process.returncode is None]

    def log_of(self, name: str) -> Path:
        return self._log_folder / f"{name}.log"

    def pid_of(self, name: str) -> int:
        return self._children[name].process.pid

    async def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        ready: Ready | None = None,
        timeout: float = 60.0,  # noqa: ASYNC109 - a child that is late is an error of the child's, with its log
    ) -> None:
        """Starts a child and waits until it is ready. Raises `ChildFailed`.

        `env` is added to this process's environment. `ready` is a URL that has to answer below 500, or a function that
        has to answer true; where neither is given, a child is ready once it runs. Output is appended to `{name}.log`.
        """
        if name in self.names:
            raise ValueError(f"{name} is running already")
        child = await self._spawn(name, argv, env, ready, timeout)
        self._children.pop(name, None)
        self._children[name] = child
        try:
            await _wait_until_ready(child)
        except BaseException:
            # Not left to the end: who catches this may go on without the child.
            await self._stop(child)
            raise
        child.ended.add_done_callback(lambda _: self._report(child))

    async def restart(self, name: str) -> None:
        """Starts a child anew as it was started before, ending it first where it still runs. Raises `ChildFailed`."""
        child = self._children[name]
        await self._stop(child)
        await self.start(name, child.argv, env=child.env, ready=child.ready, timeout=child.timeout)

    async def kill(self, name: str) -> None:
        """SIGKILL to the child and its group, as a crash would have it. `watch` does not report it."""
        self.signal(name, signal.SIGKILL)
        await self.wait(name)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Sends a signal to a child and its group. `watch` does not report an end that follows."""
        child = self._children[name]
        child.is_expected_to_end = True
        child.signal_group(number)

    async def wait(self, name: str) -> int:
        """Waits until a child has ended; its exit code, negative for a signal."""
        return await asyncio.shield(self._children[name].ended)

    async def stop(self, name: str) -> None:
        """Ends one child politely."""
        await self._stop(self._children[name])

    async def stop_all(self) -> None:
        """Ends all children, the last started first."""
        for child in reversed(list(self._children.values())):
            await self._stop(child)
        self._children.clear()

    async def watch(self) -> str:
        """Waits until a child ends that nobody ended, and returns its name."""
        return await self._fallen.get()

    def failure_of(self, name: str) -> ChildFailed:
        """What to tell of a child that `watch` reported."""
        child = self._children[name]
        return ChildFailed(name, f"ended with code {child.process.returncode}", child.last_lines())

    async def _spawn(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None,
        ready: Ready | None,
        timeout: float,  # noqa: ASYNC109
    ) -> _Child:
        log = self.log_of(name)
        try:
            with log.open("ab") as output:
                process = await asyncio.create_subprocess_exec(
                    *argv,
                    env={**os.environ, **(env or {})},
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    # A session of its own: a Ctrl-C in the terminal reaches this process only, which then ends the
                    # children in order.
                    start_new_session=True,
                    preexec_fn=_die_with_parent(),
                )
        except OSError as error:
            raise ChildFailed(name, f"could not be started: {error.strerror}", []) from None
        ended = asyncio.ensure_future(process.wait())
        return _Child(name, list(argv), env, ready, timeout, log, process, ended)

    async def _stop(self, child: _Child) -> None:
        child.is_expected_to_end = True
        child.signal_group(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._grace):
                await asyncio.shield(child.ended)
        except TimeoutError:
            _log.warning("child did not end in time", name=child.name, grace_seconds=self._grace)
        # Also where the child ended well: something that it started may live on in its group.
        child.signal_group(signal.SIGKILL)
        await child.ended

    def _report(self, child: _Child) -> None:
        if not child.is_expected_to_end:
            self._fallen.put_nowait(child.name)


async def _wait_until_ready(child: _Child) -> None:
    try:
        async with asyncio.timeout(child.timeout):
            while not await _is_ready(child):
                if child.ended.done():
                    raise ChildFailed(child.name, f"ended with code {child.ended.result()}", child.last_lines())
                await asyncio.wait([child.ended], timeout=_POLL_SECONDS)
    except TimeoutError:
        raise ChildFailed(child.name, f"was not ready after {child.timeout:g} s", child.last_lines()) from None


async def _is_ready(child: _Child) -> bool:
    # A child that is gone is not ready, whoever answers in its place.
    if child.ended.done():
        return False
    if child.ready is None:
        return True
    if callable(child.ready):
        try:
            return await child.ready()
        except (OSError, httpx.HTTPError):
            return False
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=2.0) as client:
            return (await client.get(child.ready)).status_code < httpx.codes.INTERNAL_SERVER_ERROR
    except httpx.HTTPError:
        return False


def _die_with_parent() -> Callable[[], None] | None:
    """What the child does before it becomes the command: asks the kernel to kill it when this process is gone."""
    if not sys.platform.startswith("linux"):
        return None
    # Loaded here: between fork and exec as little as possible may happen.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            # It was gone before the kernel was asked.
            os._exit(1)

    return ask


def free_port(preferred: int, name: str, host: str = "127.0.0.1") -> int:
    """The preferred port, or another one where it is taken, with a line in the log that says so; 0 prefers none.

    It is not reserved: somebody else may take it before the child does.
    """
    if preferred and preferred not in _handed_out and _can_bind(host, preferred):
        _handed_out.add(preferred)
        return preferred
    port = _any_port(host)
    while port in _handed_out:
        port = _any_port(host)
    _handed_out.add(port)
    if preferred:
        _log.warning("port is taken, using another", name=name, taken=preferred, using=port)
    return port


def _can_bind(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do it: a port whose last connections are still winding down is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _any_port(host: str) -> int:
    """One below those that systems give to outgoing connections: none of these takes it while a child is restarted."""
    while True:
        port = secrets.choice(_PORTS)
        if _can_bind(host, port):
            return port
