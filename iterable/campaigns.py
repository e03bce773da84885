"""Campaigns: `/api/campaigns`.

An API-triggered campaign goes Ready (or Draft) → activate → Running → deactivate → Finished → archive → Archived.
States change some time after the call that asks for it, and a new campaign may not be found for some 30 s (what
Iterable's own client allows for).
"""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from pydantic import Field

from iterable.answer import AnswerModel
from iterable.calls import Calls
from iterable.dates import Moment
from iterable.request import BULK_MAX, PAGE_MAX, Body, Request


class Campaign(AnswerModel):
    """A campaign, as lists and look-ups show it."""

    id: int
    name: str
    type: str
    """`Blast` or `Triggered`."""
    state: Annotated[str, Field(validation_alias="campaignState")]
    """Draft, Ready, Scheduled, Running, Finished, Starting, Aborted, Recurring or Archived (Swagger 1.8)."""
    template_id: int | None = None
    """The campaign's own copy of the template it was created with."""
    created_at: Moment
    updated_at: Moment | None = None


class ArchiveResult(AnswerModel):
    """Ids that were archived, and ids that were not."""

    success: list[int] = []
    failed: list[int] = []


class _CreateTriggered(Body):
    """Without `listIds`, though the Swagger calls them required: its own text says to omit them for a triggered
    campaign, and an empty list is refused (seen in recorded traffic)."""

    name: Annotated[str, Field(min_length=1)]
    template_id: int


class _CampaignId(Body):
    campaign_id: int


class _Archive(Body):
    campaign_ids: Annotated[list[int], Field(min_length=1, max_length=BULK_MAX)]


class _Created(AnswerModel):
    campaign_id: int


class _Page(AnswerModel):
    campaigns: list[Campaign]
    next_page_url: str | None = None


class Campaigns:
    """Limits: 100 reads/s for the project, 5 archive calls/s for the key (Swagger 1.8); the others are unknown."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def create_triggered(self, *, name: str, template_id: int) -> int:
        """Creates a triggered campaign with a copy of the template; its id.

        Not idempotent: a repeat makes a second campaign of the same name. After an unknown outcome look for the name
        first.
        """
        body = _CreateTriggered(name=name, template_id=template_id).to_json()
        created = await self._calls.get(Request("POST", "/api/campaigns/create", body=body), _Created)
        return created.campaign_id

    async def activate(self, campaign_id: int) -> None:
        """Asks for the state Running. `ForbiddenByProject` where the project has no activation through the API."""
        body = _CampaignId(campaign_id=campaign_id).to_json()
        await self._calls.take(Request("POST", "/api/campaigns/activateTriggered", body=body))

    async def deactivate(self, campaign_id: int) -> None:
        """Asks for the state Finished. Whether a finished campaign can be activated again is unknown."""
        body = _CampaignId(campaign_id=campaign_id).to_json()
        await self._calls.take(Request("POST", "/api/campaigns/deactivateTriggered", body=body))

    async def get(self, campaign_id: int) -> Campaign:
        """One campaign. Raises `NotFound`."""
        return await self._calls.get(Request("GET", "/api/campaigns/{id}", {"id": campaign_id}), Campaign)

    async def newest(self, page_size: int = PAGE_MAX) -> AsyncIterator[Campaign]:
        """All campaigns, newest first; a page is fetched when it is needed. There is no filter by name.

        The next page is asked for by number and never by the URL that the answer gives, which could name any host.
        Campaigns that are created meanwhile push others onto the next page: none of them is given twice.
        """
        if not 1 <= page_size <= PAGE_MAX:
            raise ValueError(f"a page holds 1 to {PAGE_MAX} campaigns")
        seen: set[int] = set()
        number = 1  # the first; Swagger 1.8
        while True:
            query = (("page", number), ("pageSize", page_size), ("sort", "-createdAt"))
            page = await self._calls.get(Request("GET", "/api/campaigns", query=query), _Page)
            fresh = [campaign for campaign in page.campaigns if campaign.id not in seen]
            for campaign in fresh:
                yield campaign
            if not page.next_page_url or not fresh:  # nothing fresh: no reason to believe that there is an end
                return
            seen.update(campaign.id for campaign in fresh)
            number += 1

    async def archive(self, campaign_ids: Sequence[int]) -> ArchiveResult:
        """Archives up to 1,000; running ones are aborted. Only Iterable's UI can undo it. Look at `failed`: it is a
        200."""
        body = _Archive(campaign_ids=list(campaign_ids)).to_json()
        return await self._calls.get(Request("POST", "/api/campaigns/archive", body=body), ArchiveResult)
