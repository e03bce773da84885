"""Channels: `/api/channels`."""

from iterable.answer import AnswerModel
from iterable.calls import Calls
from iterable.request import Request


class Channel(AnswerModel):
    """A channel decides whether its messages are marketing or transactional; a message type only names its channel."""

    id: int
    name: str
    channel_type: str
    """`Marketing` or `Transactional` (Swagger 1.8)."""
    message_medium: str
    """`Email`, `Push`, `SMS` (Swagger 1.8); other media may turn up."""


class _Channels(AnswerModel):
    channels: list[Channel]


class Channels:
    """Limit: 100/s for the project (Swagger 1.8)."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def all(self) -> list[Channel]:
        """All channels. Read-only keys may call this, so it proves a key and its data center, but no right to write."""
        return (await self._calls.get(Request("GET", "/api/channels"), _Channels)).channels
