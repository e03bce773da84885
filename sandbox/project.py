"""A project: one of any number, each with its own type, keys, data and settings."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from sandbox.campaigns import Campaigns
from sandbox.channels import Channel, MessageType
from sandbox.events import EventLog
from sandbox.keys import KeyKind
from sandbox.limits import DOCUMENTED, Limiter
from sandbox.lists import Lists
from sandbox.settings import ProjectSettings, RateRule
from sandbox.templates import Templates
from sandbox.users import Users
from sandbox.webhooks import Webhook

DataCenter = Literal["us", "eu"]

# What a template call without creatorUserId is attributed to: the project's creator.
CREATOR = "creator@sandbox.test"


@dataclass
class Project:
    id: int
    name: str
    data_center: DataCenter
    keys: dict[KeyKind, str] = field(repr=False)
    users: Users
    events: EventLog
    channels: list[Channel]
    message_types: list[MessageType]
    settings: ProjectSettings
    templates: Templates = field(default_factory=Templates)
    campaigns: Campaigns = field(default_factory=Campaigns)
    lists: Lists = field(default_factory=Lists)
    webhooks: dict[int, Webhook] = field(default_factory=dict[int, Webhook])
    limiter: Limiter = field(default_factory=Limiter)
    # What GET /_sandbox/counts tells.
    requests: Counter[str] = field(default_factory=Counter[str])
    deliveries: Counter[str] = field(default_factory=Counter[str])
    templates_written: int = 0
    delivery_rng: Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.reseed_delivery()

    def reseed_delivery(self) -> None:
        self.delivery_rng = Random(self.settings.delivery.seed)  # noqa: S311 - repeatable by design

    def apply(self, settings: ProjectSettings) -> None:
        """Takes new settings; webhook misbehaviour begins anew where it was changed."""
        changed = settings.delivery != self.settings.delivery
        self.settings = settings
        if changed:
            self.reseed_delivery()

    def rules(self, operation: str) -> tuple[RateRule, ...]:
        """The limits of an endpoint: the project's own, else the documented ones."""
        own = self.settings.rate_limits.get(operation)
        return DOCUMENTED.get(operation, ()) if own is None else tuple(own)

    def message_type(self, message_type_id: int) -> MessageType | None:
        return next((one for one in self.message_types if one.id == message_type_id), None)

    def channel(self, channel_id: int) -> Channel | None:
        return next((one for one in self.channels if one.id == channel_id), None)

    def default_email_type(self) -> MessageType:
        """What a template without messageTypeId gets: a project default, as recorded traffic suggests."""
        return next(one for one in self.message_types if one.channel.message_medium == "Email")

    def marketing_email_channels(self) -> frozenset[int]:
        return frozenset(
            one.id for one in self.channels if one.channel_type == "Marketing" and one.message_medium == "Email"
        )

    def shown(self) -> dict[str, Any]:
        """As the admin API shows it. The keys are fakes, and the point of asking."""
        return {
            "project_id": self.id,
            "name": self.name,
            "data_center": self.data_center,
            "type": self.users.project_type,
            "keys": self.keys,
            "channels": [channel.shown() for channel in self.channels],
            "message_types": [message_type.shown() for message_type in self.message_types],
            "webhooks": [{**webhook.shown(), "events": sorted(webhook.events)} for webhook in self.webhooks.values()],
            "settings": self.settings.model_dump(),
        }
