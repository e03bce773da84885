"""The ways in which the API writes a moment."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iterable.dates import parse_epoch_ms, parse_event_time, query_text, send_at_text

MOMENT = datetime(2017, 10, 4, 22, 7, 3, tzinfo=UTC)


def test_each_form() -> None:
    in_tokyo = MOMENT.astimezone(timezone(timedelta(hours=9)))
    assert send_at_text(in_tokyo) == "2017-10-04 22:07:03"
    assert query_text(in_tokyo) == "2017-10-04 22:07:03 +00:00"
    assert parse_epoch_ms(1507154823000) == MOMENT


@pytest.mark.parametrize(
    "text",
    [
        "2017-10-04 22:07:03 +00:00",
        "2017-10-05 07:07:03 +09:00",
        "2017-10-04T22:07:03Z",
        "2017-10-04T22:07:03.000+00:00",
    ],
)
def test_moments_of_events(text: str) -> None:
    assert parse_event_time(text) == MOMENT


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2017-10-04 22:07:03", "2017-10-04", "2017-13-04 22:07:03 +00:00", "0001-01-01 00:00:00 +01:00"],
)
def test_what_is_no_moment_is_not_guessed_at(text: str) -> None:
    with pytest.raises(ValueError, match="not a moment"):
        parse_event_time(text)


@pytest.mark.parametrize("number", [1e300, -1e300, float("nan"), float("inf"), 10**30])
def test_numbers_out_of_range(number: float) -> None:
    with pytest.raises(ValueError, match="not a moment"):
        parse_epoch_ms(number)


def test_a_moment_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="offset"):
        query_text(datetime(2026, 1, 1))  # noqa: DTZ001


@given(st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.timezones()))  # noqa: DTZ001
def test_what_is_written_is_read_back_to_the_second(moment: datetime) -> None:
    try:
        written = query_text(moment)
    except OverflowError:
        return
    assert parse_event_time(written) == moment.astimezone(UTC).replace(microsecond=0)
