"""Time that a test moves."""

import asyncio

from sandbox.clock import ManualClock, SystemClock
from sandbox.lagged import Lagged


async def test_sleepers_wake_in_the_order_in_which_they_are_due() -> None:
    clock, woken = ManualClock(start=100), list[str]()

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woken.append(f"{name}@{clock.now():g}")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sleeper("a", 3, 1))
        tasks.create_task(sleeper("b", 1, 1, 5))
        await clock.advance(4)
        assert woken == ["b@101", "b@102", "a@103", "a@104"]
        assert clock.now() == 104
        await clock.advance(10)
    assert woken[-1] == "b@107"


async def test_no_time_is_no_wait() -> None:
    await ManualClock().sleep(0)
    before = SystemClock().now()
    await SystemClock().sleep(-1)
    assert SystemClock().now() - before < 1


def test_a_lagged_value_is_seen_version_by_version() -> None:
    value = Lagged("a", 10)
    assert value.seen(9) is None
    assert value.seen(10) == "a"
    value.write("b", 11, lag=5)
    value.write("c", 12, lag=5)
    assert value.latest == "c"
    assert [value.seen(now) for now in (12, 16, 17)] == ["a", "b", "c"]
