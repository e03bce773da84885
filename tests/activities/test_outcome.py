"""Finding out, over the real ledger: any interleaving of attempts, lost answers, records that lag, outages, clocks that
differ and events, among sends that reach one person by two names from two workspaces."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from unittest import mock

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from activities import inquiry, turns
from activities.connectors import InForce, InstalledConnectors
from activities.joining import keep
from activities.outcome import OutcomeActivities
from activities.target import known_outcome
from contracts.channel import Catalog
from contracts.connector import ConnectorSettings
from contracts.event import Event, EventKind
from contracts.send import RESERVED_DATA_KEY, Recipient
from contracts.shadow import Shadow
from contracts.target import FindOutcomeRequest
from iterable.client import IterableClient
from store.events import Recorded
from store.keyring import Keyring, new_key_text, parse_keys
from store.migrate import migrate
from store.sends import NOT_TAKEN, TAKEN, UNKNOWN, Claim
from store.store import Store

EVIDENCE_AFTER = timedelta(seconds=120)
CALL = timedelta(seconds=50)
"""The longest that a request may be under way."""
BY_EMAIL, BY_USER_ID = Recipient(email="ann@example.com"), Recipient(user_id="u1")
SENDS = {"a": ("acme", BY_EMAIL), "b": ("acme", BY_USER_ID), "c": ("other", BY_EMAIL), "d": ("acme", BY_EMAIL)}
"""Four sends of one content to one person, through one campaign."""

Answer = Literal["known", "lost", "died"]
Step = (
    tuple[Literal["attempt"], str, bool, float, Answer]
    | tuple[Literal["event", "anonymous event", "look", "repeat"], str]
    | tuple[Literal["pass"], int]
    | tuple[Literal["outage"], float]
)
NAMES = st.sampled_from(sorted(SENDS))
SHARES = st.sampled_from([0.0, 0.3, 0.99])
"""When within the time that it may take something happens."""
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("attempt"), NAMES, st.booleans(), SHARES, st.sampled_from(["known", "lost", "died"])),
        st.tuples(st.sampled_from(["event", "anonymous event", "look", "look", "repeat"]), NAMES),
        st.tuples(st.just("pass"), st.sampled_from([5, 60, 130, 260, 320])),
        st.tuples(st.just("outage"), SHARES),
    ),
    max_size=25,
)


@dataclass
class Message:
    """The truth about one message."""

    cause: str
    attempt: int
    created_at: datetime
    visible_at: datetime


@dataclass
class World:
    """One person, one campaign, three sends; a clock of ours, one of Iterable's, and what Iterable really sent."""

    number: int
    store: Store
    skew: timedelta
    names_sends: bool
    """Whether the events of a user carry the correlation; Iterable does not promise it."""
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    messages: dict[str, Message] = field(default_factory=dict[str, Message])
    away: bool = False
    excused: Counter[str] = field(default_factory=Counter[str])
    answered_since: dict[str, datetime] = field(default_factory=dict[str, datetime])
    reported: set[str] = field(default_factory=set[str])
    """Sends that an event has named."""

    @property
    def campaign(self) -> int:
        """A world's own, as its people and workspaces are."""
        return self.number

    def workspace(self, name: str) -> str:
        return f"{SENDS[name][0]}-{self.number}"

    def recipient(self, name: str) -> Recipient:
        kind = SENDS[name][1]
        return Recipient(
            email=kind.email and f"ann{self.number}@example.com", user_id=kind.user_id and f"u{self.number}"
        )

    def of(self, name: str) -> dict[str, Message]:
        """A send's messages."""
        return {id_: message for id_, message in self.messages.items() if message.cause == name}

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Iterable's look-ups."""
        if self.away:
            return httpx.Response(503)
        if request.url.path.startswith("/api/users/") and "getSentMessages" not in request.url.path:
            user = {"email": f"ann{self.number}@example.com", "userId": f"u{self.number}"}
            return httpx.Response(200, json={"user": user})
        rows: list[dict[str, Any]] = []
        for id_, message in self.messages.items():
            if message.visible_at <= self.now:
                at = f"{message.created_at:%Y-%m-%d %H:%M:%S} +00:00"
                rows.append({"messageId": id_, "campaignId": self.campaign, "createdAt": at})
                if self.names_sends:
                    named = {"workspace": self.workspace(message.cause), "send": message.cause}
                    rows[-1] |= {"transactionalData": {RESERVED_DATA_KEY: named}}
        if "getSentMessages" in request.url.path:
            start = datetime.fromisoformat(dict(request.url.params)["startDateTime"].replace(" +", "+"))
            rows = [row for row in rows if datetime.fromisoformat(row["createdAt"].replace(" +", "+")) >= start]
            return httpx.Response(200, json={"messages": rows})
        return httpx.Response(200, json={"events": [{**row, "eventType": "emailSend"} for row in rows]})


