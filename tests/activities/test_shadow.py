"""A campaign's creation whose answer was lost, by a clock that the test holds."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import httpx
import pytest
from pydantic import SecretStr
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.connectors import InForce
from activities.shadow import ShadowActivities
from contracts.connector import ConnectorSettings
from contracts.shadow import CampaignRequest
from iterable.client import IterableClient
from store.keyring import Keyring
from store.store import Store

REQUEST = CampaignRequest(
    workspace_id="acme", fingerprint="f" * 64, template_ref="a" * 64, message_type_id=1, template_id=7
)


@dataclass
class World:
    """Iterable, whose lists never show the campaign that it makes, and a clock."""

    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    looks: list[httpx.Response] = field(default_factory=list[httpx.Response])
    """Answers to the next look-ups, in place of an empty one."""
    creation: httpx.Response | type[Exception] = httpx.ReadTimeout
    takes: timedelta = timedelta(0)
    created: int = 0

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/campaigns/create":
            self.created += 1
            self.now += self.takes
            if isinstance(self.creation, httpx.Response):
                return self.creation
            raise self.creation("")
        if self.looks:
            return self.looks.pop(0)
        return httpx.Response(200, json={"templates": [], "campaigns": [], "totalCampaignsCount": 0})


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def activities(database_url: str, keyring: Keyring, world: World) -> AsyncGenerator[ShadowActivities]:
    store = await Store.open(database_url, keyring, lambda: world.now)
    settings = ConnectorSettings.model_validate({"data_center": "us"})
    client = IterableClient(data_center="us", api_key=SecretStr("k" * 32), transport=httpx.MockTransport(world.answer))
    connectors = mock.Mock(get=mock.AsyncMock(return_value=InForce(settings, client)))
    yield ShadowActivities(store, connectors, mock.Mock(), "queue")
    await client.aclose()
    await store.close()


async def create(activities: ShadowActivities) -> Any:
    return await ActivityEnvironment().run(activities.create_campaign, REQUEST)


async def fails(activities: ShadowActivities) -> None:
    with pytest.raises(ApplicationError) as failed:
        await create(activities)
    assert not failed.value.non_retryable


async def test_a_look_that_is_refused_does_not_deny_a_creation_whose_answer_was_lost(
    activities: ShadowActivities, world: World
) -> None:
    await fails(activities)
    world.looks = [httpx.Response(429)]
    await fails(activities)
    await fails(activities)
    assert world.created == 1


async def test_the_lists_have_their_time_from_the_end_of_the_request_on(
    activities: ShadowActivities, world: World
) -> None:
    world.takes = timedelta(seconds=40)
    await fails(activities)
    world.now += timedelta(seconds=25)
    await fails(activities)
    assert world.created == 1
    world.now += timedelta(seconds=6)
    world.creation = httpx.Response(200, json={"campaignId": 9})
    assert await create(activities) == 9


async def test_a_worker_that_died_may_have_had_its_request_under_way_for_as_long_as_a_call_takes(
    activities: ShadowActivities, world: World
) -> None:
    with (
        mock.patch.object(world, "creation", new=asyncio.CancelledError),
        pytest.raises(BaseException),  # noqa: PT011, B017 - as good as dead
    ):
        await create(activities)
    world.now += timedelta(seconds=79)
    await fails(activities)
    assert world.created == 1
    world.now += timedelta(seconds=2)
    world.creation = httpx.Response(200, json={"campaignId": 9})
    assert await create(activities) == 9


async def test_a_creation_that_was_refused_may_be_repeated_at_once(activities: ShadowActivities, world: World) -> None:
    world.creation = httpx.Response(429)
    await fails(activities)
    world.creation = httpx.Response(200, json={"campaignId": 9})
    assert await create(activities) == 9
