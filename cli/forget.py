"""Forgetting a person: `connector forget`."""

from datetime import UTC, datetime

from contracts.suppression import WORKSPACE, Cause
from iterable.webhook_event import UnreadableEvent, people_of
from store.forgetting import Forgotten
from store.person import Person
from store.store import Store
from store.suppressions import Report


async def forget(store: Store, workspace_id: str, *, email: str | None = None, user_id: str | None = None) -> Forgotten:
    """Erases a person from everything the store keeps, and suppresses the keyed hashes that are left.

    One transaction; safe to repeat. A user id that events gave together with the address is the same person. What
    happened, when, and to which send stays: the ledger must go on knowing that a send id is used. Not reached from
    here: Temporal's histories (they end with the namespace's retention), backups, and Iterable itself.
    """
    async with store.begin() as tx:
        await tx.feed.lock(workspace_id)
        known_as = set(store.hasher.all_of(email, user_id))
        known_as |= await tx.forgetting.hashes_beside(workspace_id, sorted(known_as))

        def concerns(body: bytes) -> bool:
            try:
                return any(not known_as.isdisjoint(store.hasher.all_of(*person)) for person in people_of(body))
            except UnreadableEvent:
                return _mentions(body, email, user_id)

        waiting = await tx.inbox.erase(workspace_id, concerns)
        events, sends = await tx.forgetting.forget(
            workspace_id,
            sorted(known_as),
            lambda send_id: store.hasher.of_occurrence(f"forgotten:{workspace_id}:{send_id}"),
        )
        # Only hashes are known of a name found beside the given one; `forget` drops the others' names at once.
        people = [Person(recipient_hash, "email", "") for recipient_hash in sorted(known_as)]
        now = datetime.now(UTC)
        await tx.suppressions.record(
            workspace_id, [Report(one, Cause.FORGOTTEN, WORKSPACE, now, source="admin") for one in people]
        )
        await tx.suppressions.forget(workspace_id, sorted(known_as))
    return Forgotten(events, waiting, sends)


def _mentions(body: bytes, email: str | None, user_id: str | None) -> bool:
    """For what is no event at all: better one too many erased than one too few."""
    text = body.decode(errors="replace").lower()
    return any(value is not None and value.lower() in text for value in (email, user_id))
