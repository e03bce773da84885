"""The lanes of a broadcast over the real ledger, against an Iterable that answers as it is told."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
from pydantic import SecretStr
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.audience import LineAudience, Position, inline
from activities.audience_lane import AudienceLane
from activities.broadcast import BroadcastActivities, BroadcastLimits
from activities.connectors import InForce
from activities.forgetting import forget
from activities.held_lane import HeldLane
from activities.joining import keep
from activities.lane import Lane, Superseded, Work
from activities.opening import Reading
from activities.sources import Inline, StorageAway, Withheld
from contracts.broadcast import Audience, BroadcastRequest, BroadcastStatus, Tally
from contracts.broadcasting import BroadcastName, LaneRequest, OpenBroadcast, Standing, Wanted
from contracts.connector import ConnectorSettings
from contracts.event import Event, EventKind
from contracts.shadow import Shadow
from contracts.suppression import WORKSPACE, Cause
from contracts.target import Pace
from iterable.client import IterableClient
from store.broadcasts import LaneName, total
from store.events import Recorded
from store.held import HeldRows
from store.members import Members
from store.person import Person
from store.store import Store, Transaction
from store.suppressions import Report

TARGET = "/api/email/target"


@dataclass
class Iterable:
    """Counts messages by address; `answer` says what becomes of a request, by address and how often it came."""

    answer: Callable[[str, int], httpx.Response | Exception | None] = lambda address, times: None
    got: Counter[str] = field(default_factory=Counter[str])
    asked: Counter[str] = field(default_factory=Counter[str])
    records: Counter[str] = field(default_factory=Counter[str])
    paths: Counter[str] = field(default_factory=Counter[str])
    profile: Callable[[str, int], httpx.Response | Exception | None] = lambda address, times: None
    """As `answer`, for a profile that is written."""
    written: Counter[str] = field(default_factory=Counter[str])
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared, it keeps those who target waiting."""

    def __post_init__(self) -> None:
        self.answers.set()

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.paths[request.url.path] += 1
        if "getSentMessages" in request.url.path:
            address = request.url.params["email"]
            at = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} +00:00"
            rows = [
                {"messageId": f"{address}{n}", "campaignId": 2, "createdAt": at} for n in range(self.records[address])
            ]
            return httpx.Response(200, json={"messages": rows})
        if request.url.path == "/api/users/update":
            address = orjson.loads(request.content)["email"]
            self.written[address] += 1
            given = self.profile(address, self.written[address])
            if isinstance(given, Exception):
                raise given
            return given or httpx.Response(200, json={"code": "Success", "msg": ""})
        if request.url.path != TARGET:
            return httpx.Response(200, json={"events": [], "code": "Success"})
        address = orjson.loads(request.content)["recipientEmail"]
        self.asked[address] += 1
        await self.answers.wait()
        given = self.answer(address, self.asked[address])
        if isinstance(given, Exception):
            raise given
        if given is not None:
            return given
        self.got[address] += 1
        self.records[address] += 1
        return httpx.Response(200, json={"code": "Success", "msg": ""})


@dataclass
class Installed:
    """Knows one connector: that of a lane's work."""

    work: Work | None

    async def get_to_begin(self, workspace_id: str) -> None:
        del workspace_id

    async def get(self, workspace_id: str) -> InForce:
        del workspace_id
        assert self.work is not None
        return self.work.connector


