"""A connector: the installation of one workspace, its settings and its state."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from contracts.model import Contract, WorkspaceId
from contracts.template import Stream

DataCenter = Literal["us", "eu"]
ProjectType = Literal["hybrid", "email", "userid"]
"""How the Iterable project identifies people. No API call reports it, so the admin says it."""

ProfilePolicy = Literal["never", "on_unknown", "always"]
"""Whether a send may write a thin profile to Iterable: never, only when Iterable does not know the recipient, or
before every send."""

OutcomePolicy = Literal["at_most_once", "at_least_once"]
"""What to do with a send whose outcome stays unknown to the end: fail it with `outcome_unknown`, or send again."""

KeyPolicy = Literal["wait", "fail"]
"""What sends do while Iterable refuses the API key: wait for a new one, or fail at once."""

Seconds = Annotated[int, Field(ge=0, le=31_536_000)]


class ConnectorSettings(Contract):
    """What an admin decides. Validated together; a refused change leaves the old settings in force."""

    data_center: DataCenter
    project_type: ProjectType = "hybrid"
    transactional_message_type_id: int | None = None
    marketing_message_type_id: int | None = None
    profile_policy: ProfilePolicy = "never"
    profile_fields: list[str] = []
    """Names a thin profile may carry. Nothing else of `recipient.profile` leaves GenieOS."""
    profile_wait_seconds: Seconds = 60
    """Iterable asks for at least 60 s between a profile write and a send that depends on it."""
    confirm_within_seconds: Seconds = 3600
    """How long a run waits for the first event of a message that Iterable took; then it ends as `unconfirmed`."""
    settle_for_seconds: Seconds = 900
    """How long a run stays open for more events after `sent`. Later events reach the timeline all the same."""
    give_up_after_seconds: Annotated[int, Field(ge=1, le=31_536_000)] = 86_400
    """How long a send may wait for Iterable to be reachable and below its rate limit."""
    reconcile_within_seconds: Seconds = 900
    """How long a run looks for evidence of an attempt whose answer was lost."""
    evidence_every_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """How often it looks."""
    evidence_after_seconds: Seconds = 120
    """From when on the absence of a message in Iterable's records proves that an attempt did not reach it. Longer than
    one call may take, plus the time in which records appear (events: 5 s; profiles and sent messages: unknown)."""
    transactional_outcome_policy: OutcomePolicy = "at_least_once"
    marketing_outcome_policy: OutcomePolicy = "at_most_once"
    on_key_refused: KeyPolicy = "wait"

    def outcome_policy(self, stream: Stream) -> OutcomePolicy:
        """The policy of a stream."""
        return self.transactional_outcome_policy if stream == "transactional" else self.marketing_outcome_policy

    def message_type_id(self, stream: Stream) -> int | None:
        """The Iterable message type of a stream."""
        return self.transactional_message_type_id if stream == "transactional" else self.marketing_message_type_id


class ConnectorState(StrEnum):
    """Where an installation stands. `awaiting_webhook` sends already; no event has come back yet."""

    VALIDATING = "validating"
    AWAITING_WEBHOOK = "awaiting_webhook"
    ACTIVE = "active"
    DEGRADED = "degraded"
    UNINSTALLED = "uninstalled"


class InstallRequest(Contract):
    """The argument of `InstallWorkflow`. The API key is not in it: that lies sealed in the store beforehand.

    With `settings` the run checks them and puts them into force at once; without, it waits for the update `configure`.
    """

    workspace_id: WorkspaceId
    settings: ConnectorSettings | None = None


class CheckRequest(Contract):
    """`check_connector` and `adopt_connector`: settings that are not in force yet."""

    workspace_id: WorkspaceId
    settings: ConnectorSettings


class ConnectorStatus(Contract):
    """The query `status` of `InstallWorkflow`, and the answer of `GET /v1/workspaces/{ws}/connector`. `settings` are
    those in force; `reason` says why the last check failed, or what is awaited."""

    workspace_id: WorkspaceId
    state: ConnectorState
    reason: str | None = None
    settings: ConnectorSettings | None = None
    changed_at: datetime | None = None
