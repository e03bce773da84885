"""Timelines depend on what happened, not on how it was reported."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.event import listen, remove
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment

from activities.catalogs import Catalogs
from activities.connectors import InstalledConnectors
from activities.forgetting import forget
from activities.inbox import InboxActivities
from contracts.event import EventKind, in_order
from contracts.inbox import DrainResult, InboxShard
from contracts.names import send_workflow_id
from contracts.send import SendStatus
from contracts.shadow import Shadow
from contracts.suppression import Cause
from iterable.webhook_event import occurrence_key
from runtime.clients import client_factory
from runtime.settings import Settings
from store.inbox import Arrival
from store.keyring import KeyMissing, Keyring, new_key_text, parse_keys
from store.person import Person
from store.sends import TAKEN, UNKNOWN, Claim
from store.store import Store
from store.tables import event

START = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
CAMPAIGN = 7
KINDS = ("emailSend", "emailOpen", "emailClick", "emailBounce", "emailSendSkip", "emailUnSubscribe")


def _no_catalogs(store: Store) -> Catalogs:
    return Catalogs(store, InstalledConnectors(store, client_factory(Settings())))


@dataclass
class _Runs:
    """Stands in for Temporal. `full` have as many signals as a run may have: the server's answer is the one seen of
    server 1.32."""

    full: set[str] = field(default_factory=set[str])
    tried: list[str] = field(default_factory=list[str])

    def get_workflow_handle(self, workflow_id: str) -> "_Run":
        return _Run(self, workflow_id)


@dataclass
class _Run:
    runs: _Runs
    workflow_id: str

    async def signal(self, name: str, events: object) -> None:
        del name, events
        self.runs.tried.append(self.workflow_id)
        if self.workflow_id in self.runs.full:
            message = "exceeded workflow execution limit for signal events"
            raise RPCError(message, RPCStatusCode.INVALID_ARGUMENT, b"")


def raw(
    name: str,
    at: int,
    message: str | None,
    *,
    send: str | None = None,
    email: str = "ann@example.com",
    campaign: int | None = CAMPAIGN,
    **fields: Any,
) -> dict[str, Any]:
    """A webhook's payload, `at` seconds after the start."""
    known = {"email": email, "createdAt": f"{START + timedelta(seconds=at):%Y-%m-%d %H:%M:%S} +00:00", **fields}
    if message is not None:
        known["messageId"] = message
    if campaign is not None:
        known["campaignId"] = campaign
    if send is not None:
        known["transactionalData"] = {"genieos": {"workspace": "acme", "send": send}}
    return {"email": email, "eventName": name, "dataFields": known}


@dataclass
class Ledger:
    """A workspace with sends in it. `moment` is the store's clock."""

    store: Store
    moment: datetime = START
    workspace: str = "acme"
    runs: _Runs = field(default_factory=_Runs)

    async def sent(self, send_id: str, at: int, email: str = "ann@example.com", ends: Sequence[str] = (TAKEN,)) -> None:
        """A send whose attempts began `at` seconds after the start."""
        self.moment = START + timedelta(seconds=at)
        self.store._clock = lambda: self.moment
        person = self.store.hasher.of_email(email)
        async with self.store.begin() as tx:
            await tx.shadows.save_ready(self.workspace, "f" * 64, Shadow(template_id=1, campaign_id=CAMPAIGN))
            await tx.sends.claim(Claim(self.workspace, send_id, "r", "transactional", "f" * 64, "t" * 64, person))
            for number, end in enumerate(ends, 1):
                await tx.sends.begin_attempt(
                    self.workspace, send_id, number, Shadow(template_id=1, campaign_id=CAMPAIGN)
                )
                await tx.sends.end_attempt(self.workspace, send_id, number, end)
            await tx.sends.accept(self.workspace, send_id, self.moment)

    def named(self, payload: dict[str, Any]) -> dict[str, Any]:
        """The payload with this workspace in its correlation."""
        fields = payload["dataFields"]
        if "transactionalData" not in fields:
            return payload
        data = {"genieos": {**fields["transactionalData"]["genieos"], "workspace": self.workspace}}
        return {**payload, "dataFields": {**fields, "transactionalData": data}}

    async def drain(self, *payloads: dict[str, Any]) -> DrainResult:
        """Posts events, and drains what waits."""
        if payloads:
            await self.store.keep({self.workspace: [orjson.dumps(one) for one in payloads]}, 0)
        inbox = InboxActivities(self.store, self.runs, _no_catalogs(self.store), "iterable")  # pyright: ignore[reportArgumentType]
        return await ActivityEnvironment().run(inbox.drain_inbox, InboxShard(workspace_id=self.workspace))

    async def told(self, *send_ids: str) -> dict[str, Any]:
        """All that is visible of sends: timeline, standing and message id; and how many events are unmatched."""
        async with self.store.read() as tx:
            events = await tx.events.of_sends(self.workspace, send_ids)
            rows = await tx.sends.by_ids(self.workspace, send_ids)
            unmatched = await tx.events.count_unmatched(self.workspace)
            feed = {entry.event.event_id: entry.send_id for entry in await tx.events.page(self.workspace, 0, 1000)}
            joined = {event_id: send_id for event_id, send_id in feed.items() if send_id is not None}
        lines = {
            send_id: [(e.kind, e.occurred_at, e.message_id) for e in in_order(events.get(send_id, []))]
            for send_id in send_ids
        }
        standings = {send_id: (row.status, row.reason, row.message_id) for send_id, row in rows.items()}
        return {
            "lines": lines,
            "standings": standings,
            "unmatched": unmatched,
            "feed": joined,
            "taken_back": len(feed) - len(joined),
        }


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return Ledger(store)