@dataclass
class World:
    """One broadcast on one store."""

    store: Store
    iterable: Iterable
    settings: dict[str, Any]
    rows: list[dict[str, Any]]
    broadcast_id: str = field(default_factory=lambda: f"b{uuid.uuid4().hex[:8]}")

    async def open(self, **given: Any) -> None:
        request = BroadcastRequest(
            workspace_id="acme",
            broadcast_id=self.broadcast_id,
            template_ref="a" * 64,
            audience=Audience(uri="inline:"),
            **given,
        )
        async with self.store.begin() as tx:
            await tx.broadcasts.open(request, "run", inline(self.rows))

    async def work(
        self, name: LaneName, *, concurrency: int = 10, page_seconds: float = 20, renewed: bool = False
    ) -> Work:
        settings = ConnectorSettings.model_validate(
            {"data_center": "us", "marketing_message_type_id": 1, "sends_per_second": 10_000, **self.settings}
        )
        client = IterableClient(
            data_center="us", api_key=SecretStr("k" * 32), transport=httpx.MockTransport(self.iterable.handle)
        )
        holder = uuid.uuid4().hex
        async with self.store.begin() as tx:
            begins = await tx.broadcasts.hold("acme", self.broadcast_id, name, holder)
        request = LaneRequest(
            workspace_id="acme",
            broadcast_id=self.broadcast_id,
            run_id="run",
            stream="marketing",
            fingerprint="f" * 64,
            template_ref="a" * 64,
            message_type_id=1,
            shadow=Shadow(template_id=1, campaign_id=2),
            pace=Pace.of(settings, "marketing"),
            renewed=renewed,
        )
        return Work(
            self.store, InForce(settings, client), request, name, holder, begins, None, concurrency, page_seconds
        )

    async def audience(self, **options: Any) -> AudienceLane:
        work = await self.work("audience", **options)
        audience = LineAudience(Inline(inline(self.rows)))
        position = work.begins.position
        start = await audience.begin() if position is None else Position.read(position)
        return AudienceLane(work, audience, start, fail_on_bad=False)

    async def held(self, **options: Any) -> HeldLane:
        return HeldLane(await self.work("held", **options))

    async def run(self, lane: Lane) -> None:
        await asyncio.wait_for(lane.run(), 30)

    async def want(self, wanted: Wanted) -> None:
        async with self.store.begin() as tx:
            await tx.broadcasts.want("acme", self.broadcast_id, wanted)

    def activities(self, work: Work | None = None) -> BroadcastActivities:
        return BroadcastActivities(self.store, Installed(work), BroadcastLimits(Reading(allow_private=True)))  # pyright: ignore[reportArgumentType]

    def resumed(self, **given: Any) -> OpenBroadcast:
        request = BroadcastRequest(workspace_id="acme", broadcast_id=self.broadcast_id, resume=True, **given)
        return OpenBroadcast(request=request, run_id="resumed")

    async def tally(self) -> Tally:
        async with self.store.read() as tx:
            return total((await tx.broadcasts.lanes("acme", self.broadcast_id)).values())


def row(n: int, **given: Any) -> dict[str, Any]:
    return {"recipient": {"email": f"p{n}@example.com"}, "data": {"n": n}, **given}


@pytest.fixture
def world(store: Store) -> World:
    return World(store, Iterable(), {}, [row(n) for n in range(120)])


async def test_each_is_targeted_once_and_every_row_is_counted(world: World) -> None:
    world.rows += [row(0), {"recipient": {}}, row(200, send_id="x"), row(201, send_id="x"), row(300)]
    async with world.store.begin() as tx:
        person = Person.by_email(world.store.hasher, "p300@example.com")
        await tx.suppressions.record("acme", [Report(person, Cause.MANUAL, WORKSPACE, datetime.now(UTC))])
    await world.open()
    lane = await world.audience()
    await world.run(lane)
    assert lane.stop == "end"
    assert set(world.iterable.got.values()) == {1}
    assert await world.tally() == Tally(taken=121, duplicates=2, bad=1, suppressed=1)
    async with world.store.read() as tx:
        entries = await tx.recipients.page("acme", world.broadcast_id, 118, 100)
    assert [(one.row, one.status) for one in entries][2:] == [
        (121, "duplicate"),
        (122, "bad"),
        (123, "accepted"),
        (124, "duplicate"),
        (125, "suppressed"),
    ]


async def test_a_second_pass_over_the_same_rows_sends_nothing_and_counts_nothing_twice(world: World) -> None:
    await world.open()
    await world.run(await world.audience())
    async with world.store.begin() as tx:  # as if no position had ever been written
        await tx.broadcasts.advance("acme", world.broadcast_id, "audience", None, Tally())
    await world.run(await world.audience())
    assert set(world.iterable.got.values()) == {1}
    assert await world.tally() == Tally(taken=120)


async def test_a_lane_that_was_taken_over_stops_and_nobody_is_targeted_twice(world: World) -> None:
    await world.open()
    first = await world.audience(concurrency=4)
    world.iterable.answers.clear()
    running = asyncio.create_task(first.run())
    while world.iterable.asked.total() < 4:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    second = await world.audience()
    world.iterable.answers.set()
    await world.run(second)
    with pytest.raises(Superseded):
        await running
    assert max(world.iterable.got.values()) == 1
    tally = await world.tally()
    assert tally.taken + tally.unknown == 120


