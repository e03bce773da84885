"""`POST /webhooks/iterable/{workspace_id}`: check, keep, answer.

A bare ASGI callable: a framework's request and response objects cost more than all that is done here
(docs/decisions/0010-intake.md has the measurements).
"""

from typing import Any, cast

import orjson
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Message, Receive, Scope, Send

from contracts.errors import ApiCode
from endpoint.intake import Intake, NotKept
from endpoint.metrics import Metrics
from endpoint.tokens import HEADER, WebhookTokens
from iterable.mending import without_halves
from iterable.webhook_event import concerns_email

PATH = "/webhooks/iterable/"
_MOST_EVENTS = 1_000
_RETRY_AFTER_SECONDS = b"5"
_HEADER = HEADER.lower().encode()
_Headers = list[tuple[bytes, bytes]]
_JSON = (b"content-type", b"application/json")
_KEPT: Message = {"type": "http.response.start", "status": 204, "headers": []}
_NO_BODY: Message = {"type": "http.response.body", "body": b""}


class Webhooks:
    """Nothing here builds a model or reads an event's meaning: that happens after the answer."""

    def __init__(self, intake: Intake, tokens: WebhookTokens, metrics: Metrics, max_bytes: int) -> None:
        self._intake = intake
        self._tokens = tokens
        self._metrics = metrics
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """204 once everything is kept; 401, 403, 413, 400 for what can never be, 503 where a repeat helps."""
        if scope["method"] != "POST":
            await self._refuse(send, 405, ApiCode.METHOD_NOT_ALLOWED, "only POST", (b"allow", b"POST"))
            return
        workspace_id: str = scope["path"][len(PATH) :]
        try:
            token = _token(scope)
            if not self._tokens.fitted(workspace_id, token) and not await self._tokens.fit(workspace_id, token):
                self._tokens.count_wrong(workspace_id)
                await self._refuse(send, 401, ApiCode.UNAUTHORISED, "unknown workspace or wrong token")
                return
            if workspace_id in self._tokens.limited and not self._tokens.admits(workspace_id, scope):
                await self._refuse(send, 403, ApiCode.NOT_ALLOWLISTED, "not from this address")
                return
            message = await receive()
            body: bytes | None = message.get("body", b"")
            if message.get("more_body", False) or message["type"] != "http.request":
                body = await self._rest(message, receive)
            if body is None:
                await self._refuse(send, 400, ApiCode.UNREADABLE, "the request broke off")
            elif len(body) > self._max_bytes:
                await self._refuse(send, 413, ApiCode.TOO_LARGE, f"more than {self._max_bytes} bytes")
            else:
                events = self._events(body)
                if events is None:
                    await self._refuse(
                        send, 400, ApiCode.UNREADABLE, f"neither an event nor an array of up to {_MOST_EVENTS}"
                    )
                    return
                if events:
                    await self._intake.keep(workspace_id, events, len(body))
                await send(_KEPT)
                await send(_NO_BODY)
        except (NotKept, SQLAlchemyError):
            await self._refuse(send, 503, ApiCode.NOT_KEPT, "try again", (b"retry-after", _RETRY_AFTER_SECONDS))

    def _events(self, body: bytes) -> list[bytes] | None:
        """What is to be kept of a request; None where it is no event and no array of events. Parsed only to be sure
        that it can be read: what an event says, and whether it was reported before, is the drain's to find out."""
        try:
            found: Any = orjson.loads(body)
        except orjson.JSONDecodeError:
            body = without_halves(body)
            try:
                found = orjson.loads(body)
            except orjson.JSONDecodeError:
                return None
        if type(found) is dict:  # one event in every example of Iterable's; kept as it came
            if concerns_email(cast("dict[str, Any]", found)):
                return [body]
            self._metrics.events_ignored.inc()
            return []
        if not _is_batch(found):
            return None
        events = [orjson.dumps(one) for one in found if concerns_email(one)]
        self._metrics.events_ignored.inc(len(found) - len(events))
        return events

    async def _rest(self, message: Message, receive: Receive) -> bytes | None:
        """A body that comes in parts, read no further than allowed; None where its sender went away. While it is
        read it counts as waiting, so that many slow senders cannot fill the memory."""
        parts: list[bytes] = []
        size = 0
        try:
            while message["type"] == "http.request":
                part: bytes = message.get("body", b"")
                self._intake.reserve(len(part))
                size += len(part)
                parts.append(part)
                if size > self._max_bytes or not message.get("more_body", False):
                    return b"".join(parts)
                message = await receive()
            return None
        finally:
            self._intake.release(size)

    async def _refuse(
        self, send: Send, status: int, code: ApiCode, message: str, header: tuple[bytes, bytes] | None = None
    ) -> None:
        self._metrics.webhooks.labels(code).inc()
        await _answer(send, status, orjson.dumps({"code": code, "message": message}), header)


async def _answer(send: Send, status: int, body: bytes, header: tuple[bytes, bytes] | None = None) -> None:
    headers: _Headers = [_JSON, (b"content-length", b"%d" % len(body))]
    if header is not None:
        headers.append(header)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _token(scope: Scope) -> bytes:
    headers: _Headers = scope["headers"]
    for name, value in headers:
        if name == _HEADER:
            return value
    return b""


def _is_batch(found: Any) -> bool:
    return (
        isinstance(found, list)
        and len(cast("list[Any]", found)) <= _MOST_EVENTS
        and all(isinstance(one, dict) for one in cast("list[Any]", found))
    )
