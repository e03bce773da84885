"""Packets: many events in one sealed row, seen one by one."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from store.store import Store
from store.tables import packet

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

BYTES = 4 * 1024 * 1024


def bodies(count: int, workspace_id: str = "acme") -> dict[str, list[bytes]]:
    return {workspace_id: [b'{"n":%d,"email":"ann@example.com"}' % n for n in range(count)]}


async def test_what_was_kept_comes_back_as_it_came(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_clock", lambda: NOW)
    kept = bodies(1200) | bodies(1, "other")
    await store.keep(kept, 3)
    async with store.read() as tx:
        waiting = (await tx.inbox.batch("acme", 3, 2000, BYTES))[0]
        assert await tx.inbox.shards_waiting() == [("acme", 3), ("other", 3)]
    assert [(one.body, one.received_at) for one in waiting] == [(body, NOW) for body in kept["acme"]]


async def test_a_batch_with_less_than_was_asked_for_is_all_there_is(store: Store) -> None:
    for _ in range(3):
        await store.keep(bodies(10), 0)
    async with store.read() as tx:
        assert [len((await tx.inbox.batch("acme", 0, limit, BYTES))[0]) for limit in (1, 10, 11, 100)] == [
            10,
            10,
            20,
            30,
        ]


async def test_single_events_are_removed_and_the_packet_goes_with_the_last(store: Store) -> None:
    await store.keep(bodies(10), 0)
    async with store.begin() as tx:
        ids = [one.id for one in (await tx.inbox.batch("acme", 0, 100, BYTES))[0]]
        await tx.inbox.remove(ids[:4])
    async with store.begin() as tx:
        assert [one.id for one in (await tx.inbox.batch("acme", 0, 100, BYTES))[0]] == ids[4:]
        assert await tx.inbox.counts("acme") == (6, 0)
        await tx.inbox.remove(ids)
        assert await tx.inbox.counts("acme") == (0, 0)
        assert await tx.inbox.shards_waiting() == []


async def test_one_event_is_set_aside_and_the_others_go_on(store: Store) -> None:
    await store.keep(bodies(3), 0)
    async with store.begin() as tx:
        first, second, third = (await tx.inbox.batch("acme", 0, 100, BYTES))[0]
        await tx.inbox.set_aside("acme", second.id, "e" * 64, "no eventName")
        await tx.inbox.remove([first.id, third.id])
        assert await tx.inbox.counts("acme") == (0, 1)
        assert await tx.inbox.batch("acme", 0, 100, BYTES) == ([], False)


async def test_erased_events_are_gone_and_the_others_wait_on(store: Store) -> None:
    await store.keep(bodies(3), 0)
    async with store.begin() as tx:
        assert await tx.inbox.erase("acme", lambda body: b'"n":1' in body) == 1
        waiting = (await tx.inbox.batch("acme", 0, 100, BYTES))[0]
        assert await tx.inbox.counts("acme") == (2, 0)
        assert await tx.inbox.erase("acme", lambda body: True) == 2
        assert await tx.inbox.shards_waiting() == []
    assert [one.body for one in waiting] == [bodies(3)["acme"][0], bodies(3)["acme"][2]]


async def test_a_packet_shows_nobodys_address(store: Store) -> None:
    await store.keep(bodies(3), 0)
    async with store.read() as tx:
        body = await tx.inbox._connection.scalar(select(packet.c.body))
    assert body is not None
    assert b"ann@" not in body
