"""The rules of proof, against worlds in which the truth is known."""

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


def facts(asked: Try, others: list[Try], *, records_complete: bool) -> Facts:
    seen = [one for one in [asked, *others] if one.caused_a_message and one.record_visible]
    known = [one for one in seen if one.joined]
    return Facts(
        messages=len(seen) - len(known),
        attempts=max(1, 1 + len(others) - len(known)),
        records_complete=records_complete,
    )


@given(TRIES, st.lists(TRIES, max_size=6), st.booleans())
def test_a_verdict_is_never_false(asked: Try, others: list[Try], records_complete: bool) -> None:
    asked = Try(asked.caused_a_message, asked.record_visible or records_complete, joined=False)
    verdict = judge(facts(asked, others, records_complete=records_complete))
    if verdict == "taken":
        assert asked.caused_a_message
    if verdict == "not_taken":
        assert not asked.caused_a_message


def test_alone_and_with_complete_records_the_outcome_is_always_found() -> None:
    for caused in (True, False):
        asked = Try(caused, record_visible=True, joined=False)
        assert judge(facts(asked, [], records_complete=True)) == ("taken" if caused else "not_taken")


def test_absence_proves_nothing_before_the_records_are_complete() -> None:
    assert judge(Facts(messages=0, attempts=1, records_complete=False)) == "unknown"


def test_one_message_for_two_lost_answers_proves_nothing() -> None:
    assert judge(Facts(messages=1, attempts=2, records_complete=True)) == "unknown"
