"""Many events in one sealed value, and out of it again.

The value is sealed for a key that is kept beside it, because the row's own id is not known before it is written. It
begins with when the events were taken, for who cannot open them; the rest is random.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

from store.keyring import Keyring
from store.tables import microseconds

_MOST_EVENTS = 500
_MOST_BYTES = 1_000_000
"""A row is closed once it holds so much: a drained batch is made of whole rows."""
_HEAD = struct.Struct(">q")  # when they were taken, in microseconds since 1970; then the length of each body, then they
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_DIGITS = 12
"""Milliseconds since 1970, in hexadecimal."""
_RANDOM_BYTES = 9
_KEY_DIGITS = _TIME_DIGITS + 2 * _RANDOM_BYTES
"""Two less than the keys of older releases have, which are random all through: the length tells them apart."""


def pack(
    bodies: Mapping[str, Sequence[bytes]], shard: int, received_at: datetime, keyring: Keyring
) -> list[tuple[Any, ...]]:
    """Rows of the table `packet` (as `COLUMNS` has them) that hold the events, by workspace, in order of arrival."""
    return [
        _packed(workspace_id, shard, part, received_at, keyring)
        for workspace_id, some in bodies.items()
        for part in _parts(some)
    ]


COLUMNS = ("workspace_id", "shard", "key", "size", "events", "body")


def unpack(row: Any, keyring: Keyring) -> Iterator[tuple[int, bytes, datetime]]:
    """(place, event, when it was taken) of a row's events, those that are gone left out."""
    packed = keyring.open(row.body, _place(row.workspace_id, row.key))
    lengths = struct.Struct(f">{row.size}I")
    received_at = _EPOCH + timedelta(microseconds=_HEAD.unpack_from(packed)[0])
    gone = int.from_bytes(row.gone or b"", "big")
    at = _HEAD.size + lengths.size
    for place, length in enumerate(lengths.unpack_from(packed, _HEAD.size)):
        if not gone >> place & 1:
            yield place, packed[at : at + length], received_at
        at += length


def taken_at(key: str) -> datetime | None:
    """When the events of a row with this key were taken; None where an older release wrote it."""
    if len(key) != _KEY_DIGITS:
        return None
    return _EPOCH + timedelta(milliseconds=int(key[:_TIME_DIGITS], 16))


def mark_gone(row: Any, places: int) -> tuple[bytes, int]:
    """A row's bitmap with more places gone (bit n of `places` is place n), and how many of its events are left."""
    gone = int.from_bytes(row.gone or b"", "big") | places & ((1 << row.size) - 1)
    return gone.to_bytes((row.size + 7) // 8, "big"), row.size - gone.bit_count()


def _parts(bodies: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """What becomes one row each."""
    first = size = 0
    for number, body in enumerate(bodies):
        if number > first and (number - first >= _MOST_EVENTS or size + len(body) > _MOST_BYTES):
            yield bodies[first:number]
            first, size = number, 0
        size += len(body)
    if first < len(bodies):
        yield bodies[first:]


def _packed(
    workspace_id: str, shard: int, bodies: Sequence[bytes], received_at: datetime, keyring: Keyring
) -> tuple[Any, ...]:
    key = f"{microseconds(received_at) // 1000:0{_TIME_DIGITS}x}{token_hex(_RANDOM_BYTES)}"
    head = _HEAD.pack(microseconds(received_at)) + struct.pack(f">{len(bodies)}I", *map(len, bodies))
    sealed = keyring.seal(head + b"".join(bodies), _place(workspace_id, key))
    return workspace_id, shard, key, len(bodies), len(bodies), sealed


def _place(workspace_id: str, key: str) -> str:
    return f"packet.body.{workspace_id}/{key}"