async def test_an_open_before_its_send_is_parked_and_joined(ledger: Ledger) -> None:
    await ledger.sent("s1", 0)
    await ledger.sent("s2", 1)
    result = await ledger.drain(raw("emailOpen", 30, "m1"))
    assert (result.joined, result.unmatched) == (0, 1)
    await ledger.drain(raw("emailSend", 10, "m1", send="s2"))
    told = await ledger.told("s1", "s2")
    assert [kind for kind, _, _ in told["lines"]["s2"]] == [EventKind.SENT, EventKind.OPENED]
    assert told["lines"]["s1"] == []
    assert told["unmatched"] == 0


async def test_an_event_without_a_name_belongs_to_the_one_send_that_can_be_meant(ledger: Ledger) -> None:
    await ledger.sent("s1", 0)
    await ledger.drain(raw("emailSendSkip", 2, "m1", reason="FrequencyCapping"))
    told = await ledger.told("s1")
    assert told["standings"]["s1"] == ("skipped", "FrequencyCapping", "m1")


async def test_an_event_cannot_belong_to_a_send_that_began_after_it(ledger: Ledger) -> None:
    await ledger.sent("later", 3600)
    await ledger.drain(raw("emailSendSkip", 0, "m1", reason="EmptyContent"))
    assert (await ledger.told("later"))["unmatched"] == 1
    await ledger.drain(raw("emailSendSkip", 3600 - 240, "m2", reason="EmptyContent"))  # Iterable's clock is behind
    told = await ledger.told("later")
    assert [message for _, _, message in told["lines"]["later"]] == ["m2"]
    assert told["unmatched"] == 1


async def test_sends_of_one_content_to_one_person_are_told_apart_by_time(ledger: Ledger) -> None:
    await ledger.sent("monday", 0)
    await ledger.sent("tuesday", 86_400)
    await ledger.drain(raw("emailSendSkip", 86_402, "m2", reason="FrequencyCapping"))
    assert (await ledger.told("monday", "tuesday"))["unmatched"] == 1  # it may be either's
    await ledger.drain(raw("emailSendSkip", 2, "m1", reason="EmptyContent"))
    told = await ledger.told("monday", "tuesday")
    assert {send: status[1] for send, status in told["standings"].items()} == {
        "monday": "EmptyContent",
        "tuesday": "FrequencyCapping",
    }


async def test_sends_that_cannot_be_told_apart_leave_their_events_unmatched(ledger: Ledger) -> None:
    await ledger.sent("s1", 0)
    await ledger.sent("s2", 0)
    await ledger.drain(raw("emailSendSkip", 2, "m1"), raw("emailSendSkip", 2, "m2"))
    assert (await ledger.told("s1", "s2"))["unmatched"] == 2
    await ledger.drain(raw("emailSend", 1, "m3", send="s1"))
    told = await ledger.told("s1", "s2")  # one of the two is s2's; which, only the order says
    assert told["unmatched"] == 1
    assert [message for _, _, message in told["lines"]["s2"]] == ["m1"]


