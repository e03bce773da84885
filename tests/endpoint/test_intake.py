"""The intake under pressure: what may wait is bounded, and what cannot be kept is said to be so."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from starlette.types import Message, Scope
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from endpoint import intake as intake_module
from endpoint.intake import Intake, NotKept
from endpoint.metrics import Metrics
from endpoint.webhooks import PATH, Webhooks

EVENT = b'{"eventName": "emailOpen", "text": "%s"}'
MOST_BYTES = 10_000


class SlowStore:
    """Takes events only once `opened` is set."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.kept: list[bytes] = []

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[Any]:
        async def nothing() -> list[Any]:
            return []

        yield SimpleNamespace(inbox=SimpleNamespace(shards_waiting=nothing))

    async def keep(self, bodies: Mapping[str, Sequence[bytes]], shard: int) -> None:
        del shard
        await self.opened.wait()
        self.kept += [body for some in bodies.values() for body in some]


class AnyToken:
    """Everybody may post."""

    limited: ClassVar[dict[str, object]] = {}

    def fitted(self, workspace_id: str, token: bytes) -> bool:
        return bool(workspace_id) or bool(token)


@pytest.fixture
async def store() -> SlowStore:
    return SlowStore()


@pytest.fixture
async def intake(store: SlowStore, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Intake]:
    monkeypatch.setattr(intake_module, "_MOST_WAITING_BYTES", MOST_BYTES)
    monkeypatch.setattr(intake_module, "_MOST_WAITING", 20)
    monkeypatch.setattr(intake_module, "_DRAIN_SECONDS", 0.1)
    away = await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter)
    intake = Intake(store, away, "iterable", 1, Metrics())  # pyright: ignore[reportArgumentType]
    await intake.start()
    yield intake
    await intake.drain()


class Posting:
    """One webhook: its parts go in one by one, its answer comes out."""

    def __init__(self, intake: Intake) -> None:
        webhooks = Webhooks(intake, AnyToken(), Metrics(), MOST_BYTES)  # pyright: ignore[reportArgumentType]
        self.parts: asyncio.Queue[Message] = asyncio.Queue()
        self.answer: Message = {}
        scope: Scope = {"type": "http", "method": "POST", "path": f"{PATH}acme", "headers": []}
        self.task = asyncio.create_task(webhooks(scope, self.parts.get, self._send))  # pyright: ignore[reportArgumentType]

    def part(self, body: bytes, *, more: bool = False) -> None:
        self.parts.put_nowait({"type": "http.request", "body": body, "more_body": more})

    async def status(self) -> int:
        await asyncio.wait_for(self.task, 60)
        return self.answer["status"]

    async def _send(self, message: Message) -> None:
        self.answer = message if "status" in message else self.answer


def posted(intake: Intake, size: int) -> Posting:
    posting = Posting(intake)
    posting.part(EVENT % (b"x" * size))
    return posting


async def turns() -> None:
    """Everything that can go on has."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_more_bytes_than_may_wait_are_refused_until_some_are_kept(intake: Intake, store: SlowStore) -> None:
    waiting = [posted(intake, 2_900) for _ in range(3)]
    await turns()
    refused = posted(intake, 2_900)
    assert await refused.status() == 503
    assert int(dict(refused.answer["headers"])[b"retry-after"]) > 0
    store.opened.set()
    assert [await one.status() for one in waiting] == [204] * 3
    assert await posted(intake, 2_900).status() == 204
    assert len(store.kept) == 4


async def test_bodies_that_are_still_coming_in_count_as_well(intake: Intake, store: SlowStore) -> None:
    store.opened.set()
    slow = Posting(intake)
    slow.part(b'{"text": "' + b"x" * 8_000, more=True)
    await turns()
    assert await posted(intake, 2_900).status() == 503
    slow.parts.put_nowait({"type": "http.disconnect"})
    assert await slow.status() == 400
    assert await posted(intake, 2_900).status() == 204


async def test_more_requests_than_may_wait_are_refused(intake: Intake, store: SlowStore) -> None:
    waiting = [posted(intake, 1) for _ in range(20)]
    await turns()
    assert await posted(intake, 1).status() == 503
    store.opened.set()
    assert [await one.status() for one in waiting] == [204] * 20


async def test_draining_keeps_what_waits(intake: Intake, store: SlowStore) -> None:
    waiting = [posted(intake, 1) for _ in range(5)]
    await turns()
    draining = asyncio.create_task(intake.drain())
    await turns()
    store.opened.set()
    await draining
    assert [await one.status() for one in waiting] == [204] * 5
    assert len(store.kept) == 5
    with pytest.raises(NotKept):
        intake.keep("acme", [b"{}"], 2)


async def test_draining_ends_in_time_and_tells_who_was_not_kept(intake: Intake, store: SlowStore) -> None:
    first = posted(intake, 1)
    await turns()
    second = posted(intake, 1)  # waits behind a commit that does not end
    await turns()
    await asyncio.wait_for(intake.drain(), 60)
    assert [await first.status(), await second.status()] == [503, 503]
    assert store.kept == []
