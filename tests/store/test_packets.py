"""Packets: many events in one sealed row, seen one by one."""

from datetime import UTC, datetime

from sqlalchemy import select

from store.arrival import Arrival
from store.store import Store
from store.tables import packet

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

BYTES = 4 * 1024 * 1024


def arrivals(count: int, shard: int = 0) -> list[Arrival]:
    return [Arrival("acme", shard, f"{n:064x}", b'{"n":%d,"email":"ann@example.com"}' % n, NOW) for n in range(count)]


async def test_what_was_kept_comes_back_as_it_came(store: Store) -> None:
    kept = arrivals(1200)
    await store.keep(kept)
    async with store.read() as tx:
        waiting = (await tx.inbox.batch("acme", 0, 2000, BYTES))[0]
        assert await tx.inbox.shards_waiting() == [("acme", 0)]
    assert [(w.event_id, w.body, w.received_at) for w in waiting] == [(a.event_id, a.body, a.received_at) for a in kept]


async def test_a_batch_with_less_than_was_asked_for_is_all_there_is(store: Store) -> None:
    for _ in range(3):
        await store.keep(arrivals(10))
    async with store.read() as tx:
        assert [len((await tx.inbox.batch("acme", 0, limit, BYTES))[0]) for limit in (1, 10, 11, 100)] == [
            10,
            10,
            20,
            30,
        ]


async def test_single_events_are_removed_and_the_packet_goes_with_the_last(store: Store) -> None:
    await store.keep(arrivals(10))
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
    await store.keep(arrivals(3))
    async with store.begin() as tx:
        first, second, third = (await tx.inbox.batch("acme", 0, 100, BYTES))[0]
        await tx.inbox.set_aside(second.id, "no eventName")
        await tx.inbox.remove([first.id, third.id])
        assert await tx.inbox.counts("acme") == (0, 1)
        assert await tx.inbox.batch("acme", 0, 100, BYTES) == ([], False)


async def test_unpacked_events_wait_one_by_one(store: Store) -> None:
    await store.keep(arrivals(3))
    async with store.begin() as tx:
        await tx.inbox.unpack("acme")
        waiting = (await tx.inbox.batch("acme", 0, 100, BYTES))[0]
    assert len(waiting) == 3
    assert all(one.id > 0 for one in waiting)


async def test_a_packet_shows_nobodys_address(store: Store) -> None:
    await store.keep(arrivals(3))
    async with store.read() as tx:
        body = await tx.inbox._connection.scalar(select(packet.c.body))
    assert body is not None
    assert b"ann@" not in body
