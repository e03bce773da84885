"""Makes calls: sends a request, turns what is no success into an error, and leaves one line of log for each."""

import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import structlog

from iterable.answer import A, Answer
from iterable.classification import error_of
from iterable.errors import IterableError, OddAnswer
from iterable.request import Request
from iterable.transport import HttpTransport, OpenAnswer

T = TypeVar("T")

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_LINE_MAX = 8 * 1024 * 1024
"""Bytes of one line of an export. A line is one event or profile; longer than this it is no line."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call, for logs and metrics. Holds nothing personal or secret."""

    operation: str
    """Method and path template: few values, fit for a metric's label."""
    outcome: str
    """`taken`, the name of the error's class, or `abandoned` where the caller stopped waiting."""
    status: int | None
    code: str | None
    request_id: str | None
    duration_ms: float


OnCall = Callable[[CallRecord], None]


class Calls:
    """What every resource makes its calls through."""

    def __init__(self, transport: HttpTransport, on_call: OnCall | None = None) -> None:
        self._transport = transport
        self._on_call = on_call

    async def take(self, request: Request) -> Answer:
        """For a call whose success is its 2xx, whatever the body. Raises `IterableError`."""
        return await self.read(request, lambda answer: answer)

    async def get(self, request: Request, model: type[A]) -> A:
        """For a call whose answer is wanted: a 2xx that cannot be read is an `OddAnswer`. Raises `IterableError`."""
        return await self.read(request, lambda answer: answer.read(model))

    async def read(self, request: Request, reader: Callable[[Answer], T | None]) -> T:
        """As `get`, with a reader of one's own, which answers None for what it cannot read."""
        with self._recorded(request) as record:
            answer = await self._transport.send(request)
            record(answer)
            error = error_of(request, answer)
            if error is not None:
                raise error
            value = reader(answer)
            if value is None:
                raise odd_answer(request, answer)
            return value

    async def lines(self, request: Request, reader: Callable[[bytes], T | None]) -> AsyncGenerator[T, None]:
        """The lines of a streamed answer, as read; the empty ones left out. Raises `IterableError`, also in between."""
        with self._recorded(request) as record:
            opened = await self._transport.open(request)
            try:
                record(opened.head)
                error = None if opened.head.taken else error_of(request, await opened.complete())
                if error is not None:
                    raise error
                async with aclosing(_lines(request, opened)) as lines:
                    async for line in lines:
                        value = reader(line)
                        if value is None:
                            raise odd_answer(request, opened.head)
                        yield value
            finally:
                await opened.aclose()

    @contextmanager
    def _recorded(self, request: Request) -> Generator[Callable[[Answer], None]]:
        started = time.perf_counter()
        heard = Answer(status=0)
        outcome, code = "abandoned", None

        def record(answer: Answer) -> None:
            nonlocal heard
            heard = answer

        try:
            yield record
            outcome = "taken"
        except IterableError as error:
            outcome, code = type(error).__name__, error.code
            raise
        finally:
            self._report(
                CallRecord(
                    operation=request.operation,
                    outcome=outcome,
                    status=heard.status or None,
                    code=code,
                    request_id=heard.request_id,
                    duration_ms=round((time.perf_counter() - started) * 1000, 1),
                )
            )

    def _report(self, record: CallRecord) -> None:
        log.info(
            "iterable.call",
            operation=record.operation,
            outcome=record.outcome,
            status=record.status,
            code=record.code,
            request_id=record.request_id,
            duration_ms=record.duration_ms,
        )
        if self._on_call is None:
            return
        try:
            self._on_call(record)
        except Exception as error:  # noqa: BLE001 - a metric that fails must not make a taken send look failed
            log.warning("iterable.on_call_failed", error=type(error).__name__)


def odd_answer(request: Request, answer: Answer) -> OddAnswer:
    """A 2xx without what was asked for."""
    return OddAnswer(request.operation, status=answer.status, request_id=answer.request_id)


async def _lines(request: Request, opened: OpenAnswer) -> AsyncGenerator[bytes, None]:
    """Splits at line feeds only. The HTTP library's own splitting also splits at what JSON allows within a text."""
    rest = b""
    async with aclosing(opened.pieces()) as pieces:
        async for piece in pieces:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.strip():
                    yield line
            if len(rest) > _LINE_MAX:
                raise odd_answer(request, opened.head)
    if rest.strip():
        yield rest
