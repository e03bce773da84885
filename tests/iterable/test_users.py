"""Users."""

from datetime import UTC, datetime

import pytest

from iterable.client import IterableClient
from iterable.errors import RecipientForgotten
from tests.iterable.conftest import Wire


async def test_an_unknown_address_is_none(client: IterableClient, wire: Wire) -> None:
    wire.answers(json={})
    assert await client.users.get_by_email("ann@example.com") is None


@pytest.mark.parametrize(
    "body", ["No user with that id exists!", '{"code":"UnknownUserIdError","msg":""}', '{"code":"UnknownEmailError"}']
)
async def test_an_unknown_user_id_is_none(body: str, client: IterableClient, wire: Wire) -> None:
    wire.answers(400, text=body)
    assert await client.users.get_by_user_id("u-1") is None


async def test_a_profile(client: IterableClient, wire: Wire) -> None:
    wire.answers(
        json={
            "user": {
                "email": "ann@example.com",
                "userId": "u-1",
                "dataFields": {
                    "userListIds": [1, 2],
                    "unsubscribedChannelIds": [3],
                    "unsubscribedMessageTypeIds": [4],
                    "subscribedMessageTypeIds": "odd",
                    "name": "Ann",
                },
            }
        }
    )
    user = await client.users.get_by_email("ann@example.com")
    assert user is not None
    assert (user.email, user.user_id, user.data_fields["name"]) == ("ann@example.com", "u-1", "Ann")
    assert (user.list_ids, user.unsubscribed_channel_ids) == ([1, 2], [3])
    assert (user.unsubscribed_message_type_ids, user.subscribed_message_type_ids) == ([4], [])
    assert "ann" not in repr(user).lower()


async def test_sent_messages(client: IterableClient, wire: Wire) -> None:
    wire.answers(
        json={
            "messages": [
                {"messageId": "m1", "campaignId": 2, "templateId": 3, "createdAt": "2017-10-04 22:07:03 +00:00"}
            ]
        }
    )
    (message,) = await client.users.sent_messages(email="ann@example.com")
    assert (message.message_id, message.campaign_id, message.template_id) == ("m1", 2, 3)
    assert message.created_at == datetime(2017, 10, 4, 22, 7, 3, tzinfo=UTC)


async def test_a_forgotten_user_cannot_be_written(client: IterableClient, wire: Wire) -> None:
    wire.answers(409, json={"code": "ForgottenUserError", "msg": "", "params": None})
    with pytest.raises(RecipientForgotten):
        await client.users.update(email="ann@example.com")
