"""System webhooks."""

from pydantic import SecretStr

from iterable.client import IterableClient
from tests.iterable.conftest import Wire

HOOK = {
    "id": 4,
    "endpoint": "https://hooks.example.com/x",
    "enabled": True,
    "authType": "NoAuth",
    "blastSendEnabled": False,
    "triggeredSendEnabled": True,
    "channelIds": [1],
    "messageTypeIds": [],
}


async def test_webhooks(client: IterableClient, wire: Wire) -> None:
    wire.answers(json={"webhooks": [HOOK]})
    (hook,) = await client.webhooks.all()
    assert (hook.id, hook.endpoint, hook.enabled, hook.auth_type) == (4, "https://hooks.example.com/x", True, "NoAuth")
    assert (hook.blast_send_enabled, hook.triggered_send_enabled, hook.channel_ids) == (False, True, [1])


async def test_a_change_answers_with_the_webhook(client: IterableClient, wire: Wire) -> None:
    wire.answers(json=HOOK | {"authToken": "t0ken"})
    hook = await client.webhooks.update(4, auth_token=SecretStr("t0ken"))
    assert hook.triggered_send_enabled
    assert "t0ken" not in repr(hook)
