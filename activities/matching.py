"""Which send a message belongs to that names none: the rules, apart from where their facts come from.

One campaign stands for one content, so a campaign and a person often leave only one send. The answer follows from the
set of facts alone, never from the order in which they came: every new fact has the whole set judged anew.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

CLOCK_SKEW = timedelta(minutes=5)
"""How far our clock and Iterable's may be apart: a send that began later than this after an event did not cause it."""


@dataclass(frozen=True)
class Message:
    """A message without a name. `first_at` is its earliest event, by Iterable's clock. `takes_room` is false for an
    event without a message id: it may be one of a message that is counted already."""

    key: str
    campaign_ids: frozenset[int]
    people: frozenset[str]
    first_at: datetime
    takes_room: bool = True


@dataclass(frozen=True)
class Room:
    """A send that may have caused messages which are not known to be another send's: `slots` of them, from `began_at`
    on, by our clock."""

    send_id: str
    campaign_id: int
    person: str
    began_at: datetime
    slots: int


def match(messages: Iterable[Message], rooms: Iterable[Room]) -> dict[str, str]:
    """Message key → send id, as far as only one send can be meant.

    First whatever has one send left within the clocks' skew takes its place there, which may leave others with one. Of
    those that still have several, a group with exactly as many messages as room is tried again by the clocks as they
    are: sends of one content to one person that are far enough apart tell themselves apart. The rest is unmatched.
    """
    found: dict[str, str] = {}
    for group in _groups([_Waiting(message, sends) for message, sends in _meant(messages, rooms)]):
        left = {room.send_id: room.slots for waiting in group for room in waiting.sends}
        _settle(group, left, found, _within_skew)
        rest = [one for one in group if one.message.key not in found and one.message.takes_room]
        if rest and len(rest) == sum(left[send_id] for send_id in {r.send_id for one in rest for r in one.sends}):
            _settle(rest, left, found, _by_the_clock)
    return found


@dataclass(frozen=True)
class _Waiting:
    message: Message
    sends: list[Room]
    """Those of its campaign and person that may have begun before it."""


def _meant(messages: Iterable[Message], rooms: Iterable[Room]) -> list[tuple[Message, list[Room]]]:
    by_pair: dict[tuple[int, str], list[Room]] = defaultdict(list)
    for room in sorted(rooms, key=lambda r: (r.began_at, r.send_id)):
        by_pair[room.campaign_id, room.person].append(room)
    return [
        (
            message,
            [
                room
                for campaign_id in sorted(message.campaign_ids)
                for person in sorted(message.people)
                for room in by_pair.get((campaign_id, person), [])
                if _within_skew(message, room)
            ],
        )
        for message in sorted(messages, key=lambda m: (m.first_at, m.key))
    ]


def _groups(waiting: list[_Waiting]) -> list[list[_Waiting]]:
    """Messages that share sends, directly or through others; each group earliest message first."""
    group_of_send: dict[str, list[_Waiting]] = {}
    for one in waiting:
        merged = [one]
        for others in {id(g): g for room in one.sends if (g := group_of_send.get(room.send_id))}.values():
            merged += others
        for member in merged:
            for room in member.sends:
                group_of_send[room.send_id] = merged
    groups = {id(group): group for group in group_of_send.values()}.values()
    return [sorted(group, key=lambda w: (w.message.first_at, w.message.key)) for group in groups]


def _within_skew(message: Message, room: Room) -> bool:
    return room.began_at - CLOCK_SKEW <= message.first_at


def _by_the_clock(message: Message, room: Room) -> bool:
    return room.began_at.replace(microsecond=0) <= message.first_at  # Iterable reports whole seconds


def _settle(
    group: list[_Waiting], left: dict[str, int], found: dict[str, str], fits: Callable[[Message, Room], bool]
) -> None:
    """Settles whatever has one send left, earliest message first, until nothing more follows."""
    settled = True
    while settled:
        settled = False
        for one in group:
            message = one.message
            if message.key in found:
                continue
            open_ = [
                room.send_id
                for room in one.sends
                if fits(message, room) and (left[room.send_id] > 0 or not message.takes_room)
            ]
            if len(open_) == 1:
                found[message.key] = open_[0]
                left[open_[0]] -= message.takes_room
                settled = True
                break  # what was settled may leave an earlier message with one send
