"""Events of a user."""

from datetime import UTC, datetime

from iterable.client import IterableClient
from tests.iterable.conftest import Wire


async def test_events_in_every_shape(client: IterableClient, wire: Wire) -> None:
    sent = {
        "eventType": "emailSend",
        "createdAt": "2017-10-04 22:07:03 +00:00",
        "messageId": "m1",
        "campaignId": "2",
        "templateId": 3,
        "email": "ann@example.com",
        "transactionalData": {"genieos": {"send": "s1"}},
    }
    in_text = {"eventType": "emailSendSkip", "reason": "X", "transactionalData": '{"genieos":{"send":"s2"}}'}
    odd = {"eventType": 7, "createdAt": "soon", "campaignId": {}, "transactionalData": "no JSON"}
    wire.answers(json={"events": [sent, in_text, odd, {}]})

    first, second, third, last = await client.events.for_user(email="ann@example.com")

    assert (first.event_type, first.message_id, first.campaign_id, first.template_id) == ("emailSend", "m1", 2, 3)
    assert first.created_at == datetime(2017, 10, 4, 22, 7, 3, tzinfo=UTC)
    assert first.transactional_data == {"genieos": {"send": "s1"}}
    assert first.fields == sent
    assert second.transactional_data == {"genieos": {"send": "s2"}}
    assert second.fields["reason"] == "X"
    assert (third.event_type, third.created_at, third.campaign_id, third.transactional_data) == (None, None, None, None)
    assert last.fields == {}
    assert "ann" not in repr(first)
