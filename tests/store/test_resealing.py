"""Rotating the master key: everything that is sealed opens with the new key alone afterwards."""

from pydantic import SecretStr
from sqlalchemy import LargeBinary

from contracts.connector import ConnectorSettings
from contracts.template import Template
from store.keyring import Keyring, new_key_text, parse_keys
from store.resealing import SEALED
from store.store import Store
from store.tables import metadata

NOT_SEALED = {"packet.gone"}
SEALED_TEXT = {"push.url", "connector.settings"}
SETTINGS = ConnectorSettings(data_center="us")
TEMPLATE = Template(template_id="t", name="n", subject="s", html="<p>x</p>", from_email="a@b.test")


def test_every_sealed_column_is_known() -> None:
    """A column that is forgotten here would be lost with the old key."""
    binary = {
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary)
    }
    assert {one.name for one in SEALED} | NOT_SEALED == binary | SEALED_TEXT


async def _fill(store: Store, templates: int = 450) -> None:
    async with store.begin() as tx:
        await tx.connectors.offer("acme", SETTINGS, SecretStr("key-1"))
        await tx.webhooks.hand_over("acme", SecretStr("token"))
        for number in range(templates):
            await tx.templates.put("acme", f"{number:064x}", TEMPLATE)
        await tx.pushes.set_receiver("acme", "https://x.test", SecretStr("whsec_x"), 0)


async def _open(url: str, *keys: str) -> Store:
    return await Store.open(url, Keyring(parse_keys("".join(keys))))


async def test_after_it_the_old_key_is_not_needed(database_url: str) -> None:
    old, new = new_key_text(), new_key_text()
    first = await _open(database_url, old)
    await _fill(first)
    who = first.hasher.of_email("ann@example.com")
    await first.close()

    both = await _open(database_url, new, old)
    assert dict((await both.reseal()).done) == {
        "secret.sealed": 1,
        "connector.pending_api_key": 1,
        "connector.settings": 1,
        "connector.pending_webhook_token": 1,
        "push.secret": 1,
        "push.url": 1,
        "template.content": 450,  # more than a batch
    }
    assert not (await both.reseal()).done  # nothing is left to do
    await both.close()

    after = await _open(database_url, new)
    assert after.hasher.of_email("ann@example.com") == who
    async with after.read() as tx:
        offered = await tx.connectors.offered_key("acme")
        assert offered is not None
        assert offered.api_key == SecretStr("key-1")
        assert await tx.webhooks.handed_over("acme") == SecretStr("token")
        assert await tx.templates.get("acme", f"{449:064x}") == TEMPLATE
        receiver = await tx.pushes.get("acme")
        assert receiver is not None
        assert receiver.secret == SecretStr("whsec_x")
    await after.close()


async def test_what_no_key_opens_is_counted_and_left_alone(database_url: str) -> None:
    old, lost, new = new_key_text(), new_key_text(), new_key_text()
    store = await _open(database_url, old)
    await store.close()
    store = await _open(database_url, lost, old)
    await _fill(store, templates=1)
    await store.close()
    store = await _open(database_url, new, old)
    done = await store.reseal()
    assert done.done == {"secret.sealed": 1}
    assert done.unreadable == {
        "connector.pending_api_key": 1,
        "connector.settings": 1,
        "connector.pending_webhook_token": 1,
        "push.secret": 1,
        "push.url": 1,
        "template.content": 1,
    }
    await store.close()
    store = await _open(database_url, new, lost)
    async with store.read() as tx:
        assert await tx.webhooks.handed_over("acme") == SecretStr("token")
    await store.close()