async def test_an_inference_gives_way_to_a_name(ledger: Ledger) -> None:
    await ledger.sent("s1", 0)
    await ledger.drain(raw("emailOpen", 5, "m9"))
    before = await ledger.told("s1")
    assert before["standings"]["s1"][2] == "m9"
    await ledger.drain(raw("emailSend", 2, "m1", send="s1"))
    told = await ledger.told("s1")
    assert [message for _, _, message in told["lines"]["s1"]] == ["m1"]
    assert told["unmatched"] == 1
    assert told["taken_back"] == 1  # whoever read the first entry hears of it


@pytest.mark.parametrize("closed_first", [True, False])
@pytest.mark.parametrize(
    ("ends", "end"),
    [
        ((UNKNOWN,), (SendStatus.FAILED, "outcome_unknown")),
        ((TAKEN,), (SendStatus.UNCONFIRMED, "no_event_came")),
        ((TAKEN,), None),
    ],
)
async def test_a_send_whose_only_event_was_another_one_s_stands_as_it_did(
    ledger: Ledger, ends: tuple[str, ...], end: tuple[SendStatus, str] | None, *, closed_first: bool
) -> None:
    await ledger.sent("s1", 0, ends=ends)
    told_event = raw("emailOpen", 5, "m9")
    if not closed_first:
        await ledger.drain(told_event)
    if end is not None:
        async with ledger.store.begin() as tx:
            await tx.sends.close("acme", "s1", *end)
    if closed_first:
        await ledger.drain(told_event)
    assert (await ledger.told("s1"))["standings"]["s1"] == ("sent", None, "m9")
    await ledger.sent("s2", 3)
    await ledger.drain(raw("emailSend", 4, "m9", send="s2"))
    async with ledger.store.read() as tx:
        row = await tx.sends.get("acme", "s1")
    assert row is not None
    assert (row.status, row.reason, row.message_id) == (*(end or (SendStatus.ACCEPTED, None)), None)


async def test_a_send_that_went_out_twice_has_the_events_of_both_messages(ledger: Ledger) -> None:
    await ledger.sent("s1", 0, ends=(UNKNOWN, TAKEN))
    await ledger.drain(raw("emailOpen", 9, "m2"), raw("emailSend", 2, "m1", send="s1"))
    await ledger.drain(raw("emailSend", 3, "m2", send="s1"), raw("emailOpen", 8, "m1"))
    told = await ledger.told("s1")
    assert [message for _, _, message in told["lines"]["s1"]] == ["m1", "m2", "m1", "m2"]
    assert told["standings"]["s1"] == ("sent", None, "m1")


async def test_an_event_is_looked_at_again_once_a_send_appears(ledger: Ledger) -> None:
    """As after a restore of the ledger, or where two machines' clocks and commits cross."""
    await ledger.sent("other", 0, email="bob@example.com")
    await ledger.drain(raw("emailSendSkip", 30, "m1", reason="EmptyContent"))
    assert (await ledger.told("s1"))["unmatched"] == 1
    await ledger.sent("s1", 20)
    await ledger.drain()
    assert (await ledger.told("s1"))["standings"]["s1"] == ("skipped", "EmptyContent", "m1")


async def test_a_later_report_that_names_the_send_joins_an_earlier_one_that_does_not(ledger: Ledger) -> None:
    """A skip's webhook may carry no data; the same skip in an export does."""
    await ledger.sent("s1", 0)
    await ledger.sent("s2", 0)
    await ledger.drain(raw("emailSendSkip", 2, "m1", reason="EmptyContent"))
    assert (await ledger.told("s1", "s2"))["unmatched"] == 1
    result = await ledger.drain(raw("emailSendSkip", 2, "m1", reason="EmptyContent", send="s2", templateId=4))
    assert result.joined == 1
    told = await ledger.told("s1", "s2")
    assert (told["unmatched"], len(told["lines"]["s2"])) == (0, 1)
    await ledger.drain(  # both at once, without a message that its other events could name
        raw("emailSendSkip", 3, None, reason="EmptyContent"),
        raw("emailSendSkip", 3, None, reason="EmptyContent", send="s1", templateId=4),
    )
    told = await ledger.told("s1", "s2")
    assert (told["unmatched"], len(told["lines"]["s1"])) == (0, 1)


