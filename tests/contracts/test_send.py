"""What a request may be, and what a set of events says of a send."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.event import Event, EventKind, in_order
from contracts.send import SendRequest, SendStatus, is_old_news, standing
from contracts.target import FingerprintRequest

START = datetime(2026, 1, 2, 18, 0, tzinfo=UTC)


def event(kind: EventKind, number: int = 0, reason: str | None = None, seconds: int = 0) -> Event:
    return Event(event_id=f"{number:064x}", kind=kind, occurred_at=START + timedelta(seconds=seconds), reason=reason)


EVENTS = st.lists(
    st.builds(
        event,
        st.sampled_from(EventKind),
        st.integers(0, 20),
        st.sampled_from([None, "HardBounce", "FrequencyCapping"]),
        st.integers(0, 3),
    ),
    max_size=12,
    unique_by=lambda e: e.event_id,
)


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        ([], SendStatus.ACCEPTED),
        ([EventKind.UNSUBSCRIBED], SendStatus.ACCEPTED),
        ([EventKind.SENT], SendStatus.SENT),
        ([EventKind.OPENED], SendStatus.SENT),  # proves that the message went out, though its `sent` was lost
        ([EventKind.SENT, EventKind.DELIVERED, EventKind.CLICKED], SendStatus.DELIVERED),
        ([EventKind.SENT, EventKind.BOUNCED], SendStatus.BOUNCED),
        ([EventKind.SENT, EventKind.OPENED, EventKind.COMPLAINED], SendStatus.COMPLAINED),
        ([EventKind.SKIPPED], SendStatus.SKIPPED),
    ],
)
def test_the_furthest_event_decides(kinds: list[EventKind], status: SendStatus) -> None:
    assert standing([event(kind, number) for number, kind in enumerate(kinds)])[0] is status


@given(EVENTS, st.randoms(use_true_random=False))
def test_order_and_repetition_of_arrival_change_nothing(events: list[Event], chance: random.Random) -> None:
    arrived = events + [e for e in events if chance.random() < 0.5]
    chance.shuffle(arrived)
    assert in_order(arrived) == in_order(events)
    assert standing(arrived) == standing(events)


def test_a_reason_is_told_only_where_it_explains_the_status() -> None:
    assert standing([event(EventKind.BOUNCED, reason="HardBounce")]) == (SendStatus.BOUNCED, "HardBounce")
    assert standing([event(EventKind.CLICKED, reason="hosted_unsubscribe_page")]) == (SendStatus.SENT, None)


@given(EVENTS, st.sampled_from(EventKind), st.integers(-3, 6))
def test_old_news_changes_no_standing(events: list[Event], kind: EventKind, seconds: int) -> None:
    before = standing(events)
    if is_old_news(before[0], kind):
        assert standing([*events, event(kind, 99, "why", seconds)]) == before


def test_what_is_old_news() -> None:
    assert is_old_news(SendStatus.SENT, EventKind.OPENED)
    assert is_old_news(SendStatus.BOUNCED, EventKind.SENT)
    assert not is_old_news(SendStatus.ACCEPTED, EventKind.SENT)
    assert not is_old_news(None, EventKind.SENT)
    assert not is_old_news(SendStatus.SENT, EventKind.BOUNCED)


def nested(levels: int) -> SendRequest:
    data: Any = {}
    for level in range(levels - 1):
        data = {"a": data} if level % 2 else {"a": [data]}
    return request_with(data=data)


def request_with(**fields: Any) -> SendRequest:
    request = {"workspace_id": "acme", "send_id": "s", "template_ref": "f" * 64, "recipient": {"email": "a@b.test"}}
    return SendRequest.model_validate({**request, **fields})


def test_what_is_taken_can_be_handed_on() -> None:
    """Pydantic reads JSON of 200 levels; a request that fits, and not what carries it, would be tried for ever."""
    request = FingerprintRequest.of(nested(66), "run")
    assert FingerprintRequest.model_validate_json(request.model_dump_json()) == request
    with pytest.raises(ValidationError, match="nested deeper than 100 levels"):
        nested(70)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
@pytest.mark.parametrize("field", ["data", "metadata", "recipient"])
def test_an_integer_that_a_java_long_does_not_hold_is_refused(field: str, number: int) -> None:
    value: Any = {"order": [{"id": number}]}
    if field == "recipient":
        value = {"email": "a@b.test", "profile": {"id": number}}
    with pytest.raises(ValidationError, match="more than 64 bits: give it as text") as refused:
        request_with(**{field: value})
    assert str(number) not in str(refused.value)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_a_number_that_json_does_not_have_is_refused_where_readers_would_let_it_pass(text: str) -> None:
    request = request_with().model_dump_json().replace('"data":{}', f'"data":{{"price":[{text}]}}')
    with pytest.raises(ValidationError, match="a number is not finite"):
        SendRequest.model_validate_json(request)


def test_integers_of_64_bits_numbers_with_a_point_and_long_ids_as_text_are_taken() -> None:
    data = {"most": 2**63 - 1, "least": -(2**63), "float": 1e30, "id": str(10**30), "yes": True}
    assert request_with(data=data).data == data
