"""Forgetting people: `connector forget`, and whoever Iterable refuses because they asked to be forgotten."""

from collections.abc import Sequence
from datetime import UTC, datetime

from contracts.suppression import WORKSPACE, Cause
from iterable.webhook_event import UnreadableEvent, people_of
from store.forgetting import Forgotten
from store.person import Person
from store.store import Store
from store.suppressions import Report


async def forget(store: Store, workspace_id: str, people: Sequence[Person], *, source: str) -> Forgotten:
    """Erases people, each given by all names that are known, from everything the store keeps, and suppresses the keyed
    hashes that are left. `source` says who told us.

    One transaction; safe to repeat. A user id that events gave together with an address is the same person. What
    happened, when, and to which send stays: the ledger must go on knowing that a send id is used. Not reached from
    here: Temporal's histories (they end with the namespace's retention), backups, and Iterable itself.
    """
    given = {person.recipient_hash for person in people}
    values = [person.value.lower() for person in people]
    async with store.begin() as tx:
        await tx.feed.lock(workspace_id)
        known_as = await tx.forgetting.all_hashes(workspace_id, sorted(given))

        def concerns(body: bytes) -> bool:
            try:
                return any(not known_as.isdisjoint(store.hasher.all_of(*person)) for person in people_of(body))
            except UnreadableEvent:  # no event at all: better one too many erased than one too few
                text = body.decode(errors="replace").lower()
                return any(value in text for value in values)

        waiting = await tx.inbox.erase(workspace_id, concerns)
        events, sends = await tx.forgetting.forget(
            workspace_id,
            sorted(known_as),
            lambda send_id: store.hasher.of_occurrence(f"forgotten:{workspace_id}:{send_id}"),
        )
        # Only hashes are known of a name found beside the given ones; `forget` drops the others' names at once.
        nameless = [Person(recipient_hash, "email", "") for recipient_hash in sorted(known_as)]
        now = datetime.now(UTC)
        await tx.suppressions.record(
            workspace_id, [Report(one, Cause.FORGOTTEN, WORKSPACE, now, source=source) for one in nameless]
        )
        await tx.suppressions.forget(workspace_id, sorted(known_as))
    return Forgotten(events, waiting, sends)