async def test_open_runs_are_told_and_one_that_takes_no_more_signals_holds_up_none(ledger: Ledger) -> None:
    now = int((datetime.now(UTC) - START).total_seconds())  # a send of long ago has no run
    for send_id in ("ended", "full", "open"):
        await ledger.sent(send_id, now, f"{send_id}@example.com")
    async with ledger.store.begin() as tx:
        await tx.sends.run_ended("acme", ["ended"])

    def happens(name: str, at: int) -> list[dict[str, Any]]:
        return [raw(name, at, f"m-{s}", send=s, email=f"{s}@example.com") for s in ("ended", "full", "open")]

    ledger.runs.full.add(send_workflow_id("acme", "full"))
    await ledger.drain(*happens("emailSend", now + 1))
    await ledger.drain(*happens("emailOpen", now + 2))
    tried = [workflow_id.rpartition("/")[2] for workflow_id in ledger.runs.tried]
    assert sorted(tried) == ["full", "open", "open"]  # "full" is remembered as one that cannot be told
    assert len((await ledger.told("full"))["lines"]["full"]) == 2


async def test_what_iterable_ordered_stays_in_order_whatever_the_arrival(ledger: Ledger) -> None:
    await ledger.sent("s1", 7200)  # our clock is hours ahead of Iterable's: only inference minds
    await ledger.drain(raw("emailClick", 3, "m1", url="https://x.test/a"))
    await ledger.drain(raw("emailOpen", 2, "m1"), raw("emailSend", 1, "m1", send="s1"))
    kinds = [kind for kind, _, _ in (await ledger.told("s1"))["lines"]["s1"]]
    assert kinds == [EventKind.SENT, EventKind.OPENED, EventKind.CLICKED]


async def test_one_event_that_cannot_be_drained_holds_up_none_of_the_others(ledger: Ledger) -> None:
    await ledger.sent("s1", 0)
    poison = raw("emailOpen", 9, "m2", campaign=2**63 + 5)  # no database has a column for it
    result = await ledger.drain(*(raw("emailOpen", at, "m1") for at in range(20)), poison)
    assert (result.drained, result.joined, result.set_aside) == (20, 20, 1)
    async with ledger.store.read() as tx:
        (problem,) = await tx.inbox.problems("acme", 10)
    assert problem.reason.startswith("unexpected ")


async def test_everything_that_cannot_be_read_is_kept_whatever_it_looks_like(ledger: Ledger) -> None:
    bodies = [{}, {"x": 1}, raw("emailOpen", 1, "m1") | {"eventName": 7}, raw("emailOpen", 1, "m1") | {"eventName": ""}]
    early = raw("emailOpen", 1, "m1")
    early["dataFields"]["createdAt"] = "0001-01-01 00:00:00 +01:00"  # no moment in UTC
    result = await ledger.drain(*bodies, early, bodies[0])
    assert (result.drained, result.set_aside) == (0, 6)
    async with ledger.store.read() as tx:
        assert len(await tx.inbox.problems("acme", 10)) == 5  # one came twice


async def test_events_whose_key_is_gone_hold_up_none_of_the_others(ledger: Ledger) -> None:
    """However they came: alone or many in a packet."""
    await ledger.sent("s1", 0)
    store = ledger.store
    at_home, store._keyring = store._keyring, Keyring(parse_keys(new_key_text()))
    await store.keep({"acme": [orjson.dumps(raw("emailOpen", at, "m2")) for at in range(3)]}, 0)
    async with store.begin() as tx:
        await tx.inbox.add([Arrival("acme", 0, "e" * 64, orjson.dumps(raw("emailOpen", 3, "m2")), START)])
    away, store._keyring = store._keyring, at_home
    await store.keep({"acme": [orjson.dumps(raw("emailClick", 4, "m1"))]}, 0)
    result = await ledger.drain(raw("emailOpen", 5, "m1"))
    assert (result.drained, result.joined, result.set_aside, result.more) == (2, 2, 0, False)
    with pytest.raises(KeyMissing):  # the next worker may have it
        await ledger.drain()
    ledger.moment += timedelta(minutes=16)
    result = await ledger.drain()
    assert (result.drained, result.set_aside, result.more) == (0, 4, False)
    forgotten = await forget(store, "acme", [Person.by_email(store.hasher, "ann@example.com")], source="t")
    assert (forgotten.events, forgotten.waiting, forgotten.sends) == (2, 0, 1)

    store._keyring = away  # the key is back
    async with store.begin() as tx:
        assert len(await tx.inbox.replay("acme", None)) == 4
    result = await ledger.drain()
    assert (result.drained, result.set_aside) == (4, 0)
    async with store.read() as tx:
        assert await tx.events._connection.scalar(select(func.count()).where(event.c.recipient_hash.is_not(None))) == 0


