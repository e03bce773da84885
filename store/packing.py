"""Many arrived events in one sealed value, and out of it again.

The value is sealed for a random key that is kept beside it, because the row's own id is not known before it is written.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

from store.arrival import Arrival
from store.keyring import Keyring

_MOST_EVENTS = 500
_MOST_BYTES = 1_000_000
"""A row is closed once it holds so much: a drained batch is made of whole rows."""
_HEAD = struct.Struct(">32sqI")  # event id, received at (microseconds since 1970), length of the body that follows
_NOTHING_YET: tuple[list[Arrival], int] = ([], 0)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def pack(arrivals: Iterable[Arrival], keyring: Keyring) -> list[dict[str, Any]]:
    """Rows of the table `packet` that hold the events in order of arrival."""
    return [_packed(part, keyring) for part in _parts(arrivals)]


def unpack(row: Any, keyring: Keyring) -> Iterator[tuple[int, Arrival]]:
    """(place, event) of a row's events, those that are gone left out."""
    packed = keyring.open(row.body, _place(row.workspace_id, row.key))
    gone = int.from_bytes(row.gone or b"", "big")
    at = 0
    for place in range(row.size):
        event_id, received, length = _HEAD.unpack_from(packed, at)
        at += _HEAD.size
        if not gone >> place & 1:
            received_at = _EPOCH + timedelta(microseconds=received)
            yield place, Arrival(row.workspace_id, row.shard, event_id.hex(), packed[at : at + length], received_at)
        at += length


def mark_gone(row: Any, places: int) -> tuple[bytes, int]:
    """A row's bitmap with more places gone (bit n of `places` is place n), and how many of its events are left."""
    gone = int.from_bytes(row.gone or b"", "big") | places & ((1 << row.size) - 1)
    return gone.to_bytes((row.size + 7) // 8, "big"), row.size - gone.bit_count()


def _parts(arrivals: Iterable[Arrival]) -> list[list[Arrival]]:
    """What becomes one row each: a workspace's events of one shard, in order of arrival, up to a row's bounds."""
    growing: dict[tuple[str, int], tuple[list[Arrival], int]] = {}
    parts: list[list[Arrival]] = []
    for arrival in arrivals:
        whose = arrival.workspace_id, arrival.shard
        part, size = growing.get(whose) or _NOTHING_YET
        if not part or len(part) >= _MOST_EVENTS or size + len(arrival.body) > _MOST_BYTES:
            part, size = list[Arrival](), 0
            parts.append(part)
        part.append(arrival)
        growing[whose] = part, size + len(arrival.body)
    return parts


def _packed(arrivals: Sequence[Arrival], keyring: Keyring) -> dict[str, Any]:
    first = arrivals[0]
    key = token_hex(16)
    pieces: list[bytes] = []
    for arrival in arrivals:
        received = (arrival.received_at - _EPOCH) // timedelta(microseconds=1)
        pieces += (_HEAD.pack(bytes.fromhex(arrival.event_id), received, len(arrival.body)), arrival.body)
    return {
        "workspace_id": first.workspace_id,
        "shard": first.shard,
        "key": key,
        "size": len(arrivals),
        "events": len(arrivals),
        "body": keyring.seal(b"".join(pieces), _place(first.workspace_id, key)),
    }


def _place(workspace_id: str, key: str) -> str:
    return f"packet.body.{workspace_id}/{key}"