class OneConnector(InstalledConnectors):
    """A connector without an installation."""

    def __init__(self, in_force: InForce) -> None:
        self._in_force = in_force

    async def get(self, workspace_id: str) -> InForce:
        return self._in_force


class Clock:
    """Set by the world that is played."""

    now: Callable[[], datetime] = staticmethod(lambda: datetime.now(UTC))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Keyring]:
    """One for all worlds: none shares a workspace, a person or a campaign with another one."""
    url = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('outcome') / 'a.db'}"
    asyncio.run(migrate(url))
    return url, Keyring(parse_keys(new_key_text()))


_NUMBERS = itertools.count(1)


LATER: list[Step] = [("look", "a"), ("pass", 130), ("look", "a")]
"""As the run of `a` does it."""


@given(STEPS, st.sampled_from([-280, 0, 280]), st.booleans())
@example([("attempt", "a", True, 0.0, "lost"), ("attempt", "b", False, 0.0, "lost"), ("look", "b")], 0, False)
@example([("attempt", "a", True, 0.99, "died"), *LATER], 0, False)
@example([("attempt", "a", True, 0.0, "lost"), *LATER], -280, False)
@example(  # one message known to be b's: it is no proof for a
    [("attempt", "b", True, 0.0, "known"), ("event", "b"), ("attempt", "a", False, 0.0, "lost"), *LATER], 0, False
)
@example(  # b's answer came long before a's attempt; its message is dated later than it was sent
    [("attempt", "b", True, 0.0, "known"), ("pass", 320), ("attempt", "a", False, 0.0, "lost"), *LATER], 280, False
)
@example(  # the event of b's message knows an address and no send: an inference makes it a's
    [
        *[("attempt", "a", False, 0.0, "lost"), ("attempt", "b", True, 0.0, "lost"), ("anonymous event", "b")],
        *[("look", "b"), ("pass", 130), ("look", "b")],
    ],
    0,
    False,
)
@example(  # the records come back later than the answers
    [("attempt", "a", True, 0.99, "lost"), ("pass", 130), ("outage", 0.99), ("look", "a"), ("pass", 60), ("look", "a")],
    0,
    False,
)
@example(  # the first attempt stays unknown, and is excused; the second is lost as well, and is not
    [
        ("attempt", "a", False, 0.0, "lost"),
        ("repeat", "a"),
        ("attempt", "a", True, 0.0, "died"),
        ("attempt", "a", True, 0.0, "known"),
        ("look", "a"),
    ],
    0,
    False,
)
@example(
    [("attempt", "b", True, 0.0, "lost"), ("attempt", "a", False, 0.0, "lost"), *LATER, ("pass", 260), ("look", "a")],
    0,
    True,
)
@example([("attempt", "a", True, 0.0, "lost"), ("event", "a"), ("outage", 0.99)], 0, False)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_interleaving_makes_a_verdict_false_or_a_message_double(
    database: tuple[str, Keyring], steps: list[Step], skew: int, names_sends: bool
) -> None:
    async def play() -> None:
        async with world(database, timedelta(seconds=skew), names_sends=names_sends) as (here, look):
            for step in steps:
                await take(step, here, look)
                for name in SENDS:  # one message, but for attempts that policy excused
                    assert sum(one.attempt > here.excused[name] for one in here.of(name).values()) <= 1

    asyncio.run(play())


Look = Callable[[str], Any]


@asynccontextmanager
async def world(
    database: tuple[str, Keyring], skew: timedelta, *, names_sends: bool
) -> AsyncGenerator[tuple[World, Look]]:
    url, keyring = database
    clock = Clock()
    store = await Store.open(url, keyring, lambda: clock.now())  # noqa: PLW0108 - it is set later
    here = World(next(_NUMBERS), store, skew, names_sends)
    clock.now = lambda: here.now
    client = IterableClient(data_center="us", api_key=SecretStr("k" * 32), transport=httpx.MockTransport(here.answer))
    connector = ConnectorSettings(
        data_center="us", project_type="hybrid", evidence_after_seconds=int(EVIDENCE_AFTER.total_seconds())
    )
    activities = OutcomeActivities(store, OneConnector(InForce(connector, client, Catalog())))

    async def look(name: str) -> None:
        await find_out(here, activities, name)

    try:
        async with store.begin() as tx:
            for name in SENDS:
                recipient = here.recipient(name)
                (known_as,) = store.hasher.all_of(recipient.email, recipient.user_id)
                await tx.sends.claim(Claim(here.workspace(name), name, "r", "marketing", "f" * 64, "t" * 64, known_as))
        with (
            mock.patch.object(inquiry, "_SENT_MESSAGES_PER_SECOND", 1e9),  # its turn comes at once
            mock.patch.object(turns, "_LOOK_UPS_PER_SECOND", 1e9),
        ):
            yield here, look
    finally:
        await client.aclose()
        await store.close()


