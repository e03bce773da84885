"""Rows and values that go to a database as one parameter come back as they were, on both engines."""

from datetime import UTC, datetime

from contracts.event import Event, EventKind
from store.events import Place, Recorded
from store.store import Store

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ODD = 'a "b" \\ \' {} , \n\t é 😀 \u2028 null NULL'


def recorded(event_id: str, message_id: str | None, reason: str | None, campaign_id: int | None) -> Recorded:
    event = Event(event_id=event_id, kind=EventKind.BOUNCED, occurred_at=NOW, message_id=message_id, reason=reason)
    return Recorded(event, None, campaign_id, "h" * 64, None, NOW, b"\x00\xff{}")


async def test_values_of_every_kind(store: Store) -> None:
    one, two = "1" * 64, "2" * 64
    async with store.begin() as tx:
        await tx.events.add(
            "acme",
            [recorded(one, ODD, ODD, 2**62), recorded(two, None, None, None)],
            {one: Place(ODD, 7, to_tell=True)},
        )
    async with store.read() as tx:
        first, second = sorted(await tx.events.links("acme", [one, two, "3" * 64]), key=lambda link: link.event_id)
        timeline = (await tx.events.of_sends("acme", [ODD]))[ODD]
        assert [event.reason for event in timeline] == [ODD]
        assert await tx.events.links("acme", []) == []
    assert (first.message_id, first.campaign_id, first.send_id, first.firm) == (ODD, 2**62, ODD, True)
    assert (second.message_id, second.campaign_id, second.send_id, second.firm) == (None, None, None, False)
    assert first.occurred_at == NOW


async def test_a_value_that_is_too_long_for_a_column_is_not_cut_and_found(store: Store) -> None:
    async with store.begin() as tx:
        await tx.events.add("acme", [recorded("e" * 64, "m", None, 1)])
    async with store.read() as tx:
        assert await tx.events.links("acme", ["e" * 65]) == []
        assert len(await tx.events.links("acme", ["e" * 64])) == 1
