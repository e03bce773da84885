"""A suppression: who must not be sent to, why, within which scope. And what passes around `SuppressionSyncWorkflow`."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from contracts.model import Contract, Sha256, WorkspaceId
from contracts.template import Stream


class Cause(StrEnum):
    """Why."""

    HARD_BOUNCE = "hard_bounce"
    COMPLAINT = "complaint"
    UNSUBSCRIBE = "unsubscribe"
    FORGOTTEN = "forgotten"
    """Iterable refused a send because the person asked to be forgotten (GDPR)."""
    MANUAL = "manual"
    IMPORT = "import"


OURS = (Cause.MANUAL, Cause.IMPORT)
"""Decided on our side, so Iterable knows of them only once they are pushed."""

WORKSPACE = "workspace"
"""The scope of what concerns all mail of the workspace."""

Scope = Annotated[str, Field(pattern=r"^(workspace|transactional|marketing|(channel|message_type|list):\d+)$")]
"""`workspace`, one stream, or what an unsubscribe named: `channel:7`, `message_type:7`, `list:7` (Iterable's ids)."""

Given = Literal["workspace", "transactional", "marketing"]
"""Scopes that a person or an import may give."""

SyncId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class SuppressionEntry(Contract):
    """One suppression as GenieOS reads it by cursor.

    An entry that changes (seen again, lifted) gets a new `cursor` and is read again, so a reader that goes on from its
    last cursor misses nothing. `first_seen_at` and `last_seen_at` are when it was reported to have happened, not when
    the report arrived. `email` or `user_id` says whose it is; neither is there where the person asked to be forgotten,
    and for entries of the first release. `blocks` are the streams it blocks now: none once it is lifted, and none
    where its scope is not used by this connector (a list, say).
    """

    cursor: int
    workspace_id: WorkspaceId
    recipient_hash: Sha256
    email: str | None
    user_id: str | None
    cause: Cause
    scope: Scope
    active: bool
    blocks: list[Stream]
    reason: str | None
    source: str | None
    first_seen_at: datetime
    last_seen_at: datetime
    lifted_at: datetime | None


class SuppressionPage(Contract):
    """Entries after a cursor, oldest change first; `next_cursor` is what to ask with next."""

    entries: list[SuppressionEntry]
    next_cursor: int


# ── pushing them to Iterable ──────────────────────────────────────────────────────────────────────────────────────────


class SyncProgress(Contract):
    """How far a sync has come: people, not calls. The query `progress` and the result of `SuppressionSyncWorkflow`.

    `failed` counts what Iterable did not take, by its reason (`not_found`: Iterable has no such user; `forgotten`,
    `invalid`, `invalid_data`, `conflict`; `unclear`: it said that some of a batch failed, but not which). Each is kept
    with its suppression and is tried again by the next sync.
    """

    pushed: int = 0
    withdrawn: int = 0
    failed: dict[str, int] = {}
    batches: int = 0

    def plus(self, batch: "PushedBatch", *, withdrawn: bool) -> "SyncProgress":
        """With one more batch."""
        failed = dict(self.failed)
        for reason, count in batch.failed.items():
            failed[reason] = failed.get(reason, 0) + count
        return SyncProgress(
            pushed=self.pushed + (0 if withdrawn else batch.done),
            withdrawn=self.withdrawn + (batch.done if withdrawn else 0),
            failed=failed,
            batches=self.batches + 1,
        )


class SyncRequest(Contract):
    """The argument of `SuppressionSyncWorkflow`, whose id is `iterable/{workspace_id}/suppressions/{sync_id}`.

    Only the first two are for whoever starts it; the others carry a sync over its continuations.
    """

    workspace_id: WorkspaceId
    sync_id: SyncId
    phase: Literal["push", "withdraw"] = "push"
    after: int = 0  # exclusive
    progress: SyncProgress = SyncProgress()


class PushBatch(Contract):
    """`push_suppressions` and `withdraw_suppressions`: the next people after a cursor."""

    workspace_id: WorkspaceId
    after: int  # exclusive


class PushedBatch(Contract):
    """What became of one batch. `more` says that people may be left after `next_after`."""

    done: int = 0
    failed: dict[str, int] = {}
    next_after: int
    more: bool
