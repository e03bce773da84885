"""One event as it came in."""

from datetime import datetime
from typing import NamedTuple


class Arrival(NamedTuple):
    """One event as it came in: `event_id` names the occurrence, `body` is the JSON as posted.

    A tuple, because one is made for every event before its webhook is answered.
    """

    workspace_id: str
    shard: int
    event_id: str
    body: bytes
    received_at: datetime
