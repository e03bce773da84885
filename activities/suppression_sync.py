"""Telling Iterable of our own suppressions, and taking back what was removed since."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.connectors import InForce, InstalledConnectors
from activities.failures import failures, provider_failure
from activities.forgetting import forget
from contracts.channel import EMAIL
from contracts.errors import ConnectorError, ErrorCode
from contracts.suppression import OURS, Cause, PushBatch, PushedBatch
from iterable.bulk import BulkFailure, BulkResult, SubscriptionsBulkResult
from iterable.errors import IterableError
from iterable.lists import Subscriber, Unsubscriber
from iterable.subscriptions import SubscriptionUpdate
from iterable.users import User
from store.person import Person
from store.store import Store
from store.suppressions import PUSHED_SCOPES, UNCLEAR, PushState, Suppression

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_BATCH = 1000
"""People of one bulk call (`iterable.request.BULK_MAX`)."""
_BATCHES_PER_SECOND = 1.0
"""Iterable documents no limit for list calls. A thousand people a second leaves room for everybody else's calls."""
_LOOK_UPS_AT_ONCE = 10
_WITHDRAWN_AT_ONCE = 200
"""Every person of a withdrawal is looked up (100/s for the project, Swagger 1.8), so its batches are smaller."""


class SuppressionSyncActivities:
    """What `SuppressionSyncWorkflow` does to the world."""

    def __init__(self, store: Store, connectors: InstalledConnectors) -> None:
        self._store = store
        self._connectors = connectors

    @activity.defn
    async def push_suppressions(self, batch: PushBatch) -> PushedBatch:
        """Takes the next people off the all-list and its channel.

        Safe to repeat: it changes nothing for who is off already, and rows that were told of are not told of again.
        They are marked before the request leaves, so that the echo is known for one even where it is faster than the
        answer. What Iterable did not take is kept with each row, by its reason. Retried with `rate_limited` while the
        project's pace is used up.
        """
        with structlog.contextvars.bound_contextvars(workspace=batch.workspace_id):
            connector, all_list_id = await self._connector(batch.workspace_id)
            async with self._store.read() as tx:
                wanted = await tx.suppressions.to_push(batch.workspace_id, batch.after, _BATCH)
            if not wanted:
                return PushedBatch(next_after=batch.after, more=False)
            people = _people(wanted)
            await self._begin(batch.workspace_id, wanted, "pushing")
            try:
                result = await connector.iterable.lists.unsubscribe(
                    all_list_id,
                    [Unsubscriber(email=one.email, user_id=one.user_id) for one in people.values()],
                    channel_unsubscribe=True,
                )
            except IterableError as error:
                raise provider_failure(error, connector.settings) from None
            problems = self._problems(people, result)
            await self._end(batch.workspace_id, wanted, problems, "pushed", "not_pushed")
            forgotten = [people[one] for one, reason in problems.items() if reason == "forgotten"]
            if forgotten:
                await forget(self._store, batch.workspace_id, forgotten, source="iterable")
            log.info("suppressions.pushed", people=len(people), failed=len(problems))
            return _outcome(wanted, people, problems, more=len(wanted) == _BATCH)

    @activity.defn
    async def withdraw_suppressions(self, batch: PushBatch) -> PushedBatch:
        """Subscribes people again whose suppression was pushed and removed here since.

        Puts them back onto the all-list and takes Iterable's marketing email channels out of their unsubscribed ones:
        read, merge, write, for there is no call that adds to them and that every project may use. Two writers may undo
        each other. Left alone are channels that they left themselves, as far as an event told us; what they left before
        this connector was installed, or while its webhook was off, cannot be told from what we pushed and is subscribed
        again. Who is still suppressed for another cause, or left the all-list, is not touched. Does nothing unless the
        connector's `push_removals` is on. Safe to repeat.
        """
        with structlog.contextvars.bound_contextvars(workspace=batch.workspace_id):
            connector, all_list_id = await self._connector(batch.workspace_id)
            if not connector.settings.push_removals:
                return PushedBatch(next_after=batch.after, more=False)
            async with self._store.read() as tx:
                wanted = await tx.suppressions.to_withdraw(batch.workspace_id, batch.after, _WITHDRAWN_AT_ONCE)
                held = await tx.suppressions.of(batch.workspace_id, sorted({one.recipient_hash for one in wanted}))
            if not wanted:
                return PushedBatch(next_after=batch.after, more=False)
            free = [
                one for one in wanted if not any(_forbids_withdrawal(s, all_list_id) for s in held[one.recipient_hash])
            ]
            people, problems = _people(free), dict[str, str]()
            if free:
                await self._begin(batch.workspace_id, free, "withdrawing")
                try:
                    problems = await self._resubscribe(connector, all_list_id, people, held)
                except IterableError as error:
                    raise provider_failure(error, connector.settings) from None
                await self._end(batch.workspace_id, free, problems, "withdrawn", "not_withdrawn")
            log.info("suppressions.withdrawn", people=len(people), failed=len(problems))
            outcome = _outcome(free, people, problems, more=len(wanted) == _WITHDRAWN_AT_ONCE)
            return outcome.model_copy(update={"next_after": wanted[-1].cursor})

    async def _resubscribe(
        self, connector: InForce, all_list_id: int, people: dict[str, Person], held: dict[str, list[Suppression]]
    ) -> dict[str, str]:
        listed = await connector.iterable.lists.subscribe(
            all_list_id,
            [Subscriber(email=one.email, user_id=one.user_id) for one in people.values()],
            update_existing_users_only=True,
        )
        problems = self._problems(people, listed)
        marketing = {one.id for one in connector.catalog.channels if (one.medium, one.kind) == (EMAIL, "Marketing")}
        left = {one: person for one, person in people.items() if one not in problems}
        updates: dict[str, SubscriptionUpdate] = {}
        for hash_, user in (await _look_up(connector, left)).items():
            own = {int(s.scope.partition(":")[2]) for s in held.get(hash_, []) if s.scope.startswith("channel:")}
            now = set(user.unsubscribed_channel_ids)
            if now & (marketing - own):
                updates[hash_] = SubscriptionUpdate(
                    email=left[hash_].email,
                    user_id=left[hash_].user_id,
                    unsubscribed_channel_ids=sorted(now - (marketing - own)),
                )
        if updates:
            result = await connector.iterable.subscriptions.bulk_update(list(updates.values()))
            problems |= self._problems({one: left[one] for one in updates}, result)
        return problems

    async def _connector(self, workspace_id: str) -> tuple[InForce, int]:
        with failures():
            connector = await self._connectors.get(workspace_id)
            all_list_id = connector.settings.all_list_id
            if all_list_id is None:
                raise ConnectorError(
                    ErrorCode.REQUEST_INVALID,
                    "No all-list is set for this connector (all_list_id)",
                    "Set it to the list that everybody is on: `connector configure WORKSPACE --set all_list_id=ID`.",
                )
        return connector, all_list_id

    async def _begin(self, workspace_id: str, rows: list[Suppression], state: PushState) -> None:
        """In its turn, which the workers share."""
        async with self._store.begin() as tx:
            wait, now = await tx.paces.reserve(workspace_id, "lists/unsubscribe", _BATCHES_PER_SECOND, timedelta(0))
            if not now:
                raise ApplicationError(
                    "Waits for its turn to tell Iterable", type=ErrorCode.RATE_LIMITED, next_retry_delay=wait
                )
            await tx.suppressions.mark(workspace_id, [(one, state, None) for one in rows], at=datetime.now(UTC))

    async def _end(
        self, workspace_id: str, rows: list[Suppression], problems: dict[str, str], done: PushState, failed: PushState
    ) -> None:
        marks: list[tuple[Suppression, PushState, str | None]] = []
        for one in rows:
            problem = problems.get(one.recipient_hash)
            marks.append((one, done if problem is None else failed, problem))
        async with self._store.begin() as tx:
            await tx.suppressions.mark(workspace_id, marks, at=None)

    def _problems(self, people: dict[str, Person], result: BulkResult | SubscriptionsBulkResult) -> dict[str, str]:
        """Hash → why Iterable did not take that person. It may count failures that it does not name: then none of the
        others of the batch is certain, and they all count as `unclear`."""
        problems = {hash_: failure.reason for hash_, failure in self._named(result.failures) if hash_ in people}
        if result.unnamed_failures or len(problems) < result.fail_count:
            return dict.fromkeys(people, UNCLEAR) | problems
        return dict(problems)

    def _named(self, failures: Iterable[BulkFailure]) -> Iterable[tuple[str, BulkFailure]]:
        """By hash: Iterable may answer an address in another case than it was asked with."""
        hasher = self._store.hasher
        for failure in failures:
            of = hasher.of_email if failure.kind == "email" else hasher.of_user_id
            yield of(failure.identifier), failure