async def test_an_event_that_lay_aside_has_not_waited_for_the_drain(ledger: Ledger) -> None:
    await ledger.store.keep({"acme": [b"{}"]}, 0)
    first = await ledger.drain()
    assert (first.set_aside, first.lag_seconds is None) == (1, False)
    async with ledger.store.begin() as tx:
        await tx.inbox.replay("acme", None)
    again = await ledger.drain()
    assert (again.set_aside, again.lag_seconds) == (1, None)


async def test_forgetting_follows_a_person_from_name_to_name(ledger: Ledger) -> None:
    """Afterwards nothing tells any more that the names belong together."""
    store = ledger.store
    await ledger.sent("s1", 0, "third@example.com")
    chain = [("first@example.com", "u1"), ("second@example.com", "u1"), ("second@example.com", "u2")]
    chain.append(("third@example.com", "u2"))
    events = [
        raw("emailOpen", at, f"m{at}", email=email) | {"userId": user_id} for at, (email, user_id) in enumerate(chain)
    ]
    await ledger.drain(*events, raw("emailOpen", 9, "m9", email="other@example.com"))
    done = await forget(store, "acme", [Person.by_email(store.hasher, "first@example.com")], source="t")
    assert (done.events, done.sends) == (4, 1)
    hashes = sorted({hash_ for email, user_id in chain for hash_ in store.hasher.all_of(email, user_id)})
    async with store.read() as tx:
        assert await tx.suppressions.are_forgotten("acme", hashes) == set(hashes)


async def test_what_is_reported_after_a_forgetting_was_lifted_is_heard_again(ledger: Ledger) -> None:
    store = ledger.store
    person = Person.by_email(store.hasher, "ann@example.com")
    await forget(store, "acme", [person], source="t")
    await ledger.drain(raw("emailComplaint", 1, "m1"))
    async with store.begin() as tx:
        assert [one.cause for one in await tx.suppressions.lift("acme", person.recipient_hash, list(Cause))] == [
            Cause.FORGOTTEN
        ]
    await ledger.drain(raw("emailComplaint", 2, "m2"))
    async with store.read() as tx:
        held = (await tx.suppressions.of("acme", [person.recipient_hash]))[person.recipient_hash]
    assert [one.cause for one in held] == [Cause.COMPLAINT]


async def test_a_batch_is_bounded_by_events_and_by_bytes(ledger: Ledger) -> None:
    bodies = [b"x" * size for size in (10, 10, 10, 5_000, 10)]
    arrivals = [Arrival("acme", 0, f"{n:064x}", body, START) for n, body in enumerate(bodies)]
    async with ledger.store.begin() as tx:
        await tx.inbox.add(arrivals)
    for most_events, most_bytes, expected in ((2, 10_000, (2, True)), (9, 1_000, (3, True)), (9, 10_000, (5, False))):
        async with ledger.store.read() as tx:
            batch = await tx.inbox.batch("acme", 0, most_events, most_bytes)
        assert (len(batch.waiting), batch.more) == expected
    async with ledger.store.begin() as tx:
        await tx.inbox.remove([one.id for one in batch.waiting[:3]])
        alone = await tx.inbox.batch("acme", 0, 9, 1_000)
    assert (len(alone.waiting), alone.more) == (1, True)  # larger than the bound: it still comes, by itself


async def test_an_unmatched_event_is_looked_at_again_once_something_new_is_known_of_its_person(ledger: Ledger) -> None:
    await ledger.sent("s1", 0)
    await ledger.sent("s2", 0)
    await ledger.sent("b1", 0, "bob@example.com")
    await ledger.sent("b2", 0, "bob@example.com")
    await ledger.drain(raw("emailOpen", 60, "m1"), raw("emailOpen", 60, "m2", email="bob@example.com"))
    ids = {who: ledger.store.hasher.of_occurrence(occurrence_key(raw("emailOpen", 60, who))) for who in ("m1", "m2")}

    async def to_look_at() -> list[str]:
        async with ledger.store.read() as tx:
            return await tx.events.to_look_at("acme", 10, timedelta(minutes=1))

    ledger.moment = START + timedelta(hours=1)
    async with ledger.store.begin() as tx:
        await tx.events.looked_at("acme", [ids["m1"]])
    assert await to_look_at() == [ids["m2"]]
    await ledger.sent("s3", 7200)
    assert sorted(await to_look_at()) == sorted(ids.values())