@pytest.mark.parametrize("wanted", ["pause", "cancel"])
async def test_nobody_is_targeted_once_a_lane_has_obeyed(world: World, wanted: Wanted) -> None:
    await world.open()
    lane = await world.audience(concurrency=5)
    running = asyncio.create_task(lane.run())
    while sum(world.iterable.got.values()) < 20:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    await world.want(wanted)
    async with world.store.read() as tx:
        begun = await tx.members.attempts("acme", await _send_ids(world))
    await running
    assert lane.stop == {"pause": "paused", "cancel": "cancelled"}[wanted]
    assert sum(world.iterable.got.values()) <= len(begun) < 120
    await world.want("go")
    again = await world.audience()
    await world.run(again)
    assert again.stop == ("end" if wanted == "pause" else "cancelled")
    assert max(world.iterable.got.values()) == 1


async def _send_ids(world: World) -> list[str]:
    async with world.store.read() as tx:
        return [one.send_id or "" for one in await tx.recipients.page("acme", world.broadcast_id, 0, 1000)]


async def test_failures_are_told_by_code_and_can_be_tried_again(world: World) -> None:
    world.rows = world.rows[:20]
    refused = httpx.Response(400, json={"code": "InvalidEmailAddressError", "msg": "", "params": None})
    world.iterable.answer = lambda address, times: refused if address == "p3@example.com" and times == 1 else None
    await world.open()
    await world.run(await world.audience())
    assert await world.tally() == Tally(taken=19, failed={"recipient_invalid": 1})
    async with world.store.read() as tx:
        (failed,) = await tx.recipients.page("acme", world.broadcast_id, 0, 100, "failed")
    assert (failed.row, failed.reason) == (4, "recipient_invalid")


async def test_a_lane_of_which_iterable_takes_nobody_stops_before_it_has_failed_them_all(world: World) -> None:
    world.iterable.answer = lambda address, times: httpx.Response(403, json={"code": "Forbidden", "msg": ""})
    await world.open()
    lane = await world.audience()
    await world.run(lane)
    assert (lane.stop, lane.reason) == ("stuck", "provider_rejected")
    assert 50 <= (await world.tally()).failed["provider_rejected"] < 120


async def test_a_lane_that_is_taken_over_while_it_reads_says_so(world: World) -> None:
    class Slow(Inline):
        async def chunks(self, offset: int, version: str) -> AsyncGenerator[bytes, None]:
            reads.set()
            await asyncio.Event().wait()
            yield b""

    reads = asyncio.Event()
    await world.open()
    audience = LineAudience(Slow(inline(world.rows)))
    lane = AudienceLane(await world.work("audience"), audience, await audience.begin(), fail_on_bad=False)
    with pytest.raises(Superseded):
        async with aclosing(lane):
            running = asyncio.create_task(world.run(lane))
            await reads.wait()
            await world.work("audience")
            await running


async def test_a_row_that_is_refused_with_its_campaign_once_more_fails_and_holds_up_no_other(world: World) -> None:
    gone = httpx.Response(400, json={"code": "BadParams", "msg": "", "params": {"campaignId": "2"}})
    world.iterable.answer = lambda address, times: gone if address == "p3@example.com" else None
    await world.open()
    first = await world.audience()
    await world.run(first)
    assert first.stop == "campaign_gone"
    second = await world.audience(renewed=True)
    await world.run(second)
    assert second.stop == "end"
    assert await world.tally() == Tally(taken=119, failed={"provider_rejected": 1})
    assert world.iterable.asked["p3@example.com"] == 2


async def test_a_retry_that_is_repeated_while_it_is_at_work_counts_nobody_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = HeldRows.change

    async def slow(self: HeldRows, *args: Any) -> None:
        await asyncio.sleep(0.2)  # both have read by then, unless one waits for the other
        await change(self, *args)

    world.rows = world.rows[:2]
    refused = httpx.Response(400, json={"code": "InvalidEmailAddressError", "msg": "", "params": None})
    world.iterable.answer = lambda address, times: refused if address == "p1@example.com" else None
    await world.open()
    await world.run(await world.audience())
    name = BroadcastName(workspace_id="acme", broadcast_id=world.broadcast_id)
    monkeypatch.setattr(HeldRows, "change", slow)
    activities = world.activities()
    assert await asyncio.gather(activities.retry_failed(name), activities.retry_failed(name)) == [1, 1]
    assert await world.tally() == Tally(taken=1, waiting=1)


