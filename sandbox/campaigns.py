"""Campaigns and the life they lead.

Triggered: Ready (or Draft while incomplete) → activate → Running → deactivate → Finished → archive → Archived.
Source: Iterable's own integration tests and help centre. State changes show after a lag.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sandbox.lagged import Lagged
from sandbox.wire import millis

CampaignState = Literal[
    "Draft", "Ready", "Scheduled", "Running", "Finished", "Starting", "Aborted", "Recurring", "Archived"
]


@dataclass(frozen=True)
class CampaignVersion:
    """One version of what changes about a campaign."""

    state: CampaignState
    updated_at: float
    started_at: float | None = None
    ended_at: float | None = None


@dataclass
class Campaign:
    id: int
    name: str
    template_id: int
    created_at: float
    creator: str
    data_fields: Mapping[str, Any]
    version: Lagged[CampaignVersion]
    # Lists make a blast; a triggered campaign has none.
    list_ids: tuple[int, ...] = ()
    suppression_list_ids: tuple[int, ...] = ()
    sends: int = 0

    @property
    def is_blast(self) -> bool:
        return bool(self.list_ids)

    def state(self, now: float) -> CampaignState | None:
        """The state that is visible; None while the campaign itself is not."""
        version = self.version.seen(now)
        return version and version.state


class Campaigns:
    """A project's campaigns."""

    def __init__(self) -> None:
        self._by_id: dict[int, Campaign] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, campaign: Campaign) -> None:
        self._by_id[campaign.id] = campaign

    def get(self, campaign_id: int) -> Campaign | None:
        return self._by_id.get(campaign_id)

    def visible(self, campaign_id: int, now: float) -> Campaign | None:
        campaign = self._by_id.get(campaign_id)
        return campaign if campaign is not None and campaign.state(now) is not None else None

    def all(self) -> list[Campaign]:
        return list(self._by_id.values())


def shown(campaign: Campaign, version: CampaignVersion) -> dict[str, Any]:
    """A campaign as the API shows it; absent fields are absent, not null."""
    result: dict[str, Any] = {
        "id": campaign.id,
        "createdAt": millis(campaign.created_at),
        "updatedAt": millis(version.updated_at),
        "name": campaign.name,
        "templateId": campaign.template_id,
        "messageMedium": "Email",
        "createdByUserId": campaign.creator,
        "campaignState": version.state,
        "labels": [],
        "type": "Blast" if campaign.is_blast else "Triggered",
    }
    if version.started_at is not None:
        result["startAt"] = millis(version.started_at)
    if version.ended_at is not None:
        result["endedAt"] = millis(version.ended_at)
    if campaign.is_blast:
        result["listIds"] = list(campaign.list_ids)
        result["suppressionListIds"] = list(campaign.suppression_list_ids)
        result["sendSize"] = campaign.sends
    return result