def _people(rows: Iterable[Suppression]) -> dict[str, Person]:
    """Each once: a person may be suppressed by hand and by an import."""
    return {one.recipient_hash: one.person for one in rows if one.person is not None}


def _outcome(
    rows: list[Suppression], people: dict[str, Person], problems: dict[str, str], *, more: bool
) -> PushedBatch:
    return PushedBatch(
        done=len(people) - len(problems),
        failed=dict(Counter(problems.values())),
        next_after=rows[-1].cursor if rows else 0,
        more=more,
    )


def _forbids_withdrawal(held: Suppression, all_list_id: int) -> bool:
    """Of one's own unsubscribes only those from everything: single channels are looked at one by one."""
    if held.cause is Cause.UNSUBSCRIBE:
        return held.scope in {"marketing", f"list:{all_list_id}"}
    return held.cause not in OURS or held.scope in PUSHED_SCOPES


async def _look_up(connector: InForce, people: dict[str, Person]) -> dict[str, User]:
    """Profiles by hash; those that Iterable does not have are absent."""
    users, at_once = connector.iterable.users, asyncio.Semaphore(_LOOK_UPS_AT_ONCE)

    async def one(person: Person) -> User | None:
        async with at_once:
            if person.email is not None:
                return await users.get_by_email(person.email)
            return await users.get_by_user_id(person.value)

    found = await asyncio.gather(*(one(person) for person in people.values()))
    return {hash_: user for hash_, user in zip(people, found, strict=True) if user is not None}
