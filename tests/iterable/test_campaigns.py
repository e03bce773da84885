"""Campaigns."""

from datetime import UTC, datetime
from typing import Any

import pytest

from iterable.client import IterableClient
from iterable.errors import OddAnswer
from tests.iterable.conftest import Wire


def campaign(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"c{number}",
        "type": "Triggered",
        "campaignState": "Running",
        "createdAt": 1000,
    } | more


def page(numbers: range | list[int], *, more: bool) -> dict[str, Any]:
    following = {"nextPageUrl": "https://elsewhere.example/api/campaigns?page=666"} if more else {}
    return {"campaigns": [campaign(number) for number in numbers], "totalCampaignsCount": 9} | following


async def ids(client: IterableClient, page_size: int = 3) -> list[int]:
    return [campaign.id async for campaign in client.campaigns.newest(page_size)]


async def test_a_campaign(client: IterableClient, wire: Wire) -> None:
    wire.answers(json=campaign(9, templateId=5.0, createdAt=1507154823000, labels=["x"], brandNew={}))
    found = await client.campaigns.get(9)
    assert (found.id, found.name, found.type, found.state, found.template_id) == (9, "c9", "Triggered", "Running", 5)
    assert found.created_at == datetime(2017, 10, 4, 22, 7, 3, tzinfo=UTC)


@pytest.mark.parametrize("body", ["", "{}", "[]", "<html>", '{"campaignId":null}', '{"campaignId":"x"}'])
async def test_a_creation_without_an_id_is_an_unknown_outcome(body: str, client: IterableClient, wire: Wire) -> None:
    wire.answers(text=body)
    with pytest.raises(OddAnswer):
        await client.campaigns.create_triggered(name="n", template_id=1)


async def test_pages_are_asked_for_by_number_and_never_at_another_host(client: IterableClient, wire: Wire) -> None:
    wire.answers(json=page([9, 8, 7], more=True))
    wire.answers(json=page([6, 5, 4], more=True))
    wire.answers(json=page([3], more=False))
    assert await ids(client) == [9, 8, 7, 6, 5, 4, 3]
    assert [request.url.params["page"] for request in wire.requests] == ["1", "2", "3"]
    assert {request.url.host for request in wire.requests} == {"api.iterable.com"}


async def test_a_page_is_fetched_when_it_is_needed(client: IterableClient, wire: Wire) -> None:
    wire.answers(json=page([9, 8, 7], more=True))
    async for found in client.campaigns.newest(3):
        if found.id == 7:
            break
    assert len(wire.requests) == 1


async def test_campaigns_created_meanwhile_are_not_given_twice(client: IterableClient, wire: Wire) -> None:
    wire.answers(json=page([9, 8, 7], more=True))
    wire.answers(json=page([8, 7, 6], more=True))
    wire.answers(json=page([5], more=False))
    assert await ids(client) == [9, 8, 7, 6, 5]


@pytest.mark.parametrize("again", [[9, 8, 7], []])
async def test_a_listing_without_end_ends(again: list[int], client: IterableClient, wire: Wire) -> None:
    wire.answers(json=page([9, 8, 7], more=True))
    wire.answers(json=page(again, more=True))
    assert await ids(client) == [9, 8, 7]


async def test_an_unreadable_page_is_no_end_of_the_list(client: IterableClient, wire: Wire) -> None:
    wire.answers(json=page([9, 8, 7], more=True))
    wire.answers(json={"campaigns": [{"id": 1}]})
    with pytest.raises(OddAnswer):
        await ids(client)


async def test_archiving_tells_what_was_not_archived(client: IterableClient, wire: Wire) -> None:
    wire.answers(json={"success": [1], "failed": [2], "msg": ""})
    result = await client.campaigns.archive([1, 2])
    assert (result.success, result.failed) == ([1], [2])


async def test_an_activation_needs_no_readable_answer(client: IterableClient, wire: Wire) -> None:
    wire.answers(content=b"\xff")
    await client.campaigns.activate(1)
