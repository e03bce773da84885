"""What the connector knows of an Iterable project's channels and message types."""

from contracts.model import Contract

EMAIL = "Email"


class Channel(Contract):
    """A channel. It decides both: the medium, and whether its messages are marketing or transactional."""

    id: int
    name: str
    medium: str
    """`Email`, `Push`, `SMS` (Swagger 1.8); an open set."""
    kind: str
    """`Marketing` or `Transactional` (Swagger 1.8)."""


class MessageType(Contract):
    """A message type. It only names its channel."""

    id: int
    name: str
    channel_id: int


class Catalog(Contract):
    """All of them as last read. Empty until a connector has passed its checks once."""

    channels: list[Channel] = []
    message_types: list[MessageType] = []

    def channel(self, channel_id: int | None) -> Channel | None:
        """A channel by its id; None where the catalog does not have it."""
        return next((one for one in self.channels if one.id == channel_id), None)

    def channel_of(self, message_type_id: int | None) -> Channel | None:
        """The channel of a message type; None where the catalog does not have either."""
        kind = next((one for one in self.message_types if one.id == message_type_id), None)
        return None if kind is None else self.channel(kind.channel_id)

    def covers(self, channel_ids: set[int], message_type_ids: set[int]) -> bool:
        """Whether all of these are in the catalog."""
        return channel_ids <= {one.id for one in self.channels} and message_type_ids <= {
            one.id for one in self.message_types
        }
