"""The courier: posts webhooks, as badly as it is told to.

Source: Iterable help centre: one JSON object a request, retries of failures, no guarantee. Number and spacing of
retries, order and duplicates are documented nowhere; a project's settings decide.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import orjson

from sandbox.clock import Clock
from sandbox.events import Event
from sandbox.outbox import Message
from sandbox.project import Project
from sandbox.webhooks import Webhook, payload

Spawn = Callable[[Coroutine[Any, Any, None]], None]


class Courier:
    """Delivers in the background; at most `concurrency` requests are under way at once."""

    def __init__(
        self, clock: Clock, transport: httpx.AsyncBaseTransport | None, concurrency: int, spawn: Spawn
    ) -> None:
        self._clock = clock
        self._transport = transport
        self._spawn = spawn
        self._under_way = asyncio.Semaphore(concurrency)
        self._client: httpx.AsyncClient | None = None

    def post(self, project: Project, event: Event, message: Message | None) -> None:
        """Hands an event, of a message if it is one's, to every webhook of the project that wants it."""
        wanting = [webhook for webhook in project.webhooks.values() if webhook.wants(event)]
        if not wanting:
            return
        metadata = None if message is None or message.metadata is None else dict(message.metadata)
        body = orjson.dumps(payload(event, metadata, project.settings.metadata_place))
        named = message if "transactionalData" in event.fields else None
        for webhook in wanting:
            self._post_to(project, webhook, event, body, named)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    def _post_to(self, project: Project, webhook: Webhook, event: Event, body: bytes, named: Message | None) -> None:
        delivery, rng = project.settings.delivery, project.delivery_rng
        if rng.random() < delivery.drop:
            project.deliveries["dropped"] += 1
            return
        copies = 2 if rng.random() < delivery.duplicate else 1
        for _ in range(copies):
            wait = delivery.event_delay_seconds + delivery.delay_seconds
            if delivery.reorder:
                wait += rng.uniform(0, 4 * max(delivery.event_delay_seconds, 0.05))
            project.deliveries["pending"] += 1
            self._spawn(self._deliver(project, webhook, webhook.url(event), body, wait, named))

    async def _deliver(
        self, project: Project, webhook: Webhook, url: str, body: bytes, wait: float, named: Message | None
    ) -> None:
        await self._clock.sleep(wait)
        retries = project.settings.webhook_retries
        backoff = retries.backoff_seconds
        for attempt in range(1, retries.attempts + 1):
            if await self._attempt(project, webhook, url, body, retries.timeout_seconds):
                project.deliveries["sent"] += 1
                if named is not None and named.named_at is None:
                    named.named_at = self._clock.now()
                break
            if attempt < retries.attempts:
                project.deliveries["retried"] += 1
                await self._clock.sleep(backoff)
                backoff = min(backoff * 2, retries.backoff_max_seconds)
        else:
            project.deliveries["failed"] += 1
        project.deliveries["pending"] -= 1

    async def _attempt(self, project: Project, webhook: Webhook, url: str, body: bytes, timeout: float) -> bool:  # noqa: ASYNC109 - httpx keeps it
        headers = webhook.request_headers(basic_sends_scheme=project.settings.basic_auth_sends_scheme)
        async with self._under_way:
            try:
                answer = await self._http().post(url, content=body, headers=headers, timeout=timeout)
            except (httpx.HTTPError, httpx.InvalidURL):
                return False
        return answer.is_success

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            # No proxy from the environment: a webhook goes to the endpoint that was set up, and nowhere else.
            self._client = httpx.AsyncClient(transport=self._transport, trust_env=False)
        return self._client
