"""HTTP, and nothing of Iterable's meaning. The only file that knows the HTTP library.

Answers one question beyond HTTP: when no status came back, had the request left? `NotConnected` says no for certain;
everything else is `NoAnswer`. A status that did come back counts even if the rest of the answer was lost.

Makes no retries, follows no redirects and keeps no cookies: what a repeat means is for the caller to decide, a redirect
would carry the API key to another address, and the API has no sessions.
"""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ssl import SSLContext

import httpx
from pydantic import SecretStr

from iterable.answer import Answer
from iterable.errors import IterableError, NoAnswer, NotConnected, Refused
from iterable.request import Request, Unsendable
from iterable.timeouts import Timeouts

AsyncTransport = httpx.AsyncBaseTransport
"""What tests put in the network's place."""

USER_AGENT = "genieos-iterable-connector"

_POOLS = 10
_POOL_CONNECTIONS = 10
"""The library looks at all connections of a pool for every request, and asks the kernel about each idle one: with fifty
in one pool that is a quarter of a send's time."""
_KEEP_ALIVE_SECONDS = 4.0
"""An idle connection is dropped before the other side would drop it. If both do at once, a request is written into a
connection that is being closed, and its outcome is unknown although nobody read it. Iterable documents no idle timeout;
the shortest common default of servers and balancers is 5 s (Node.js; nginx 75 s, AWS balancers 60 s). Under load
connections are never idle that long, so this costs a handshake only where it is quiet."""

_BODY_MAX = 64 * 1024 * 1024
"""Bytes of a decoded answer. The longest expected, 200 events with 12,000 characters of data each, is some 3 MB; a
template may be as large as somebody made it."""

