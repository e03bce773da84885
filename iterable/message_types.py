"""Message types: `/api/messageTypes`."""

from iterable.answer import AnswerModel
from iterable.calls import Calls
from iterable.request import Request


class FrequencyCap(AnswerModel):
    """At most `messages` in `days` to one user."""

    days: int
    messages: int


class MessageType(AnswerModel):
    """A message type. Whether it is marketing is a property of its channel."""

    id: int
    name: str
    channel_id: int
    subscription_policy: str | None = None
    """`OptIn` or `OptOut` (Swagger 1.8)."""
    frequency_cap: FrequencyCap | None = None
    rate_limit_per_minute: int | None = None
    """Most sends in a minute of this type."""


class _MessageTypes(AnswerModel):
    message_types: list[MessageType]


class MessageTypes:
    """Limit: 100/s for the project (Swagger 1.8)."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def all(self) -> list[MessageType]:
        """All message types of the project."""
        return (await self._calls.get(Request("GET", "/api/messageTypes"), _MessageTypes)).message_types
