"""Which send an event belongs to.

In this order: the correlation data that we gave Iterable and that comes back on `emailSend`; another event of the same
message that has it; campaign, person and time, where exactly one send of ours can be meant (`activities/matching.py`).
What cannot be joined stays unmatched, is shown as such, and is looked at again when something new is known.

The last of the three is an inference, so it holds only until a name says otherwise. That makes the result depend on the
set of events and attempts, not on the order in which they came.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from datetime import datetime

from activities.matching import Message, Room, match
from contracts.event import place
from contracts.send import is_old_news, standing
from store.events import Link, Move, Place, Recorded
from store.sends import Known, Standing
from store.store import Transaction

_Goal = tuple[Link, str | None]
"""An event, and the send it belongs to."""
_Names = dict[str, set[str]]
"""Message id → the sends that its events name."""


async def keep(tx: Transaction, workspace_id: str, recorded: Sequence[Recorded], followed_since: datetime) -> set[str]:
    """Keeps events and joins them, and whatever else they decide; those that belong to a send now. The caller holds the
    lock of the workspace's feed. A send that Iterable took before `followed_since` has no run any more that is to be
    told.

    An occurrence that is there already stays as it is, but for the name of its send: where one report of it names the
    send and another does not, the name is kept, whichever came first. Most new ones have a name, their own or another
    event's of the message: these are written where they belong, once. The rest is joined by what is found then.
    """
    known = await tx.events.known(workspace_id, sorted({one.event.event_id for one in recorded}))
    new, named_late = _told_apart(recorded, known)
    await tx.events.name(workspace_id, named_late)
    names = await tx.events.names(workspace_id, sorted({m for one in recorded if (m := one.event.message_id)}))
    for one in new:
        if one.named_send and one.event.message_id:
            names.setdefault(one.event.message_id, set()).add(one.named_send)
    wanted = {name for some in names.values() for name in some} | {one.named_send for one in new if one.named_send}
    ours = await tx.sends.known(workspace_id, sorted(wanted), followed_since)
    proven = [(one, _meant(one.named_send, one.event.message_id, names, ours)) for one in new]
    placed = {one.event.event_id: send_id for one, send_id in proven if send_id is not None}
    cursors = await tx.feed.take(workspace_id, len(placed))
    places = {
        event_id: Place(send_id, cursor, to_tell=not ours[send_id].run_ended)
        for (event_id, send_id), cursor in zip(placed.items(), cursors, strict=True)
    }
    await tx.events.add(workspace_id, new, places)
    fresh = await tx.events.links(workspace_id, sorted({*known, *(one.event.event_id for one in new)} - placed.keys()))
    got_some = {send_id: ours[send_id] for send_id in placed.values()}
    moved = {send_id for one, send_id in proven if send_id and not _is_old_news(one, ours[send_id].standing)}
    return placed.keys() | await _settle(tx, workspace_id, fresh, names, got_some, moved, followed_since)


async def join(tx: Transaction, workspace_id: str, event_ids: Sequence[str], followed_since: datetime) -> set[str]:
    """As `keep`, for events that are kept."""
    fresh = await tx.events.links(workspace_id, event_ids)
    names = await tx.events.names(workspace_id, sorted({link.message_id for link in fresh if link.message_id}))
    return await _settle(tx, workspace_id, fresh, names, {}, set(), followed_since)


def _told_apart(recorded: Sequence[Recorded], known: dict[str, bool]) -> tuple[list[Recorded], dict[str, str]]:
    """What is new, each occurrence once; and the names of sends that known occurrences had not told yet."""
    new: dict[str, Recorded] = {}
    named_late: dict[str, str] = {}
    for one in recorded:
        event_id = one.event.event_id
        if event_id in known:
            if one.named_send and not known[event_id]:
                named_late.setdefault(event_id, one.named_send)
            continue
        first = new.setdefault(event_id, one)
        if one.named_send and not first.named_send:
            new[event_id] = first._replace(named_send=one.named_send)
    return list(new.values()), named_late


def _meant(named_send: str | None, message_id: str | None, names: _Names, ours: Container[str]) -> str | None:
    """The send that an event or, where it names none of ours, another event of its message names."""
    if named_send is not None and named_send in ours:
        return named_send
    # One, but for a provider that mixes messages up: then always the same.
    return min((name for name in names.get(message_id or "", ()) if name in ours), default=None)


def _is_old_news(one: Recorded, stood: Standing | None) -> bool:
    """Most events are: an open or a click of a message that is known to have gone out."""
    if stood is None or not is_old_news(stood.status, one.event.kind):
        return False
    return one.event.message_id is None or one.event.message_id == stood.message_id


async def _settle(
    tx: Transaction,
    workspace_id: str,
    fresh: list[Link],
    names: _Names,
    placed: dict[str, Known],
    moved: set[str],
    followed_since: datetime,
) -> set[str]:
    """Joins fresh events, and whatever else they, or sends that got events just now (`placed`), decide. `moved` are
    those of them that may stand otherwise now."""
    named = await _by_name(tx, workspace_id, fresh, names, followed_since)
    touched = await _place(tx, workspace_id, named, followed_since, firm=True)
    got_some = placed | await tx.sends.known(workspace_id, sorted(touched), followed_since)
    pairs = {pair for link in fresh for pair in link.pairs} | {p for one in got_some.values() if (p := one.pair)}
    inferred = await _by_person(tx, workspace_id, fresh, named, pairs)
    touched |= await _place(tx, workspace_id, inferred, followed_since, firm=False)
    stood = {send_id: one.standing for send_id, one in got_some.items()}
    await _record_standings(tx, workspace_id, sorted(touched | moved), stood)
    goals = {link.id: send_id for link, send_id in (*named, *inferred)}
    return {link.event_id for link in fresh if goals.get(link.id, link.send_id) is not None}


async def _by_name(
    tx: Transaction, workspace_id: str, fresh: list[Link], names: _Names, followed_since: datetime
) -> list[_Goal]:
    """Events that name their send, and all events of their messages."""
    loose = {link.id: link for link in fresh if not link.firm}
    loose |= {link.id: link for link in await tx.events.loose_of_messages(workspace_id, sorted(names))}
    wanted = {name for link in loose.values() for name in names.get(link.message_id or "", ())}
    wanted |= {link.named_send for link in loose.values() if link.named_send}
    ours = await tx.sends.known(workspace_id, sorted(wanted), followed_since)
    meant = [(link, _meant(link.named_send, link.message_id, names, ours)) for link in loose.values()]
    return [(link, send_id) for link, send_id in meant if send_id is not None]


async def _by_person(
    tx: Transaction, workspace_id: str, fresh: list[Link], named: list[_Goal], pairs: set[tuple[int, str]]
) -> list[_Goal]:
    """Events without a name. Judged anew is everything of the same campaigns and people that has none either: a fresh
    event may tell which message is meant, a send that got its message leaves the others to other sends."""
    proven = {link.id for link, _ in named}
    start = [link for link in fresh if not link.firm and link.id not in proven]
    loose = await _loose_group(tx, workspace_id, start, pairs)
    if not loose:
        return []
    rooms = await _rooms(tx, workspace_id, {pair for link in loose for pair in link.pairs})
    found = match(_messages(loose), rooms)
    return [(link, found.get(link.key)) for link in loose]


async def _loose_group(
    tx: Transaction, workspace_id: str, start: list[Link], pairs: set[tuple[int, str]]
) -> list[Link]:
    """The events without a proven send that have to be judged together: by campaign and person, and by message."""
    group = {link.id: link for link in start}
    seen_pairs: set[tuple[int, str]] = set()
    seen_messages: set[str] = set()
    while True:
        messages = {link.message_id for link in group.values() if link.message_id} - seen_messages
        pairs = (pairs | {pair for link in group.values() for pair in link.pairs}) - seen_pairs
        if not messages and not pairs:
            return list(group.values())
        seen_messages |= messages
        seen_pairs |= pairs
        more = await tx.events.loose_of_messages(workspace_id, sorted(messages))
        more += await tx.events.loose_of_people(workspace_id, sorted(pairs))
        group |= {link.id: link for link in more}
        pairs = set()


async def _rooms(tx: Transaction, workspace_id: str, pairs: set[tuple[int, str]]) -> list[Room]:
    """Sends that may have caused messages, less those messages that are proven to be theirs."""
    candidates = await tx.sends.candidates(workspace_id, sorted(pairs))
    firm = await tx.events.count_firm_messages(workspace_id, sorted(one.send_id for one in candidates))
    return [
        Room(
            one.send_id,
            one.campaign_id,
            one.recipient_hash,
            one.began_at,
            max(0, one.attempts - firm.get(one.send_id, 0)),
        )
        for one in candidates
    ]


def _messages(loose: Iterable[Link]) -> list[Message]:
    by_key: dict[str, list[Link]] = defaultdict(list)
    for link in loose:
        by_key[link.key].append(link)
    return [
        Message(
            key=key,
            campaign_ids=frozenset(link.campaign_id for link in links if link.campaign_id is not None),
            people=frozenset(one for link in links for one in link.hashes),
            first_at=min(link.occurred_at for link in links),
            takes_room=links[0].message_id is not None,
        )
        for key, links in by_key.items()
    ]


async def _place(
    tx: Transaction, workspace_id: str, goals: Sequence[_Goal], followed_since: datetime, *, firm: bool
) -> set[str]:
    """Moves events to their sends: the sends that lost or got one. Only what moves is handed out again."""
    moves = [Move(link.id, send_id, firm) for link, send_id in goals if link.send_id != send_id]
    moves.sort(key=lambda move: move.id)
    if moves:
        cursors = await tx.feed.take(workspace_id, len(moves))
        await tx.events.place(workspace_id, moves, cursors, followed_since)
    if firm:
        await tx.events.confirm([link.id for link, send_id in goals if link.send_id == send_id])
    sends = {send_id for link, goal in goals if link.send_id != goal for send_id in (link.send_id, goal)}
    return {send_id for send_id in sends if send_id is not None}


async def _record_standings(
    tx: Transaction, workspace_id: str, send_ids: list[str], stood: dict[str, Standing | None]
) -> None:
    """`stood` is how sends stood before, as far as that is known: most events change nothing about it."""
    found = await tx.events.happenings(workspace_id, send_ids)
    standings: list[Standing] = []
    for send_id in send_ids:
        events = found.get(send_id)
        if not events:
            continue
        first = min((event for event in events if event.message_id), key=place, default=None)
        now = Standing(send_id, *standing(events), first.message_id if first else None)
        if now != stood.get(send_id):
            standings.append(now)
    await tx.sends.set_standings(workspace_id, standings)
    await tx.sends.stand_alone(workspace_id, [send_id for send_id in send_ids if not found.get(send_id)])
