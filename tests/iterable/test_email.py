"""Sending."""

from typing import Any

import pytest

from iterable.client import IterableClient
from iterable.email import TargetEmail
from tests.iterable.conftest import REQUEST_ID, Wire

MESSAGE = TargetEmail(campaign_id=1, recipient_email="ann@example.com")


@pytest.mark.parametrize(
    ("params", "number"),
    [
        ({"scheduledMessageId": 891073993}, 891073993),
        ({"scheduledMessageId": "891"}, None),
        ({"scheduledMessageId": True}, None),
        ({}, None),
        (None, None),
        ([1], None),
    ],
)
async def test_the_id_of_a_scheduled_message(
    params: Any, number: int | None, client: IterableClient, wire: Wire
) -> None:
    wire.answers(json={"msg": "Campaign 1 - Scheduled", "code": "Success", "params": params})
    taken = await client.email.target(MESSAGE)
    assert (taken.request_id, taken.scheduled_message_id) == (REQUEST_ID, number)
