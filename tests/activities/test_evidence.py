"""The rules of proof, against worlds in which the truth is known. How facts are gathered: `test_outcome.py`."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from activities.evidence import Facts, judge


@dataclass(frozen=True)
class Try:
    """One attempt as it really was, and what of it can be seen."""

    caused_a_message: bool
    record_visible: bool
    """Whether its message is in Iterable's records already."""
    joined: bool
    """Whether an event has joined its message to its send."""


TRIES = st.builds(Try, st.booleans(), st.booleans(), st.booleans())


def facts(own: list[Try], others: list[Try], *, records_complete: bool) -> Facts:
    explained = [one for one in others if one.caused_a_message and one.joined]
    seen = [one for one in [*own, *others] if one.caused_a_message and one.record_visible and one not in explained]
    return Facts(messages=len(seen), others=len(others) - len(explained), records_complete=records_complete)


@given(st.lists(TRIES, min_size=1, max_size=3), st.lists(TRIES, max_size=6), st.booleans())
def test_a_verdict_is_never_false(own: list[Try], others: list[Try], records_complete: bool) -> None:
    own = [Try(one.caused_a_message, one.record_visible or records_complete, joined=False) for one in own]
    verdict = judge(facts(own, others, records_complete=records_complete))
    if verdict == "taken":
        assert any(one.caused_a_message for one in own)
    if verdict == "not_taken":
        assert not any(one.caused_a_message for one in own)


@given(st.lists(st.booleans(), min_size=1, max_size=3))
def test_alone_and_with_complete_records_the_outcome_is_always_found(caused: list[bool]) -> None:
    own = [Try(one, record_visible=True, joined=False) for one in caused]
    assert judge(facts(own, [], records_complete=True)) == ("taken" if any(caused) else "not_taken")


def test_absence_proves_nothing_before_the_records_are_complete() -> None:
    assert judge(Facts(messages=0, others=0, records_complete=False)) == "unknown"


def test_one_message_that_two_sends_may_have_caused_proves_nothing() -> None:
    assert judge(Facts(messages=1, others=1, records_complete=True)) == "unknown"