async def test_a_drain_finds_everything_by_index(sqlite_url: str, keyring: Keyring) -> None:
    """By more than the workspace, that is, or by an index that has only what is looked for. SQLite's planner, which
    knows no numbers of rows, is the one that goes astray."""
    ledger = Ledger(await Store.open(sqlite_url, keyring))
    statements: dict[str, Any] = {}

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        del connection, cursor, context
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            statements[statement] = parameters[0] if many else parameters

    await ledger.sent("s1", 0)
    await ledger.sent("s2", 1)
    listen(ledger.store._engine.sync_engine, "before_cursor_execute", note)
    await ledger.drain(raw("emailOpen", 2, "m1"), raw("emailOpen", 2, "m2"), raw("emailSendSkip", 3, None))
    await ledger.drain(raw("emailSend", 1, "m1", send="s1"), raw("emailOpen", 2, "m1"), raw("emailSend", 4, "m3"))
    remove(ledger.store._engine.sync_engine, "before_cursor_execute", note)
    plans: list[tuple[str, str]] = []
    async with ledger.store.read() as tx:
        for statement, parameters in statements.items():
            rows = await tx.events._connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans += [(row.detail, statement) for row in rows]
    await ledger.store.close()
    large = [one for one in plans if one[0].split()[1] in {"event", "send", "attempt", "packet", "suppression"}]
    assert len(large) > 10
    assert [
        (plan, statement)
        for plan, statement in large
        if plan.startswith("SCAN") or (plan.endswith("(workspace_id=?)") and "_to_" not in plan)
    ] == []


async def test_postgresql_joins_alike(postgres_url: str, keyring: Keyring) -> None:
    store = await Store.open(postgres_url, keyring)
    try:
        ledger = Ledger(store)
        await test_sends_of_one_content_to_one_person_are_told_apart_by_time(ledger)
        ledger = Ledger(store, workspace="beta")
        await test_an_event_is_looked_at_again_once_a_send_appears(ledger)
        result = await ledger.drain(raw("emailOpen", 31, "m1"), raw("emailOpen", 32, "m2", campaign=2**63 + 5))
        assert (result.drained, result.set_aside) == (1, 1)
    finally:
        await store.close()


SENDS = ("s1", "s2", "s3")
PAYLOADS = [
    raw(
        name,
        at,
        message,
        send=send,
        email=email,
        **({"url": "https://x.test/a"} if name == "emailClick" else {}),
        **({"recipientState": "SoftBounceGeneral"} if name == "emailBounce" else {}),
        **({"reason": "EmptyContent"} if name == "emailSendSkip" else {}),
    )
    for (name, at), (message, send), email in itertools.product(
        zip(KINDS, (5, 6, 7, 8, 305, 5), strict=True),
        (
            ("m1", "s1"),
            ("m1", None),
            ("m2", "s1"),
            ("m2", None),
            ("m3", "s2"),
            ("m4", None),
            ("m5", None),
            (None, None),
        ),
        ("ann@example.com", "bob@example.com"),
    )
    if send is None or name in {"emailSend", "emailSendSkip"}
]


_workspaces = (f"acme{number}" for number in itertools.count())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_no_order_batching_or_duplication_changes_what_is_told(store: Store, data: st.DataObject) -> None:
    """Over the real store: the same events, told twice in different ways, give the same timelines and standings."""
    chosen = data.draw(
        st.lists(st.sampled_from(PAYLOADS), min_size=1, max_size=9, unique_by=occurrence_key), label="events"
    )
    gaps = data.draw(st.tuples(st.integers(0, 4), st.integers(0, 400)), label="when the sends began")
    twice = data.draw(st.booleans(), label="s1 went out twice")
    told: list[dict[str, Any]] = []
    for _ in range(2):
        order = data.draw(st.permutations(chosen), label="order")
        again = data.draw(st.lists(st.sampled_from(order), max_size=3), label="duplicates")
        cuts = sorted(data.draw(st.sets(st.integers(1, len(order + again)), max_size=3), label="batches"))
        ledger = Ledger(store, workspace=next(_workspaces))
        await ledger.sent("s1", 0, ends=(UNKNOWN, TAKEN) if twice else (TAKEN,))
        await ledger.sent("s2", gaps[0])
        await ledger.sent("s3", gaps[1], email="bob@example.com")
        everything = [ledger.named(one) for one in order + again]
        for start, end in itertools.pairwise([0, *cuts, len(everything)]):
            await ledger.drain(*everything[start:end])
        found = await ledger.told(*SENDS)
        told.append({name: found[name] for name in ("lines", "standings", "unmatched", "feed")})
    assert told[0] == told[1]
