"""A broadcast's own rate, on a clock of the test's: whatever stalls, no second sees more than the rate."""

from hypothesis import given
from hypothesis import strategies as st

from activities.departures import OwnRate

STALLS = st.lists(st.tuples(st.integers(0, 400), st.floats(0, 0.8)), max_size=12)


@given(st.sampled_from([1.0, 7.5, 60.0, 200.0]), STALLS)
def test_no_second_sees_more_than_the_rate(rate: float, stalls: list[tuple[int, float]]) -> None:
    left = leave(rate, 400, dict(stalls))
    most = int(rate)
    assert all(left[n + most] - left[n] >= 1.0 - 1e-6 for n in range(len(left) - most))


@given(st.lists(st.floats(0, 0.15), max_size=12))
def test_what_short_stalls_cost_is_nearly_caught_up(stalls: list[float]) -> None:
    short = {150 * number: seconds for number, seconds in enumerate(stalls)}
    left = leave(200.0, 2000, short)
    assert 0.95 <= 2000 / (left[-1] - left[0]) / 200 <= 1.0


def leave(rate: float, count: int, stalls: dict[int, float]) -> list[float]:
    """When requests leave, asked for as a lane does, where the loop stands still before some of them."""
    own, now, left = OwnRate(), 1000.0, list[float]()
    own.set(rate)
    while len(left) < count:
        allowed, wait = own.allowed(now, 50, 0.1)
        if not allowed:
            now += wait
            continue
        for at in [own.departs(now, now) for _ in range(allowed)]:
            now = max(now, at) + stalls.get(len(left), 0.0)
            while (wait := own.leaves(now)) > 0:
                now += wait
            left.append(now)
    return left
