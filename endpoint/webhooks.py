"""`POST /webhooks/iterable/{workspace_id}`: check, keep, answer."""

from datetime import UTC, datetime
from typing import Any, cast

import orjson
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from endpoint.intake import Intake, NotKept
from endpoint.metrics import Metrics
from endpoint.tokens import HEADER, WebhookTokens
from iterable.webhook_event import concerns_email, occurrence_key
from store.inbox import Arrival
from store.keyring import KeyedHasher

_MOST_EVENTS = 1_000
_RETRY_AFTER_SECONDS = "5"


class Webhooks:
    """Nothing here builds a model or reads an event's meaning: that happens after the answer."""

    def __init__(
        self, intake: Intake, tokens: WebhookTokens, hasher: KeyedHasher, metrics: Metrics, max_bytes: int, shards: int
    ) -> None:
        self._intake = intake
        self._tokens = tokens
        self._hasher = hasher
        self._metrics = metrics
        self._max_bytes = max_bytes
        self._shards = shards

    async def post(self, request: Request) -> Response:
        """200 once everything is kept; 401, 413, 400 for what can never be; 503 where Iterable should try again."""
        workspace_id: str = request.path_params["workspace_id"]
        try:
            if not await self._tokens.fit(workspace_id, request.headers.get(HEADER, "")):
                return self._answer(401, "refused", "unknown workspace or wrong token")
            body = await self._body(request)
            if body is None:
                return self._answer(413, "too_large", f"more than {self._max_bytes} bytes")
            payloads = _payloads(body)
            if payloads is None:
                return self._answer(400, "unreadable", "neither a JSON object nor an array of up to 1000 of them")
            arrivals = self._arrivals(workspace_id, payloads)
            if arrivals:
                await self._intake.keep(arrivals)
        except ClientDisconnect:
            return self._answer(400, "unreadable", "the request broke off")
        except (NotKept, SQLAlchemyError):
            response = self._answer(503, "not_kept", "try again")
            response.headers["Retry-After"] = _RETRY_AFTER_SECONDS
            return response
        self._metrics.webhooks.labels("kept").inc()
        return JSONResponse({"accepted": len(payloads)})

    def _arrivals(self, workspace_id: str, payloads: list[dict[str, Any]]) -> list[Arrival]:
        now = datetime.now(UTC)
        arrivals: list[Arrival] = []
        for payload in payloads:
            if not concerns_email(payload):
                self._metrics.events_ignored.inc()
                continue
            event_id = self._hasher.of_occurrence(occurrence_key(payload))
            arrivals.append(
                Arrival(workspace_id, int(event_id[:8], 16) % self._shards, event_id, orjson.dumps(payload), now)
            )
        self._metrics.events_kept.inc(len(arrivals))
        return arrivals

    async def _body(self, request: Request) -> bytes | None:
        """The body, read no further than allowed."""
        parts: list[bytes] = []
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > self._max_bytes:
                return None
            parts.append(part)
        return b"".join(parts)

    def _answer(self, status: int, result: str, message: str) -> Response:
        self._metrics.webhooks.labels(result).inc()
        return JSONResponse({"code": result, "message": message}, status_code=status)


def _payloads(body: bytes) -> list[dict[str, Any]] | None:
    """One event in every example of Iterable's; an array is taken too."""
    try:
        found: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    listed = cast("list[Any]", found) if isinstance(found, list) else [found]
    if len(listed) > _MOST_EVENTS or not all(isinstance(one, dict) for one in listed):
        return None
    return listed