async def test_a_429_slows_down_and_every_message_still_goes_out_once(world: World) -> None:
    world.rows = world.rows[:30]
    busy = httpx.Response(429, json={"code": "RateLimitExceeded"}, headers={"Retry-After": "0.2"})
    world.iterable.answer = lambda address, times: busy if times == 1 and address == "p1@example.com" else None
    await world.open()
    await world.run(await world.audience())
    assert await world.tally() == Tally(taken=30)
    assert set(world.iterable.got.values()) == {1}


async def test_rows_that_a_429_holds_up_for_long_are_left_to_a_later_page_that_checks_them_again(world: World) -> None:
    busy = httpx.Response(429, json={"code": "RateLimitExceeded"}, headers={"Retry-After": "600"})
    world.iterable.answer = lambda address, times: busy if address == "p1@example.com" else None
    await world.open()
    lane = await world.audience(page_seconds=0.5)
    await world.run(lane)
    assert lane.stop == "page"
    tally = await world.tally()
    assert 0 < tally.rows < 120


async def test_a_lost_answer_is_settled_by_evidence_and_never_repeated_blindly(world: World) -> None:
    """One went out and two did not. That nothing is there says nothing yet the first time that Iterable answers."""
    world.rows = [row(n) for n in range(3)]
    world.settings = {"evidence_after_seconds": 0, "evidence_every_seconds": 1, "reconcile_within_seconds": 60}

    def answer(address: str, times: int) -> httpx.Response | None:
        if times > 1:
            return None
        if address == "p0@example.com":  # it went out, and its answer is lost
            world.iterable.got[address] += 1
            world.iterable.records[address] += 1
        return httpx.Response(500, json={})

    world.iterable.answer = answer
    await world.open()
    await world.run(await world.audience())
    assert await world.tally() == Tally(unknown=3)
    await _due(world)
    held = await world.held()
    await held.find_out()
    assert await world.tally() == Tally(unknown=3)
    await _due(world)
    await held.find_out()
    assert await world.tally() == Tally(taken=1, waiting=2)
    await world.run(held)
    assert world.iterable.got == {f"p{n}@example.com": 1 for n in range(3)}
    assert await world.tally() == Tally(taken=3)


async def test_who_an_event_tells_of_in_the_end_is_not_targeted_again(world: World) -> None:
    """The evidence was late: the row waits already for another try."""
    world.rows = [row(n, send_id=f"snd_{n}") for n in range(2)]
    world.settings = {"evidence_after_seconds": 0, "evidence_every_seconds": 1, "reconcile_within_seconds": 60}
    world.iterable.answer = lambda address, times: httpx.Response(500, json={}) if times == 1 else None
    await world.open()
    await world.run(await world.audience())
    held = await world.held()
    for _ in range(2):
        await _due(world)
        await held.find_out()
    assert await world.tally() == Tally(waiting=2)
    sent = Event(event_id="e" * 64, kind=EventKind.SENT, occurred_at=datetime.now(UTC), message_id="m1")
    async with world.store.begin() as tx:
        await tx.feed.lock("acme")
        late = Recorded(sent, "snd_0", 2, None, None, world.store.now(), b"{}")
        await keep(tx, "acme", [late], world.store.now() - timedelta(days=1))
    await world.run(held)
    assert await world.tally() == Tally(taken=2)
    assert world.iterable.asked == {"p0@example.com": 1, "p1@example.com": 2}