async def take(step: Step, here: World, look: Look) -> None:
    match step:
        case ("attempt", name, caused, share, answer):
            await attempt(here, name, caused=caused, share=share, answer=answer)
        case ("event" | "anonymous event" as kind, name):
            await report(here, name, named=kind == "event")
        case ("look", name):
            await look(name)
        case ("repeat", name):  # the policy of the stream, after a window without proof
            async with here.store.read() as tx:
                tried = await tx.sends.attempts(here.workspace(name), name)
            if known_outcome(None, tried) is not None:
                here.excused[name] = len(tried)
        case ("pass", seconds):
            here.now += timedelta(seconds=seconds)
        case ("outage", share):
            await outage(here, share, look)


async def attempt(here: World, name: str, *, caused: bool, share: float, answer: Answer) -> None:
    """As `target_recipient` does it. A lost answer takes as long as the client waits, and a request whose worker died
    may be under way as long; the record of a message is late by less than `EVIDENCE_AFTER`."""
    workspace, started = here.workspace(name), here.now
    async with here.store.begin() as tx:
        tried = await tx.sends.attempts(workspace, name)
        row = await tx.sends.get(workspace, name)
        if known_outcome(row, tried, excused=here.excused[name]) is not None:
            return
        number = len(tried) + 1
        await tx.sends.begin_attempt(workspace, name, number, Shadow(template_id=1, campaign_id=here.campaign))
    here.answered_since.pop(name, None)
    ended = started if answer == "known" else started + CALL
    if caused:
        at = started + share * (ended - started)
        visible = at + share * (ended + EVIDENCE_AFTER - at)
        here.messages[f"m-{here.number}-{name}-{number}"] = Message(name, number, at + here.skew, visible)
    if answer == "died":
        return
    here.now = ended
    async with here.store.begin() as tx:
        end = UNKNOWN if answer == "lost" else TAKEN if caused else NOT_TAKEN
        at = await tx.sends.end_attempt(workspace, name, number, end)
        if end == TAKEN:
            await tx.sends.accept(workspace, name, at)


async def outage(here: World, share: float, look: Look) -> None:
    """Every open send looks and gets no answer; afterwards the records are late anew."""
    here.away = True
    for name in SENDS:
        await look(name)
    here.away = False
    here.now += timedelta(seconds=5)
    for message in here.messages.values():
        if message.visible_at > here.now - timedelta(hours=1):
            message.visible_at = here.now + share * EVIDENCE_AFTER


async def report(here: World, name: str, *, named: bool) -> None:
    """A webhook of each of a send's messages, with the correlation, or with the person's address alone: what the inbox
    makes of it."""
    workspace = here.workspace(name)
    known_as = here.store.hasher.of_email(f"ann{here.number}@example.com")
    for id_, message in here.of(name).items():
        if named:
            here.reported.add(name)
        kind = EventKind.SENT if named else EventKind.OPENED
        event = Event(
            event_id=f"{abs(hash((id_, kind))):064x}", kind=kind, occurred_at=message.created_at, message_id=id_
        )
        recorded = Recorded(event, name if named else None, here.campaign, known_as, None, here.now, b"{}")
        async with here.store.begin() as tx:
            await tx.feed.lock(workspace)
            await keep(tx, workspace, [recorded], here.now - timedelta(days=1))


async def find_out(here: World, activities: OutcomeActivities, name: str) -> None:
    """As the run of a send does it."""
    async with here.store.read() as tx:
        tried = await tx.sends.attempts(here.workspace(name), name)
    if not tried:
        return
    found = await activities.find_outcome(
        FindOutcomeRequest(
            workspace_id=here.workspace(name),
            send_id=name,
            recipient=here.recipient(name),
            answered_since=here.answered_since.get(name),
        )
    )
    if found.asked:
        here.answered_since.setdefault(name, here.now)
    else:
        here.answered_since.pop(name, None)
    if found.verdict == "taken":
        assert here.of(name)
    if found.verdict == "not_taken":
        assert not here.of(name)
    if name in here.reported:
        assert found.verdict == "taken"
    if here.names_sends and found.asked:
        if any(message.visible_at <= here.now for message in here.of(name).values()):
            assert found.verdict == "taken"
        began = max(tried[-1].started_at, here.answered_since[name])
        if here.now > began + 2 * CALL + EVIDENCE_AFTER:
            assert found.verdict != "unknown"


@pytest.mark.parametrize("caused", [True, False])
def test_where_events_explain_all_others_the_outcome_is_found_in_the_end(
    database: tuple[str, Keyring], caused: bool
) -> None:
    async def play() -> None:
        async with world(database, timedelta(0), names_sends=False) as (here, look):
            for other in ("b", "c"):
                await attempt(here, other, caused=True, share=0.3, answer="known")
                await report(here, other, named=True)
            await attempt(here, "a", caused=caused, share=0.99, answer="died")
            for _ in range(20):
                await look("a")
                here.now += timedelta(seconds=30)
            async with here.store.read() as tx:
                (tried,) = await tx.sends.attempts(here.workspace("a"), "a")
        assert tried.end == (TAKEN if caused else NOT_TAKEN)

    asyncio.run(play())
