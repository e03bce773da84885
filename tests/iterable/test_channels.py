"""Channels and message types: the pair that tells marketing from transactional."""

import pytest

from iterable.client import IterableClient
from iterable.errors import OddAnswer
from tests.iterable.conftest import Wire


async def test_channels_of_media_nobody_declared(client: IterableClient, wire: Wire) -> None:
    wire.answers(
        json={"channels": [{"id": 1, "name": "c", "channelType": "Marketing", "messageMedium": "Pigeon", "x": 1}]}
    )
    (channel,) = await client.channels.all()
    assert (channel.id, channel.name, channel.channel_type, channel.message_medium) == (1, "c", "Marketing", "Pigeon")


async def test_message_types(client: IterableClient, wire: Wire) -> None:
    wire.answers(
        json={
            "messageTypes": [
                {
                    "id": 2,
                    "name": "m",
                    "channelId": 1,
                    "subscriptionPolicy": "OptOut",
                    "frequencyCap": {"days": 1, "messages": 2},
                    "createdAt": 0,
                },
                {"id": 3, "name": "n", "channelId": 1},
            ]
        }
    )
    capped, bare = await client.message_types.all()
    assert (capped.channel_id, capped.subscription_policy) == (1, "OptOut")
    assert capped.frequency_cap is not None
    assert (capped.frequency_cap.days, capped.frequency_cap.messages) == (1, 2)
    assert bare.frequency_cap is None


@pytest.mark.parametrize("body", [b"{}", b"<html>", b"", b"[" * 100_000])
async def test_a_listing_that_cannot_be_read_is_not_an_empty_one(
    body: bytes, client: IterableClient, wire: Wire
) -> None:
    wire.answers(content=body)
    with pytest.raises(OddAnswer):
        await client.channels.all()
