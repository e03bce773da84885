"""The feed: what a reader sees while writers write."""

import asyncio
from datetime import UTC, datetime

from contracts.event import Event, EventKind
from contracts.shadow import Shadow
from store.events import Move, Recorded
from store.keyring import Keyring
from store.sends import TAKEN, Claim
from store.store import Store

WRITERS = 6
BATCHES = 8
NOW = datetime(2026, 1, 2, tzinfo=UTC)


async def test_a_reader_misses_nothing_and_gets_nothing_twice(store: Store) -> None:
    await _read_while_writing(store)


async def test_the_same_on_postgresql_where_transactions_commit_in_any_order(
    postgres_url: str, keyring: Keyring
) -> None:
    store = await Store.open(postgres_url, keyring)
    try:
        await _read_while_writing(store)
    finally:
        await store.close()


async def _read_while_writing(store: Store) -> None:
    async with store.begin() as tx:
        await tx.sends.claim(Claim("acme", "s1", "r", "transactional", "f" * 64, "t" * 64, "h" * 64))
        await tx.sends.begin_attempt("acme", "s1", 1, Shadow(template_id=1, campaign_id=2))
        await tx.sends.end_attempt("acme", "s1", 1, TAKEN)
    written: list[int] = []
    seen: list[str] = []
    done = asyncio.Event()

    async def write(writer: int) -> None:
        for batch in range(BATCHES):
            ids = [f"{writer * 1000 + batch * 10 + n:064x}" for n in range(1 + (writer + batch) % 3)]
            async with store.begin() as tx:
                await tx.feed.lock("acme")
                await tx.events.add("acme", [_recorded(event_id) for event_id in ids])
                links = await tx.events.links("acme", ids)
                moves = [Move(link.id, "s1", firm=True) for link in links]
                cursors = await tx.feed.take("acme", len(moves))
                await tx.events.place("acme", moves, cursors, NOW)
                await asyncio.sleep(0.002 * ((writer * 7 + batch * 3) % 4))  # commits at odd moments
            written.extend(cursors)

    async def read() -> None:
        after = 0
        while True:
            last_round = done.is_set()
            async with store.read() as tx:
                entries = await tx.events.page("acme", after, 3)
            if entries:
                assert [entry.cursor for entry in entries] == list(range(after + 1, after + 1 + len(entries)))
                seen.extend(entry.event.event_id for entry in entries)
                after = entries[-1].cursor
            elif last_round:
                return
            else:
                await asyncio.sleep(0)

    reading = asyncio.create_task(read())
    await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
    done.set()
    await reading
    assert sorted(written) == list(range(1, len(written) + 1))
    assert len(seen) == len(set(seen)) == len(written)


def _recorded(event_id: str) -> Recorded:
    event = Event(event_id=event_id, kind=EventKind.SENT, occurred_at=NOW, message_id="m1")
    return Recorded(event, "s1", 2, "h" * 64, None, NOW, b"{}")
