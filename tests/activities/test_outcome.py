"""Finding out, over the real ledger: any interleaving of attempts, lost answers, records that lag and events."""

import asyncio
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from unittest import mock

import httpx
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from activities import outcome
from activities.connectors import InForce, InstalledConnectors
from activities.joining import keep
from activities.outcome import OutcomeActivities
from activities.target import known_outcome
from contracts.channel import Catalog
from contracts.connector import ConnectorSettings
from contracts.event import Event, EventKind
from contracts.send import Recipient
from contracts.shadow import Shadow
from contracts.target import FindOutcomeRequest
from iterable.client import IterableClient
from store.events import Recorded
from store.keyring import Keyring, new_key_text, parse_keys
from store.migrate import migrate
from store.sends import NOT_TAKEN, TAKEN, UNKNOWN, Claim
from store.store import Store

CAMPAIGN = 7
ANN = Recipient(email="ann@example.com")
SENDS = ("a", "b")

Answer = Literal["known", "lost", "died"]
Step = tuple[Literal["attempt"], str, bool, Answer] | tuple[Literal["appear", "event", "look"], str]
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("attempt"), st.sampled_from(SENDS), st.booleans(), st.sampled_from(["known", "lost", "died"])
        ),
        st.tuples(st.sampled_from(["appear", "event", "look"]), st.sampled_from(SENDS)),
    ),
    max_size=25,
)


@dataclass
class Iterable:
    """The truth: messages by the send that caused them, and which of them the records show."""

    caused: dict[str, str] = field(default_factory=dict[str, str])
    visible: set[str] = field(default_factory=set[str])

    def answer(self, request: httpx.Request) -> httpx.Response:
        """The two look-ups. Neither names a send."""
        at = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} +00:00"
        rows = [{"messageId": message, "campaignId": CAMPAIGN, "createdAt": at} for message in sorted(self.visible)]
        if "getSentMessages" in request.url.path:
            return httpx.Response(200, json={"messages": rows})
        return httpx.Response(200, json={"events": [{**row, "eventType": "emailSend"} for row in rows]})

    def messages_of(self, send_id: str) -> list[str]:
        """What a send really caused."""
        return [message for message, cause in self.caused.items() if cause == send_id]


class OneConnector(InstalledConnectors):
    """A connector without an installation."""

    def __init__(self, in_force: InForce) -> None:
        self._in_force = in_force

    async def get(self, workspace_id: str) -> InForce:
        return self._in_force


@given(STEPS)
@example([("attempt", "a", True, "lost"), ("attempt", "b", False, "lost"), ("appear", "a"), ("look", "b")])
@example([("attempt", "a", True, "died"), ("look", "a"), ("appear", "a"), ("look", "a"), ("event", "a"), ("look", "a")])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_interleaving_makes_a_verdict_false_or_a_message_double(steps: list[Step]) -> None:
    asyncio.run(play(steps))


async def play(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{Path(folder) / 'a.db'}"
        await migrate(url)
        store = await Store.open(url, Keyring(parse_keys(new_key_text())))
        iterable = Iterable()
        client = IterableClient(
            data_center="us", api_key=SecretStr("k" * 32), transport=httpx.MockTransport(iterable.answer)
        )
        try:
            async with store.begin() as tx:
                for send_id in SENDS:
                    known_as = store.hasher.of_email("ann@example.com")
                    await tx.sends.claim(Claim("acme", send_id, "r", "marketing", "f" * 64, "t" * 64, known_as))
            for step in steps:
                await take(step, store, iterable, client)
                assert max(Counter(iterable.caused.values()).values(), default=0) <= 1
        finally:
            await client.aclose()
            await store.close()


async def take(step: Step, store: Store, iterable: Iterable, client: IterableClient) -> None:
    match step:
        case ("attempt", send_id, caused, answer):
            await attempt(store, iterable, send_id, caused=caused, answer=answer)
        case ("appear", send_id):
            iterable.visible |= set(iterable.messages_of(send_id))
        case ("event", send_id):
            await report(store, iterable, send_id)
        case (_, send_id):
            await look(store, iterable, client, send_id)


async def attempt(store: Store, iterable: Iterable, send_id: str, *, caused: bool, answer: Answer) -> None:
    """As `target_recipient` does it."""
    async with store.begin() as tx:
        attempts = await tx.sends.attempts("acme", send_id)
        if known_outcome(await tx.sends.get("acme", send_id), attempts) is not None:
            return
        number = len(attempts) + 1
        await tx.sends.begin_attempt("acme", send_id, number, Shadow(template_id=1, campaign_id=CAMPAIGN))
        if caused:
            iterable.caused[f"m-{send_id}-{number}"] = send_id
        if answer == "died":
            return
        end = UNKNOWN if answer == "lost" else TAKEN if caused else NOT_TAKEN
        at = await tx.sends.end_attempt("acme", send_id, number, end)
        if end == TAKEN:
            await tx.sends.accept("acme", send_id, at)


async def report(store: Store, iterable: Iterable, send_id: str) -> None:
    """A webhook with the correlation: what the inbox makes of it."""
    for message in iterable.messages_of(send_id):
        event = Event(
            event_id=f"{hash(message) % 2**64:064x}",
            kind=EventKind.SENT,
            occurred_at=datetime.now(UTC),
            message_id=message,
        )
        async with store.begin() as tx:
            await tx.feed.lock("acme")
            recorded = Recorded(event, send_id, CAMPAIGN, None, None, datetime.now(UTC), b"{}")
            await keep(tx, "acme", [recorded], datetime.now(UTC) - timedelta(days=1))


async def look(store: Store, iterable: Iterable, client: IterableClient, send_id: str) -> None:
    shown = set(iterable.messages_of(send_id)) <= iterable.visible
    settings_ = ConnectorSettings(data_center="us", evidence_after_seconds=0 if shown else 3600)
    activities = OutcomeActivities(store, OneConnector(InForce(settings_, client, Catalog())))
    request = FindOutcomeRequest(workspace_id="acme", send_id=send_id, recipient=ANN)
    with mock.patch.object(outcome, "_SENT_MESSAGES_PER_SECOND", 1e9):  # its turn comes at once
        found = await activities.find_outcome(request)
    if found.verdict == "taken":
        assert iterable.messages_of(send_id)
    if found.verdict == "not_taken":
        assert not iterable.messages_of(send_id)
