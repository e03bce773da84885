"""Packets: many events in one sealed row, seen one by one."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, select, update

from store.inbox import NOTHING_PASSED, Arrival, Batch
from store.keyring import Keyring, new_key_text, parse_keys
from store.packing import taken_at
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
        waiting = (await tx.inbox.batch("acme", 3, 2000, BYTES)).waiting
        assert await tx.inbox.shards_waiting() == [("acme", 3), ("other", 3)]
    assert [(one.body, one.received_at) for one in waiting] == [(body, NOW) for body in kept["acme"]]


async def test_a_batch_is_bounded_by_events_and_by_bytes_in_whole_packets(store: Store) -> None:
    for _ in range(3):
        await store.keep({"acme": [b"x" * 1000] * 10}, 0)
    for most_events, most_bytes, expected in (
        (1, BYTES, (10, True)),
        (10, BYTES, (10, True)),
        (11, BYTES, (20, True)),
        (30, BYTES, (30, False)),
        (100, BYTES, (30, False)),
        (100, 1, (10, True)),
        (100, 15_000, (20, True)),
    ):
        async with store.read() as tx:
            batch = await tx.inbox.batch("acme", 0, most_events, most_bytes)
        assert (len(batch.waiting), batch.more) == expected


async def test_single_events_are_removed_and_the_packet_goes_with_the_last(store: Store) -> None:
    await store.keep(bodies(10), 0)
    async with store.begin() as tx:
        ids = [one.id for one in (await tx.inbox.batch("acme", 0, 100, BYTES)).waiting]
        await tx.inbox.remove(ids[:4])
    async with store.begin() as tx:
        assert [one.id for one in (await tx.inbox.batch("acme", 0, 100, BYTES)).waiting] == ids[4:]
        assert await tx.inbox.counts("acme") == (6, 0)
        await tx.inbox.remove(ids)
        assert await tx.inbox.counts("acme") == (0, 0)
        assert await tx.inbox.shards_waiting() == []


async def test_one_event_is_set_aside_and_the_others_go_on(store: Store) -> None:
    await store.keep(bodies(3), 0)
    async with store.begin() as tx:
        first, second, third = (await tx.inbox.batch("acme", 0, 100, BYTES)).waiting
        await tx.inbox.set_aside("acme", second.id, "e" * 64, "no eventName")
        await tx.inbox.remove([first.id, third.id])
        assert await tx.inbox.counts("acme") == (0, 1)
        assert await tx.inbox.batch("acme", 0, 100, BYTES) == Batch([], [], more=False)


async def test_erased_events_are_gone_and_the_others_wait_on(store: Store) -> None:
    await store.keep(bodies(3), 0)
    async with store.begin() as tx:
        assert await tx.inbox.erase("acme", lambda body: b'"n":1' in body) == 1
        waiting = (await tx.inbox.batch("acme", 0, 100, BYTES)).waiting
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


async def test_a_packet_that_no_key_opens_is_out_of_the_way_until_its_key_is_back(store: Store) -> None:
    at_home = store._keyring
    store._keyring = Keyring(parse_keys(new_key_text()))  # a process whose key was never given to the others
    await store.keep(bodies(3), 0)
    store._keyring = at_home
    await store.keep(bodies(1), 0)
    async with store.begin() as tx:
        batch = await tx.inbox.batch("acme", 0, 100, BYTES)
        assert (len(batch.waiting), [one.events for one in batch.unopened], batch.more) == (1, [3], False)
        await tx.inbox.set_aside_unopened(batch.unopened[0])
        assert await tx.inbox.batch("acme", 0, 100, BYTES) == Batch(batch.waiting, [], more=False)
        (problem,) = await tx.inbox.problems("acme", 10)
        assert (problem.events, problem.received_at) == (3, None)
        assert "the key ring has no key" in problem.reason
        assert await tx.inbox.counts("acme") == (1, 3)
        assert (await tx.tallies.waiting(), await tx.tallies.set_aside()) == (1, 3)
        assert await tx.inbox.erase("acme", lambda body: True) == 1
        assert await tx.inbox.shards_waiting() == []
        assert await tx.inbox.replay("acme", problem.id - 1) == []
        assert await tx.inbox.replay("acme", problem.id) == [0, 0, 0]
        assert await tx.inbox.problems("acme", 10) == []
        assert await tx.inbox.counts("acme") == (3, 0)


async def test_what_nobody_will_ever_read_can_be_dropped_and_nothing_else(store: Store) -> None:
    at_home, store._keyring = store._keyring, Keyring(parse_keys(new_key_text()))
    await store.keep(bodies(3), 0)
    store._keyring = at_home
    await store.keep(bodies(2), 0)
    async with store.begin() as tx:
        batch = await tx.inbox.batch("acme", 0, 100, BYTES)
        await tx.inbox.set_aside_unopened(batch.unopened[0])
        await tx.inbox.set_aside("acme", batch.waiting[0].id, "e" * 64, "no eventName")
        single, packed = await tx.inbox.problems("acme", 10)
        waits = batch.waiting[1].id
        for workspace_id, id_ in [("acme", waits), ("other", single.id), ("other", packed.id), ("acme", packed.id - 1)]:
            assert await tx.inbox.discard(workspace_id, id_) == 0
        assert await tx.inbox.counts("acme") == (1, 4)
        assert await tx.inbox.discard("acme", packed.id) == 3
        assert await tx.inbox.discard("acme", single.id) == 1
        assert await tx.inbox.counts("acme") == (1, 0)


async def test_what_is_left_lying_for_want_of_its_key_hides_nothing_behind_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_clock", lambda: NOW)
    at_home = store._keyring
    for ring in (at_home, Keyring(parse_keys(new_key_text()))) * 2:
        store._keyring = ring
        await store.keep(bodies(2), 0)
    store._keyring = at_home
    passed, seen, sealed = NOTHING_PASSED, 0, 0
    for _ in range(4):
        async with store.begin() as tx:
            batch = await tx.inbox.batch("acme", 0, 1, BYTES, passed)
            await tx.inbox.remove([one.id for one in batch.waiting])
        seen += len(batch.waiting)
        for one in batch.unopened:
            assert one.key_missing
            assert one.received_at == NOW.replace(microsecond=678_000)
            passed, sealed = passed.beyond(one), sealed + one.events
    assert (seen, sealed, batch.more) == (4, 4, False)


async def test_an_altered_packet_lacks_no_key(store: Store) -> None:
    await store.keep(bodies(1), 0)
    async with store.begin() as tx:
        await tx.inbox._connection.execute(update(packet).values(key="0" * 30))
        [one] = (await tx.inbox.batch("acme", 0, 1, BYTES)).unopened
    assert not one.key_missing


def test_a_key_of_an_older_release_tells_no_time() -> None:
    assert taken_at("f" * 32) is None


async def test_since_when_the_oldest_waits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def since() -> datetime | None:
        async with store.read() as tx:
            return await tx.tallies.waiting_since()

    assert await since() is None
    await store.keep(bodies(1), 0)
    async with store.begin() as tx:
        await tx.inbox._connection.execute(update(packet).values(key="f" * 32))  # an older release's
    assert await since() is None
    async with store.begin() as tx:
        await tx.inbox._connection.execute(delete(packet))
    for moment in (NOW, NOW + timedelta(hours=1)):
        monkeypatch.setattr(store, "_clock", lambda moment=moment: moment)
        await store.keep(bodies(1), 0)
    assert await since() == NOW.replace(microsecond=678_000)
    earlier = NOW - timedelta(hours=1)
    async with store.begin() as tx:
        await tx.inbox.add([Arrival("other", 0, "e" * 64, b"{}", earlier)])
    assert await since() == earlier
