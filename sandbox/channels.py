"""Channels and message types. A message type does not say whether it is marketing: its channel does."""

from dataclasses import dataclass
from typing import Literal

ChannelType = Literal["Marketing", "Transactional"]
MessageMedium = Literal["Email", "Push", "SMS"]


@dataclass(frozen=True)
class Channel:
    id: int
    name: str
    channel_type: ChannelType
    message_medium: MessageMedium

    def shown(self) -> dict[str, object]:
        return {
            "id": self.id,
            "name": self.name,
            "channelType": self.channel_type,
            "messageMedium": self.message_medium,
        }


@dataclass(frozen=True)
class FrequencyCap:
    """At most `messages` in `days`."""

    days: int
    messages: int


@dataclass(frozen=True)
class MessageType:
    id: int
    name: str
    channel: Channel
    created_at_ms: int
    opt_in: bool = False
    frequency_cap: FrequencyCap | None = None
    rate_limit_per_minute: int | None = None

    @property
    def is_marketing(self) -> bool:
        return self.channel.channel_type == "Marketing"

    def shown(self) -> dict[str, object]:
        shown: dict[str, object] = {
            "id": self.id,
            "name": self.name,
            "channelId": self.channel.id,
            "subscriptionPolicy": "OptIn" if self.opt_in else "OptOut",
            "createdAt": self.created_at_ms,
            "updatedAt": self.created_at_ms,
        }
        if self.rate_limit_per_minute is not None:
            shown["rateLimitPerMinute"] = self.rate_limit_per_minute
        if self.frequency_cap is not None:
            shown["frequencyCap"] = {"days": self.frequency_cap.days, "messages": self.frequency_cap.messages}
        return shown
