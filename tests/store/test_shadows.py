"""Shadows in the store: none that a send may use is retired, and none that was retired is used again."""

import asyncio
from datetime import UTC, datetime, timedelta

from sqlalchemy import update

from contracts.send import SendStatus
from contracts.shadow import Shadow
from store.sends import Claim
from store.store import Store
from store.tables import broadcast

PAIR = Shadow(template_id=7, campaign_id=8)
F = "f" * 64


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=5)


async def make(store: Store, workspace: str = "acme", fingerprint: str = F, pair: Shadow = PAIR) -> None:
    async with store.begin() as tx:
        await tx.shadows.save_ready(workspace, fingerprint, pair)


async def use(store: Store, workspace: str = "acme", fingerprint: str = F) -> Shadow | None:
    async with store.begin() as tx:
        return await tx.shadows.use(workspace, fingerprint)


async def mark(store: Store, workspace: str = "acme", unused_since: datetime | None = None) -> int:
    async with store.begin() as tx:
        return await tx.shadows.mark_idle(workspace, unused_since or soon())


async def retire(store: Store, workspace: str = "acme") -> tuple[int, int]:
    async with store.begin() as tx:
        return await tx.shadows.retire(workspace, soon())


async def claim(store: Store, send_id: str = "s1", fingerprint: str = F) -> None:
    async with store.begin() as tx:
        await tx.sends.claim(Claim("acme", send_id, "run", "marketing", fingerprint, "t" * 64, "r" * 64))


async def test_what_nobody_uses_is_marked_and_retired_and_its_content_gets_another(store: Store) -> None:
    await make(store)
    assert await mark(store) == 1
    assert await mark(store) == 0
    assert await retire(store) == (1, 0)
    assert await use(store) is None
    async with store.begin() as tx:
        assert [one.campaign_id for one in await tx.shadows.to_archive("acme", 10)] == [8]
        assert await tx.shadows.retired_of(F) == {8}
        await tx.shadows.archived("acme", [8])
        assert await tx.shadows.to_archive("acme", 10) == []
        assert await tx.shadows.count_retired("acme") == (1, 0)
    another = Shadow(template_id=7, campaign_id=9)
    await make(store, pair=another)
    assert await use(store) == another


async def test_what_was_used_lately_is_not_marked(store: Store) -> None:
    await make(store)
    assert await mark(store, unused_since=datetime.now(UTC) - timedelta(minutes=1)) == 0


async def test_a_send_takes_the_mark_off(store: Store) -> None:
    await make(store)
    await mark(store)
    assert await use(store) == PAIR
    assert await retire(store) == (0, 0)
    assert await use(store) == PAIR


async def test_a_mark_that_is_young_holds_nobody(store: Store) -> None:
    await make(store)
    await mark(store)
    async with store.begin() as tx:
        assert await tx.shadows.retire("acme", datetime.now(UTC) - timedelta(minutes=1)) == (0, 0)


async def test_an_open_send_keeps_its_shadow(store: Store) -> None:
    await make(store)
    await claim(store)
    assert await mark(store) == 0
    async with store.begin() as tx:
        await tx.sends.close("acme", "s1", SendStatus.CANCELLED, None)
    assert await mark(store) == 1


async def test_an_open_broadcast_keeps_its_shadow(store: Store) -> None:
    await make(store)
    now = datetime.now(UTC)
    row = {"workspace_id": "acme", "broadcast_id": "b1", "run_id": "r", "request": b"", "wanted": "go"}
    async with store.begin() as tx:
        await tx.shadows._connection.execute(
            broadcast.insert().values(**row, status="paused", campaign_id=8, created_at=now, changed_at=now)
        )
    assert await mark(store) == 0
    async with store.begin() as tx:
        await tx.shadows._connection.execute(update(broadcast).values(status="completed"))
    assert await mark(store) == 1


async def test_a_send_that_looked_it_up_before_the_mark_keeps_it_too(store: Store) -> None:
    await make(store)
    await mark(store)
    await claim(store)  # its transaction began before the mark and ended after it: it took no mark off
    assert await retire(store) == (0, 1)
    assert await use(store) == PAIR


async def test_a_campaign_that_just_took_a_message_is_not_marked(store: Store) -> None:
    await make(store)
    await claim(store)
    async with store.begin() as tx:
        await tx.sends.begin_attempt("acme", "s1", 1, PAIR)
        await tx.sends.accept("acme", "s1", datetime.now(UTC))
    assert await mark(store, unused_since=datetime.now(UTC) - timedelta(seconds=30)) == 0
    assert await mark(store) == 1


async def test_a_campaign_of_two_workspaces_goes_when_both_have_no_use_for_it(store: Store) -> None:
    await make(store, "acme")
    await make(store, "twin")
    assert await mark(store, "acme") == 0
    async with store.begin() as tx:  # the twin's is marked by hand, as if its turn came first
        await tx.shadows.drop("twin", 8)
    assert await mark(store, "acme") == 1
    await make(store, "twin")
    assert await retire(store, "acme") == (0, 1)


async def test_a_send_and_a_retirement_at_once_never_both_have_the_shadow(store: Store) -> None:
    rounds = 15
    for number in range(rounds):
        await make(store, fingerprint=f"{number:064x}", pair=Shadow(template_id=1, campaign_id=100 + number))
    assert await mark(store) == rounds
    async with asyncio.TaskGroup() as tasks:
        used = [tasks.create_task(use(store, fingerprint=f"{number:064x}")) for number in range(rounds)]
        tasks.create_task(retire(store))
    async with store.begin() as tx:
        gone = {one.campaign_id for one in await tx.shadows.to_archive("acme", 100)}
    kept = {shadow.campaign_id for task in used if (shadow := task.result()) is not None}
    assert kept.isdisjoint(gone)
    assert kept | gone == {100 + number for number in range(rounds)}


async def test_pages_and_beginnings(store: Store) -> None:
    for name in ("a", "b", "c"):
        await make(store, fingerprint=name * 64)
    async with store.read() as tx:
        assert [one.fingerprint[0] for one in await tx.shadows.page("acme", "a" * 64, 1)] == ["b"]
        assert [one.fingerprint[0] for one in await tx.shadows.beginning_with("acme", "c")] == ["c"]
        assert len(await tx.shadows.beginning_with("acme", "")) == 2
        assert await tx.shadows.beginning_with("acme", "%") == []
