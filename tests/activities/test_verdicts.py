"""What ends mean for a broadcast's rows: a doubt is told, whatever else comes of a row."""

from datetime import UTC, datetime

import pytest

from activities.departures import Ended, Row
from activities.inquiry import Finding
from activities.verdicts import Verdicts
from contracts.broadcast import AudienceRow
from contracts.connector import ConnectorSettings
from contracts.errors import ErrorCode
from contracts.send import Recipient, SendStatus
from contracts.target import Pace
from iterable.errors import Refused
from store.held import Held

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PACE = Pace.of(ConnectorSettings(data_center="us", marketing_message_type_id=1), "marketing")
ANN = AudienceRow(recipient=Recipient(email="ann@example.com"))


def row(excused: int) -> Row:
    held = Held(1, "s", "h" * 64, "waiting", "waiting", None, ANN, NOW, NOW, excused=excused)
    return Row(1, "s", "h" * 64, ANN, held=held)


@pytest.mark.parametrize(
    ("excused", "told"),
    [(0, (SendStatus.SUPPRESSED, "suppressed")), (1, (SendStatus.FAILED, "failed:outcome_unknown"))],
)
def test_who_is_suppressed_after_a_lost_answer_is_not_said_to_have_got_nothing(
    excused: int, told: tuple[SendStatus, str]
) -> None:
    verdicts, one = Verdicts(PACE), row(excused)
    verdicts.suppress(one)
    assert ([status for _, status, _ in verdicts.closed], verdicts.counted[one]) == ([told[0]], told[1])


def test_a_refusal_after_a_lost_answer_leaves_the_doubt() -> None:
    verdicts, one = Verdicts(PACE), row(1)
    verdicts.add(Ended(one, Refused("POST /api/email/target", status=400), NOW))
    assert verdicts.held[-1].reason == ErrorCode.OUTCOME_UNKNOWN


def test_what_is_proven_not_to_have_been_taken_is_no_doubt_any_more() -> None:
    verdicts, one = Verdicts(PACE), row(1)
    verdicts.found(one, Finding("not_taken"))
    assert verdicts.held[-1].excused == 0