async def test_a_commit_whose_answer_was_lost_costs_a_page_and_no_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it began is in the ledger, and did not leave."""
    begin_attempts, begin, began = Members.begin_attempts, Store.begin, 0

    async def counted(self: Members, *args: Any) -> None:
        nonlocal began
        await begin_attempts(self, *args)
        began += 1

    @asynccontextmanager
    async def lost(self: Store) -> AsyncGenerator[Transaction]:
        nonlocal began
        before = began
        async with begin(self) as tx:
            yield tx
        if before == 1 and began == 2:
            raise OSError

    world.rows = world.rows[:9]
    await world.open()
    lane = await world.audience(concurrency=3)
    monkeypatch.setattr(Members, "begin_attempts", counted)
    monkeypatch.setattr(Store, "begin", lost)
    await world.run(lane)
    assert lane.stop == "trouble"
    assert (await world.tally()).taken == sum(world.iterable.got.values()) > 0
    await world.run(await world.audience())
    assert await world.tally() == Tally(taken=6, unknown=3)
    assert set(world.iterable.got.values()) == {1}


async def test_who_is_forgotten_while_held_is_not_targeted_any_more(world: World) -> None:
    world.rows = [row(0)]
    world.settings = {"evidence_after_seconds": 3600}
    world.iterable.answer = lambda address, times: httpx.Response(500, json={})
    await world.open()
    await world.run(await world.audience())
    person = Person.by_email(world.store.hasher, "p0@example.com")
    await forget(world.store, "acme", [person], source="admin")
    await _due(world)
    held = await world.held()
    await held.find_out()
    await world.run(held)
    assert await world.tally() == Tally(failed={"outcome_unknown": 1})
    assert world.iterable.asked == {"p0@example.com": 1}
    async with world.store.read() as tx:
        assert await tx.held.counts("acme", world.broadcast_id) == {}


async def _due(world: World, held_for: timedelta = timedelta(0)) -> None:
    """Lets every held row be due, and have been held for some time longer."""
    async with world.store.begin() as tx:
        rows = await tx.held.in_state("acme", world.broadcast_id, ("unknown", "waiting"), 0, 1000)
        now = datetime.now(UTC) - timedelta(seconds=1)
        due = [replace(one, due_at=now, held_at=one.held_at - held_for) for one in rows]
        await tx.held.change("acme", world.broadcast_id, due)


async def test_an_audience_that_breaks_off_is_not_taken_for_its_end(world: World) -> None:
    class Breaking(Inline):
        async def chunks(self, offset: int, version: str) -> AsyncGenerator[bytes, None]:
            async for whole in super().chunks(offset, version):
                yield whole[: len(whole) // 2]
            raise OSError("the disk is gone")

    await world.open()
    work = await world.work("audience")
    audience = LineAudience(Breaking(inline(world.rows)))
    with pytest.raises(StorageAway):
        await world.run(AudienceLane(work, audience, await audience.begin(), fail_on_bad=False))
    await world.run(await world.audience())
    assert await world.tally() == Tally(taken=120)
    assert set(world.iterable.got.values()) == {1}


async def test_storage_that_never_answers_is_told_before_anybody_is_targeted(world: World) -> None:
    audience = Audience(uri="http://127.0.0.1:1/people.jsonl")
    request = BroadcastRequest(workspace_id="acme", broadcast_id="b", template_ref="a" * 64, audience=audience)
    opening = OpenBroadcast(request=request, run_id="run")
    environment = ActivityEnvironment()
    with pytest.raises(StorageAway):
        await environment.run(world.activities().open_broadcast, opening)
    environment.info = replace(environment.info, attempt=20)
    with pytest.raises(ApplicationError, match="does not answer") as caught:
        await environment.run(world.activities().open_broadcast, opening)
    assert (caught.value.type, caught.value.non_retryable) == ("request_invalid", True)


async def test_an_end_stands_until_the_broadcast_is_taken_over(world: World) -> None:
    await world.open()
    for status in (BroadcastStatus.CANCELLED, BroadcastStatus.PAUSED):
        async with world.store.begin() as tx:
            await tx.broadcasts.show("acme", world.broadcast_id, status, None)
    assert await _status(world) is BroadcastStatus.CANCELLED
    async with world.store.begin() as tx:
        await tx.broadcasts.take_over("acme", world.broadcast_id, "another")
        await tx.broadcasts.show("acme", world.broadcast_id, BroadcastStatus.SETTLING, None)
    assert await _status(world) is BroadcastStatus.SETTLING


async def test_what_is_gone_over_again_knows_how_it_ended_and_that_its_audience_was_begun(world: World) -> None:
    await world.open()
    async with world.store.begin() as tx:
        await tx.broadcasts.show("acme", world.broadcast_id, BroadcastStatus.FAILED, "request_invalid")
    again = BroadcastRequest(workspace_id="acme", broadcast_id=world.broadcast_id, again=True)
    activities, opening = world.activities(), OpenBroadcast(request=again, run_id="another")
    with pytest.raises(ApplicationError, match="before anybody was targeted"):
        await activities.open_broadcast(opening)
    await world.work("audience")
    for _ in range(2):  # it may be repeated
        opened = await activities.open_broadcast(opening)
        assert (opened.ended_as, opened.ended_because) == (BroadcastStatus.FAILED, "request_invalid")
    async with world.store.begin() as tx:
        await tx.broadcasts.show("acme", world.broadcast_id, BroadcastStatus.PAUSED, "api_key_invalid")
    resumed = await activities.open_broadcast(world.resumed())
    assert resumed.ending is not None  # its run is lost: that is no reason to read its audience on
    opened = await activities.open_broadcast(OpenBroadcast(request=again, run_id="a third"))
    assert (opened.ended_as, opened.ended_because) == (BroadcastStatus.FAILED, "request_invalid")
    async with world.store.begin() as tx:
        await tx.broadcasts.show("acme", world.broadcast_id, BroadcastStatus.FAILED, "outcome_unknown")
    opened = await activities.open_broadcast(OpenBroadcast(request=again, run_id="a fourth"))
    assert opened.ended_because == "outcome_unknown"


@pytest.mark.parametrize(("wanted", "then"), [("go", "go"), ("pause", "go"), ("cancel", "cancel")])
async def test_what_is_taken_up_goes_on_unless_it_was_cancelled(world: World, wanted: Wanted, then: Wanted) -> None:
    await world.open()
    await world.work("audience")
    await world.want(wanted)
    again = BroadcastRequest(workspace_id="acme", broadcast_id=world.broadcast_id, again=True)
    with pytest.raises(ApplicationError, match="`connector broadcast resume` takes it up"):
        await world.activities().open_broadcast(OpenBroadcast(request=again, run_id="another"))
    for _ in range(2):  # it may be repeated
        opened = await world.activities().open_broadcast(world.resumed())
        assert (opened.wanted, opened.ending, opened.ended_as) == (then, None, None)
    async with world.store.read() as tx:
        row = await tx.broadcasts.get("acme", world.broadcast_id)
    assert row is not None
    assert row.wanted == then


async def test_what_never_was_is_not_taken_up(world: World) -> None:
    with pytest.raises(ApplicationError, match="no broadcast of this id to go on with"):
        await world.activities().open_broadcast(world.resumed())


async def test_an_audience_of_which_nothing_was_read_is_not_moved(world: World) -> None:
    await world.open()
    await world.work("audience")
    moved = world.resumed(audience=Audience(uri="http://127.0.0.1:1/people.jsonl"))
    with pytest.raises(ApplicationError, match="Nothing of the audience was read yet"):
        await world.activities().open_broadcast(moved)


@pytest.mark.parametrize("has_begun", [True, False])
async def test_an_audience_that_is_not_handed_out_any_more_pauses_what_was_begun(
    world: World, has_begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Withholding(Inline):
        async def chunks(self, offset: int, version: str) -> AsyncGenerator[bytes, None]:
            if has_begun:
                async for whole in super().chunks(offset, version):
                    yield whole[: len(whole) // 2]
            raise Withheld

    world.rows = [row(n) for n in range(600)]  # more than are read at once
    await world.open()
    work = await world.work("audience")
    audience = LineAudience(Withholding(inline(world.rows)))
    monkeypatch.setattr("activities.broadcast.open_audience", lambda *_: audience)
    targeting = world.activities(work).target_audience(work.request)
    if not has_begun:
        with pytest.raises(ApplicationError):
            await targeting
        return
    report = await targeting
    assert (report.stop, report.reason) == ("stuck", "audience_unavailable")
    assert 0 < (await world.tally()).taken < 600
    await world.run(await world.audience())
    assert await world.tally() == Tally(taken=600)


async def _status(world: World) -> BroadcastStatus | None:
    async with world.store.read() as tx:
        row = await tx.broadcasts.get("acme", world.broadcast_id)
    return row and row.status


ALWAYS = {"profile_policy": "always", "profile_wait_seconds": 0}


async def test_a_profile_that_iterable_refuses_fails_its_own_row_and_no_other(world: World) -> None:
    world.rows, world.settings = world.rows[:30], ALWAYS
    refused = httpx.Response(400, json={"code": "InvalidEmailAddressError", "msg": "", "params": None})
    world.iterable.profile = lambda address, times: refused if address == "p3@example.com" else None
    await world.open()
    await world.run(await world.audience())
    await world.run(await world.held())
    assert await world.tally() == Tally(taken=29, failed={"recipient_invalid": 1})


async def test_a_profile_that_iterable_never_answers_holds_up_no_other_and_ends(world: World) -> None:
    world.rows, world.settings = world.rows[:30], ALWAYS
    world.iterable.profile = lambda address, times: httpx.Response(500) if address == "p3@example.com" else None
    await world.open()
    await world.run(await world.audience())
    await world.run(await world.held())
    assert await world.tally() == Tally(taken=29, waiting=1)
    await _due(world, held_for=timedelta(days=2))
    await world.run(await world.held())
    assert await world.tally() == Tally(taken=29, failed={"provider_unavailable": 1})


async def test_a_page_that_begins_in_a_pause_writes_no_profile(world: World) -> None:
    world.rows, world.settings = world.rows[:30], ALWAYS
    await world.open()
    await world.run(await world.audience())
    await world.want("pause")
    await world.run(await world.held())
    assert not world.iterable.written
    await world.want("go")
    await world.run(await world.held())
    assert len(world.iterable.written) == 30


async def test_rows_that_wait_are_not_due_while_nobody_is_targeted(world: World) -> None:
    world.rows, world.settings = world.rows[:3], ALWAYS
    await world.open()
    await world.run(await world.audience())
    work = await world.work("held")
    await world.want("pause")
    report = await world.activities(work).look_after_held(work.request)
    assert (report.stop, report.held, report.next_due) == ("paused", 3, None)


async def test_a_profile_that_the_key_may_not_write_stops_the_lane_and_says_why(world: World) -> None:
    world.rows, world.settings = world.rows[:30], ALWAYS
    world.iterable.profile = lambda address, times: httpx.Response(401, json={"code": "BadApiKey"})
    await world.open()
    await world.run(await world.audience())
    held = await world.held()
    await world.run(held)
    assert (held.stop, held.reason) == ("trouble", "api_key_invalid")
    assert await world.tally() == Tally(waiting=30)


async def test_a_row_that_iterable_never_answers_for_ends_once_it_has_waited_for_as_long_as_it_may(
    world: World,
) -> None:
    world.rows = [row(0)]
    world.settings = {"evidence_after_seconds": 0}
    world.iterable.answer = lambda address, times: httpx.Response(500, json={})
    await world.open()
    await world.run(await world.audience())
    held = await world.held()
    await _looks(world, held)
    assert await world.tally() == Tally(waiting=1)
    await _due(world, held_for=timedelta(days=2))
    await world.run(held)
    assert await world.tally() == Tally(unknown=1)
    await _looks(world, held)
    assert await world.tally() == Tally(failed={"provider_unavailable": 1})
    assert world.iterable.asked == {"p0@example.com": 2}


async def _looks(world: World, held: HeldLane) -> None:
    """Absence is proven by the second look that Iterable answers."""
    for _ in range(2):
        await _due(world)
        await held.find_out()


async def test_rows_that_are_open_when_a_broadcast_fails_get_a_true_end_and_can_be_gone_over_again(
    world: World,
) -> None:
    """One outcome was lost, and one profile never came to be."""
    world.rows = [row(n) for n in range(3)]
    world.settings = {"evidence_after_seconds": 3600, "profile_policy": "on_unknown"}
    unknown = httpx.Response(400, json={"code": "UnknownEmailError", "msg": "", "params": None})
    answers = {"p0@example.com": httpx.Response(500, json={}), "p1@example.com": unknown}
    world.iterable.answer = lambda address, times: answers.get(address)
    await world.open()
    await world.run(await world.audience())
    assert await world.tally() == Tally(taken=1, unknown=1, waiting=1)
    activities = world.activities()
    standing = Standing(workspace_id="acme", broadcast_id=world.broadcast_id, status=BroadcastStatus.FAILED)
    assert await activities.close_broadcast(standing) == Tally(taken=1, cancelled=1, failed={"outcome_unknown": 1})
    async with world.store.read() as tx:
        ledger = await tx.members.by_ids("acme", await _send_ids(world))
    ends = sorted((one.status, one.reason) for one in ledger.values() if one.status != "accepted")
    assert ends == [("cancelled", "broadcast_failed"), ("failed", "outcome_unknown")]
    name = BroadcastName(workspace_id="acme", broadcast_id=world.broadcast_id)
    assert await activities.retry_failed(name) == 1
    assert await activities.retry_failed(name) == 1  # repeated, since its worker died before it answered
    assert await world.tally() == Tally(taken=1, cancelled=1, unknown=1)