_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""DNS, TCP and the TLS handshake all fail as `ConnectError`. `ProxyError` is not here: a proxy may fail half-way."""

_REQUEST_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
"""A UUID, seen in recorded traffic. Nothing else is let into logs and errors."""


def _nothing_below_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


# The library logs each URL at INFO, and URLs hold addresses. A filter, because a level would be overruled by whoever
# sets up logging later. Its lower half logs at DEBUG and without URLs, but with all response headers.
logging.getLogger("httpx").addFilter(_nothing_below_warning)
logging.getLogger("httpcore").setLevel(logging.WARNING)


class HttpTransport:
    """Sends requests of one project to one data center."""

    def __init__(
        self, base_url: str, api_key: SecretStr, timeouts: Timeouts, transport: AsyncTransport | None = None
    ) -> None:
        self._base_url = base_url
        self._headers = {
            "Api-Key": api_key.get_secret_value(),
            "User-Agent": USER_AGENT,
            "Accept": "application/json, */*",
        }
        self._timeouts = timeouts
        self._transport = transport
        self._is_closed = False
        self._pools = [self._new_pool()]

    async def send(self, request: Request) -> Answer:
        """The answer, whatever its status. Raises `NotConnected`, `NoAnswer`, and `Refused` for what HTTP cannot
        carry."""
        pool = self._free_pool(request.operation)
        http_request = self._prepare(pool, request, self._timeouts.read)
        answer: Answer | None = None
        pool.busy += 1
        try:
            async with asyncio.timeout(self._timeouts.total):
                response = await pool.client.send(http_request, stream=True)
                answer = _head(response)
                try:
                    return replace(answer, body=await _body(response))
                finally:
                    await response.aclose()
        except Exception as error:  # noqa: BLE001 - once a request may have left, whatever escapes is unknown
            if answer is not None:
                return answer
            failure = _failure(request.operation, error)
        finally:
            pool.busy -= 1
        # Raised out here, so that it has no context: the library's errors quote URLs and headers.
        raise failure

    async def open(self, request: Request) -> "OpenAnswer":
        """As `send`, but the body is left to be read piece by piece. To be closed."""
        pool = self._free_pool(request.operation)
        http_request = self._prepare(pool, request, self._timeouts.export_read)
        pool.busy += 1
        try:
            return OpenAnswer(request.operation, await pool.client.send(http_request, stream=True), pool)
        except BaseException as error:
            pool.busy -= 1
            if not isinstance(error, Exception):
                raise
            failure = _failure(request.operation, error)
        raise failure

    async def aclose(self) -> None:
        """Closes all connections. Calls under way break off."""
        self._is_closed = True
        for pool in self._pools:
            await pool.client.aclose()

    def _free_pool(self, operation: str) -> "_Pool":
        """The first that has a connection to spare, so that few are kept warm where it is quiet."""
        if self._is_closed:
            raise NotConnected(operation, cause="ClientClosed")
        free = next((pool for pool in self._pools if pool.busy < _POOL_CONNECTIONS), None)
        if free is not None:
            return free
        if len(self._pools) == _POOLS:
            return min(self._pools, key=lambda pool: pool.busy)
        self._pools.append(self._new_pool())
        return self._pools[-1]

    def _new_pool(self) -> "_Pool":
        return _Pool(
            httpx.AsyncClient(
                base_url=self._base_url,
                headers=self._headers,
                cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
                follow_redirects=False,
                limits=httpx.Limits(
                    max_connections=_POOL_CONNECTIONS,
                    max_keepalive_connections=_POOL_CONNECTIONS,
                    keepalive_expiry=_KEEP_ALIVE_SECONDS,
                ),
                transport=self._transport,
                verify=_tls(),
            )
        )

    def _prepare(self, pool: "_Pool", request: Request, read_timeout: float) -> httpx.Request:
        timeouts = self._timeouts
        timeout = httpx.Timeout(connect=timeouts.connect, pool=timeouts.pool, write=timeouts.write, read=read_timeout)
        try:
            content = request.content()
            return pool.client.build_request(
                request.method,
                request.target(),
                params=request.query or None,
                content=content,
                headers=None if content is None else {"Content-Type": "application/json"},
                timeout=timeout,
            )
        except Unsendable as error:
            named = (error.name,)
        except (httpx.InvalidURL, UnicodeError):  # longer than a URL may be, or a lone surrogate in a query
            named = ()
        raise Refused(request.operation, invalid_params=named)


@dataclass
class _Pool:
    """Some connections, and how many of them are in use."""

    client: httpx.AsyncClient
    busy: int = 0


class OpenAnswer:
    """An answer whose status is known and whose body is still under way."""

    def __init__(self, operation: str, response: httpx.Response, pool: _Pool) -> None:
        self.head = _head(response)
        self._operation = operation
        self._response = response
        self._pool: _Pool | None = pool

    async def complete(self) -> Answer:
        """The answer with its body, as far as it came."""
        try:
            return replace(self.head, body=await _body(self._response))
        except Exception:  # noqa: BLE001 - the status stands
            return self.head

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body, piece by piece. Raises `NoAnswer` where it breaks off."""
        try:
            async for piece in self._response.aiter_bytes():
                yield piece
        except Exception as error:  # noqa: BLE001 - as in `send`
            cause = type(error).__name__
        else:
            return
        raise NoAnswer(self._operation, cause=cause, status=self.head.status, request_id=self.head.request_id)

    async def aclose(self) -> None:
        """Gives the connection back, or closes it where the body was not read to its end."""
        if self._pool is not None:
            self._pool.busy -= 1
            self._pool = None
        with suppress(Exception):  # what is known of the request stays known
            await self._response.aclose()


def _head(response: httpx.Response) -> Answer:
    request_id = response.headers.get("Iterable-Request-Id", "")
    return Answer(
        status=response.status_code,
        request_id=request_id if _REQUEST_ID.fullmatch(request_id) else None,
        retry_after=response.headers.get("Retry-After"),
        content_type=response.headers.get("Content-Type", ""),
    )


async def _body(response: httpx.Response) -> bytes | None:
    pieces: list[bytes] = []
    size = 0
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > _BODY_MAX:
            return None
        pieces.append(piece)
    return b"".join(pieces)


def _failure(operation: str, error: Exception) -> IterableError:
    cause = type(error).__name__
    return NotConnected(operation, cause=cause) if isinstance(error, _NEVER_LEFT) else NoAnswer(operation, cause=cause)


@cache
def _tls() -> SSLContext:
    """One for all clients: reading the certificates takes some 20 ms, and there is a client for each workspace."""
    return httpx.create_ssl_context()
