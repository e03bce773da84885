"""Suppressions in the store: whatever the order of reports, the newest occurrence wins."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from contracts.suppression import WORKSPACE, Cause
from store.person import Person
from store.store import Store
from store.suppressions import UNCLEAR, PushState, Report, Suppression, Told

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
NAMES = ("ann@example.com", "bob@example.com")


def ann(store: Store) -> Person:
    return Person.by_email(store.hasher, NAMES[0])


def at(minutes: int) -> datetime:
    return NOON + timedelta(minutes=minutes)


async def record(store: Store, *reports: Report, workspace_id: str = "acme", **options: Any) -> int:
    async with store.begin() as tx:
        return await tx.suppressions.record(workspace_id, reports, **options)


async def held(store: Store, person: Person) -> list[Suppression]:
    async with store.read() as tx:
        return (await tx.suppressions.of("acme", [person.recipient_hash]))[person.recipient_hash]


# ── any order ─────────────────────────────────────────────────────────────────────────────────────────────────────────

OCCURRENCES = st.builds(
    lambda name, kind, minute: (name, kind[0], kind[1], kind[2], minute),
    st.sampled_from(NAMES),
    st.sampled_from(
        [
            (Cause.HARD_BOUNCE, WORKSPACE, False),
            (Cause.COMPLAINT, WORKSPACE, False),
            *[
                (Cause.UNSUBSCRIBE, scope, lifts)
                for scope in ("channel:1", "channel:2", "message_type:1")
                for lifts in (False, True)
            ],
        ]
    ),
    st.integers(0, 4),  # few moments, so that ties are common: Iterable reports whole seconds
)
Occurrence = tuple[str, Cause, str, bool, int]


def reports(store: Store, occurrences: Sequence[Occurrence]) -> list[Report]:
    return [
        Report(
            person=Person.by_email(store.hasher, name),
            cause=cause,
            scope=scope,
            at=at(minute),
            lifts=lifts,
            source="webhook",
            reason=f"reason {minute}",
            event_id=f"{number:064x}",
        )
        for number, (name, cause, scope, lifts, minute) in enumerate(occurrences)
    ]


async def everything(store: Store, workspace_id: str) -> list[Suppression]:
    async with store.read() as tx:
        found = await tx.suppressions.page(workspace_id, 0, 1_000)
    return sorted((replace(one, cursor=0) for one in found), key=lambda one: (one.recipient_hash, one.cause, one.scope))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), occurrences=st.lists(OCCURRENCES, max_size=12))
async def test_any_order_and_repetition_of_reports_leads_to_the_same_suppressions(
    store: Store, data: st.DataObject, occurrences: list[Occurrence]
) -> None:
    once = reports(store, occurrences)
    shuffled = data.draw(st.permutations(once + data.draw(st.lists(st.sampled_from(once), max_size=6)) if once else []))
    straight, mixed = uuid.uuid4().hex, uuid.uuid4().hex
    await record(store, *once, workspace_id=straight)
    while shuffled:
        size = data.draw(st.integers(1, len(shuffled)))
        await record(store, *shuffled[:size], workspace_id=mixed)
        shuffled = shuffled[size:]
    found = await everything(store, straight)
    assert found == await everything(store, mixed)
    # And they are what the rule says, worked out the slow way.
    for one in found:
        mine = [r for r in once if (r.person.recipient_hash, r.cause, r.scope) == _key(one)]
        last = max(r.at for r in mine if not r.lifts)
        lifted = max((r.at for r in mine if r.lifts), default=None)
        assert one.active == (lifted is None or lifted <= last)
        assert (one.first_seen_at, one.last_seen_at) == (min(r.at for r in mine if not r.lifts), last)
    assert len(found) == len({_key_of(r) for r in once if not r.lifts})


def _key(one: Suppression) -> tuple[str, Cause, str]:
    return one.recipient_hash, one.cause, one.scope


def _key_of(one: Report) -> tuple[str, Cause, str]:
    return one.person.recipient_hash, one.cause, one.scope


async def test_a_late_report_does_not_undo_a_newer_resubscribe(store: Store) -> None:
    left = Report(ann(store), Cause.UNSUBSCRIBE, "channel:1", at(0))
    await record(store, replace(left, at=at(5), lifts=True))
    await record(store, left)
    assert await held(store, ann(store)) == []
    await record(store, replace(left, at=at(6)))
    (one,) = await held(store, ann(store))
    assert (one.first_seen_at, one.last_seen_at, one.since) == (at(0), at(6), at(6))


async def test_a_resubscribe_lifts_its_own_scope_and_nothing_else(store: Store) -> None:
    await record(
        store,
        Report(ann(store), Cause.UNSUBSCRIBE, "channel:1", at(0)),
        Report(ann(store), Cause.UNSUBSCRIBE, "message_type:1", at(0)),
        Report(ann(store), Cause.HARD_BOUNCE, WORKSPACE, at(0)),
        Report(ann(store), Cause.UNSUBSCRIBE, "channel:1", at(1), lifts=True),
    )
    assert {(one.cause, one.scope) for one in await held(store, ann(store))} == {
        (Cause.UNSUBSCRIBE, "message_type:1"),
        (Cause.HARD_BOUNCE, WORKSPACE),
    }


# ── the feed ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_changes_is_read_again_and_what_does_not_is_not(store: Store) -> None:
    report = Report(ann(store), Cause.HARD_BOUNCE, WORKSPACE, at(1), event_id="e1")
    assert await record(store, report) == 1
    async with store.read() as tx:
        (first,) = await tx.suppressions.page("acme", 0, 10)
    assert await record(store, report) == 0
    async with store.read() as tx:
        assert await tx.suppressions.page("acme", first.cursor, 10) == []
    assert await record(store, replace(report, at=at(0), event_id="e0")) == 1
    async with store.read() as tx:
        (again,) = await tx.suppressions.page("acme", first.cursor, 10)
    assert (again.first_seen_at, again.last_seen_at) == (at(0), at(1))
    assert again.person == ann(store)


async def test_pages_follow_one_another(store: Store) -> None:
    people = [Person.by_email(store.hasher, f"p{number}@example.com") for number in range(25)]
    await record(store, *(Report(one, Cause.MANUAL, WORKSPACE, at(0)) for one in people))
    seen: list[str] = []
    after = 0
    while True:
        async with store.read() as tx:
            found = await tx.suppressions.page("acme", after, 10)
        if not found:
            break
        seen += [one.recipient_hash for one in found]
        after = found[-1].cursor
    assert seen == [one.recipient_hash for one in people]


async def test_a_batch_of_people_is_checked_at_once(store: Store) -> None:
    people = [Person.by_email(store.hasher, f"p{number}@example.com") for number in range(1_203)]
    await record(store, *(Report(one, Cause.MANUAL, WORKSPACE, at(0)) for one in people[::2]))
    async with store.read() as tx:
        found = await tx.suppressions.of("acme", [one.recipient_hash for one in people])
    assert set(found) == {one.recipient_hash for one in people[::2]}


# ── by hand ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_lifted_by_hand_may_be_added_again(store: Store) -> None:
    now = datetime.now(UTC)
    manual = Report(ann(store), Cause.MANUAL, WORKSPACE, now + timedelta(seconds=30))  # our clocks may differ
    await record(store, manual, Report(ann(store), Cause.COMPLAINT, WORKSPACE, at(0)))
    async with store.begin() as tx:
        (lifted,) = await tx.suppressions.lift("acme", ann(store).recipient_hash, [Cause.MANUAL])
    assert lifted.cause is Cause.MANUAL
    assert [one.cause for one in await held(store, ann(store))] == [Cause.COMPLAINT]
    await record(store, replace(manual, at=now + timedelta(minutes=1)), only_new=True)
    assert [one.cause for one in await held(store, ann(store))] == [Cause.COMPLAINT, Cause.MANUAL]


async def test_an_import_leaves_alone_what_holds(store: Store) -> None:
    first = Report(ann(store), Cause.IMPORT, WORKSPACE, at(0), reason="first")
    assert await record(store, first, only_new=True) == 1
    assert await record(store, replace(first, at=at(5), reason="second"), only_new=True) == 0
    (one,) = await held(store, ann(store))
    assert (one.reason, one.last_seen_at) == ("first", at(0))


async def test_addresses_are_sealed_and_forgotten_on_request(store: Store) -> None:
    await record(store, Report(ann(store), Cause.MANUAL, WORKSPACE, at(0)))
    async with store.read() as tx:
        rows = (await tx.suppressions._connection.execute(text("SELECT * FROM suppression"))).all()
    assert NAMES[0].encode() not in repr(rows).encode()
    async with store.begin() as tx:
        await tx.suppressions.forget("acme", [ann(store).recipient_hash])
        (one,) = await tx.suppressions.page("acme", 0, 10)
    assert one.person is None
    assert one.active


# ── what Iterable is told ─────────────────────────────────────────────────────────────────────────────────────────────


async def to_push(store: Store) -> list[str]:
    async with store.read() as tx:
        return [one.person.value for one in await tx.suppressions.to_push("acme", 0, 100) if one.person]


async def test_only_our_own_that_concern_marketing_are_pushed_and_only_once(store: Store) -> None:
    def of(name: str, cause: Cause, scope: str = WORKSPACE) -> Report:
        return Report(Person.by_email(store.hasher, name), cause, scope, at(0))

    await record(
        store,
        of("manual@x.test", Cause.MANUAL),
        of("import@x.test", Cause.IMPORT, "marketing"),
        of("receipts@x.test", Cause.IMPORT, "transactional"),
        of("bounce@x.test", Cause.HARD_BOUNCE),
    )
    assert await to_push(store) == ["manual@x.test", "import@x.test"]
    async with store.begin() as tx:
        first, second = await tx.suppressions.to_push("acme", 0, 100)
        await tx.suppressions.mark("acme", [(first, "pushing", None), (second, "pushing", None)], at=at(1))
        await tx.suppressions.mark("acme", [(first, "pushed", None), (second, "not_pushed", "not_found")], at=None)
    assert await to_push(store) == ["import@x.test"]
    async with store.begin() as tx:
        await tx.suppressions.lift("acme", first.recipient_hash, [Cause.MANUAL])
        assert [one.recipient_hash for one in await tx.suppressions.to_withdraw("acme", 0, 100)] == [
            first.recipient_hash
        ]
        told = await tx.suppressions.told("acme", [first.recipient_hash, second.recipient_hash, "0" * 64])
        assert [one.pushed_at for one in told[first.recipient_hash]] == [at(1)]
        assert set(told) == {first.recipient_hash}
        await tx.suppressions.mark("acme", [(second, "not_pushed", UNCLEAR)], at=None)
        await tx.suppressions.lift("acme", second.recipient_hash, [Cause.IMPORT])
        withdrawn = {one.recipient_hash for one in await tx.suppressions.to_withdraw("acme", 0, 100)}
        assert withdrawn == {first.recipient_hash, second.recipient_hash}  # Iterable may have the other one as well
    await record(store, replace(of("manual@x.test", Cause.MANUAL), at=datetime.now(UTC) + timedelta(seconds=1)))
    assert await to_push(store) == ["manual@x.test"]


async def test_what_iterable_was_told_of_is_known_with_each_of_its_moments(store: Store) -> None:
    """The echo of a push may come after the withdrawal, and a suppression may be pushed again."""
    person = ann(store)

    async def told() -> list[Told]:
        async with store.read() as tx:
            return (await tx.suppressions.told("acme", [person.recipient_hash])).get(person.recipient_hash, [])

    async def mark(state: PushState, problem: str | None = None, moment: datetime | None = None) -> None:
        async with store.begin() as tx:
            (one,) = (await tx.suppressions.of("acme", [person.recipient_hash], lifted=True))[person.recipient_hash]
            await tx.suppressions.mark("acme", [(one, state, problem)], at=moment)

    await record(store, Report(person, Cause.MANUAL, WORKSPACE, at(0)))
    assert await told() == []
    await mark("pushing", moment=at(1))
    assert await told() == [Told(pushed_at=at(1))]
    await record(store, Report(person, Cause.MANUAL, WORKSPACE, at(2), lifts=True))
    assert await told() == [Told(at(1), at(2))]
    await mark("withdrawing", moment=at(3))
    await mark("withdrawn")
    assert await told() == [Told(at(1), at(2), at(3))]
    await record(store, Report(person, Cause.MANUAL, WORKSPACE, at(4)))
    assert await told() == [Told(at(1), at(2), at(3))]  # it holds again, but was not pushed again
    await mark("pushing", moment=at(5))
    assert await told() == [Told(at(5), None, at(3))]
    await mark("not_pushed", "not_found")
    assert await told() == [Told(None, None, at(3))]


async def test_who_was_forgotten_stays_nameless_until_an_admin_lifts_it(store: Store) -> None:
    """An old file may have their address still."""
    person, bob = ann(store), Person.by_email(store.hasher, NAMES[1])

    async def names() -> list[str | None]:
        async with store.read() as tx:
            page = await tx.suppressions.page("acme", 0, 10)
        return sorted(one.person.value for one in page if one.person is not None)

    async def forgotten() -> set[str]:
        async with store.read() as tx:
            return await tx.suppressions.are_forgotten("acme", [person.recipient_hash, bob.recipient_hash])

    await record(store, Report(person, Cause.FORGOTTEN, WORKSPACE, at(0)))
    async with store.begin() as tx:
        await tx.suppressions.forget("acme", [person.recipient_hash])
    again = [Report(one, Cause.IMPORT, WORKSPACE, at(1)) for one in (person, bob)]
    assert await record(store, *again) == 2
    assert await names() == [bob.value]
    assert await forgotten() == {person.recipient_hash}
    async with store.begin() as tx:
        await tx.suppressions.lift("acme", person.recipient_hash, [Cause.FORGOTTEN])
    assert await forgotten() == set()
    await record(store, Report(person, Cause.MANUAL, WORKSPACE, at(2)))
    assert await names() == [person.value, bob.value]
