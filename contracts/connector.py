"""A connector: the installation of one workspace, its settings and its state."""

import re
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from contracts.finding import Finding
from contracts.model import Contract, WorkspaceId
from contracts.template import EmailAddress, Sender, Stream

DataCenter = Literal["us", "eu"]
ProjectType = Literal["hybrid", "email", "userid"]
ProfilePolicy = Literal["never", "on_unknown", "always"]
OutcomePolicy = Literal["at_most_once", "at_least_once"]
KeyPolicy = Literal["wait", "fail"]
UnsubscribePolicy = Literal["allow", "warn", "refuse"]

Seconds = Annotated[int, Field(ge=0, le=31_536_000)]

AllowedSender = Annotated[str, Field(pattern=r"^([^\s@<>]+@)?[A-Za-z0-9.-]+\.[A-Za-z0-9-]+$", max_length=254)]
"""An address, or a domain, which stands for every address in it and not for its subdomains."""


def _network(text: str) -> str:
    """As it is kept: `203.0.113.7` is `203.0.113.7/32`. Raises `ValueError` for host bits that are set, which are
    oftener a slip than meant."""
    try:
        network = ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError("is no network: write 203.0.113.0/24, 2001:db8::/32, or one address") from None
    address, _, length = text.strip().partition("/")
    if length and ip_address(address) != network.network_address:
        raise ValueError(f"has host bits set: is {network} meant, or the one address {address}?")
    return str(network)


_IS_SENDER = re.compile(r"[^\s@<>]+@[^\s@<>]+|.*\{\{.*")
"""An address, or merge tags that may become one."""

Network = Annotated[str, AfterValidator(_network)]
"""A network in CIDR notation, v4 or v6."""


class ConnectorSettings(Contract):
    """What an admin decides. Validated together; a refused change leaves the old settings in force."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    data_center: DataCenter
    """Where the Iterable project is hosted. Its API key is of no use in the other one."""
    project_type: ProjectType = "hybrid"
    """How the Iterable project identifies people. No API call reports it, so the admin says it."""
    transactional_message_type_id: int | None = None
    """An Iterable message type whose channel is transactional email. Without one, transactional sends are refused."""
    marketing_message_type_id: int | None = None
    """An Iterable message type whose channel is marketing email. Without one, marketing sends are refused."""
    profile_policy: ProfilePolicy = "never"
    """Whether a send may write a thin profile to Iterable: never, only when Iterable does not know the recipient, or
    before every send."""
    profile_fields: list[str] = []
    """Names a thin profile may carry. Nothing else of `recipient.profile` leaves GenieOS."""
    profile_wait_seconds: Seconds = 60
    """Iterable asks for at least 60 s between a profile write and a send that depends on it."""
    confirm_within_seconds: Seconds = 3600
    """How long a run waits for the first event of a message that Iterable took; then it ends as `unconfirmed`."""
    settle_for_seconds: Seconds = 900
    """How long a run stays open for more events after `sent`. Later events reach the timeline all the same."""
    sends_per_second: Annotated[float, Field(gt=0, le=10_000)] = 100.0
    """The most messages a second for the whole project, whoever sends them; single sends go first. Iterable documents
    no limit: ask for yours. What it answers with 429 slows everybody down by itself, and recovers."""
    give_up_after_seconds: Annotated[int, Field(ge=1, le=31_536_000)] = 86_400
    """How long a send may wait for Iterable to be reachable, to answer, and to be below its rate limit; from the first
    attempt that it did not take."""
    reconcile_within_seconds: Seconds = 900
    """How long a run looks for evidence of an attempt whose answer was lost."""
    evidence_every_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """How often it looks."""
    evidence_after_seconds: Seconds = 120
    """How long after an attempt, and after Iterable answers again, the absence of a message in Iterable's records
    proves that the attempt did not reach it. Records appear late (events: 5 s; profiles and sent messages: unknown),
    and what Iterable took long over may be sent after its answer was lost. Longer than `reconcile_within_seconds`:
    absence proves nothing."""
    transactional_outcome_policy: OutcomePolicy = "at_least_once"
    """What to do with a transactional send whose outcome stays unknown to the end: fail it with `outcome_unknown`
    (`at_most_once`), or send again."""
    marketing_outcome_policy: OutcomePolicy = "at_most_once"
    """The same for marketing."""
    on_key_refused: KeyPolicy = "wait"
    """What sends do while Iterable refuses the API key: wait for a new one, or fail at once."""
    complaint_blocks_transactional: bool = True
    """A complaint always blocks marketing; whether receipts and passwords still go out to whom complained, you say."""
    template_max_bytes: Annotated[int, Field(ge=1_000, le=5_000_000)] = 1_000_000
    """The most that the HTML of one template may have (UTF-8, images hosted); above it is `template_too_large`. What
    Iterable takes at most is documented nowhere."""
    marketing_without_unsubscribe: UnsubscribePolicy = "warn"
    """What to do with marketing mail that has no unsubscribe tag. Iterable can add a block of its own to a channel's
    mail, so its absence need not be wrong."""
    preview_templates: bool = True
    """Whether a dry run of a content that Iterable does not have may make a template there, for as long as the render
    takes. Iterable renders nothing else; without it such a dry run is rendered here only."""
    archive_idle_after_days: Annotated[int, Field(ge=0, le=3650)] = 90
    """Campaigns of contents that nobody has sent for so long are archived in Iterable; 0 keeps them all. A content that
    is sent again gets another campaign."""
    all_list_id: int | None = None
    """The Iterable list that everybody is on. With it, our own suppressions can be pushed to Iterable, and leaving it
    blocks marketing; leaving any other list is a list matter and blocks nothing."""
    default_from_email: Sender | None = None
    """The sender of templates that name none."""
    default_from_name: str | None = None
    """Belongs to the default sender: a template with a sender of its own keeps its own name, or none."""
    default_reply_to: EmailAddress | None = None
    """Belongs to the default sender, as its name does."""
    allowed_senders: list[AllowedSender] = []
    """Who templates may be sent from; anybody where it is empty. Iterable decides in the end: it skips messages of
    senders that it has not authorised."""
    ip_allowlist: list[Network] = []
    """Where webhooks may come from; anywhere where it is empty. Iterable publishes its addresses, and may change them:
    what comes from elsewhere is refused and counted, and turns the connector `degraded`."""
    webhook_token_overlap_seconds: Seconds = 86_400
    """How long the old webhook token stays valid after a rotation."""
    health_every_seconds: Annotated[int, Field(ge=1, le=86_400)] = 900
    """How often the connector is looked at: key, message types, webhook, activation. Five reads of Iterable each."""
    activation_wait_seconds: Seconds = 82_800
    """How long a new campaign waits for somebody to press Activate in Iterable, where Iterable does not allow the
    connector to. Sends of that content wait with it; then they fail with `activation_required`."""
    push_removals: bool = False
    """Whether a sync also takes back in Iterable what it pushed and was removed here since. It subscribes people again,
    so it stays off unless somebody decides it."""

    def contradictions(self) -> list[str]:
        """What does not fit together. Looked at when settings are to come into force, not when they are read: what is
        in force stays readable whatever a later release thinks of it."""
        problems: list[str] = []
        if self.transactional_message_type_id is None and self.marketing_message_type_id is None:
            problems.append("set a message type for one stream at least")
        if self.data_center == "eu" and self.project_type == "email":
            problems.append("Iterable has no email-based projects in its EU data center")
        if self.push_removals and self.all_list_id is None:
            problems.append("push_removals needs an all_list_id")
        if self.profile_policy == "never" and self.profile_fields:
            problems.append("profile_fields are never written under the profile_policy never")
        if self.default_from_email is None and (self.default_from_name or self.default_reply_to):
            problems.append("default_from_name and default_reply_to need a default_from_email")
        if self.default_from_email is not None and not _IS_SENDER.fullmatch(self.default_from_email):
            problems.append("default_from_email is no address")
        elif self.default_from_email is not None and not self.may_send_from(self.default_from_email):
            problems.append("default_from_email is none of the allowed_senders")
        return problems

    def may_send_from(self, address: str) -> bool:
        """Whether the allowed senders take an address. One with merge tags before its @ needs its whole domain to be
        allowed; with tags behind it nobody can tell, so it is not."""
        if not self.allowed_senders:
            return True
        allowed = {one.lower() for one in self.allowed_senders}
        address = address.strip().lower()
        domain = address.rpartition("@")[2]
        return domain in allowed or ("{{" not in address and address in allowed)

    def outcome_policy(self, stream: Stream) -> OutcomePolicy:
        """The policy of a stream."""
        return self.transactional_outcome_policy if stream == "transactional" else self.marketing_outcome_policy

    def message_type_id(self, stream: Stream) -> int | None:
        """The Iterable message type of a stream."""
        return self.transactional_message_type_id if stream == "transactional" else self.marketing_message_type_id


class ConnectorState(StrEnum):
    """Where an installation stands. `validating` was never in force: its check goes on; or, as `refused` in its status
    tells, was refused, and another installation is waited for. `awaiting_webhook` and `degraded` send: no event has
    come back yet; something needs an admin. `paused` and `uninstalled` refuse new sends with `connector_disabled`."""

    VALIDATING = "validating"
    AWAITING_WEBHOOK = "awaiting_webhook"
    ACTIVE = "active"
    DEGRADED = "degraded"
    PAUSED = "paused"
    UNINSTALLED = "uninstalled"


class ConnectorStatus(Contract):
    """The query `status` of `InstallWorkflow`, and the answer of `GET /v1/workspaces/{ws}/connector`. `settings` are
    those in force; `reason` says what is wrong or awaited, in one text; `findings` are the points of the last look."""

    workspace_id: WorkspaceId
    state: ConnectorState
    refused: bool = False
    """Of one that is `validating`: its first check is over, and `reason` says why nothing came into force."""
    reason: str | None = None
    settings: ConnectorSettings | None = None
    changed_at: datetime | None = None
    findings: list[Finding] = []
    checked_at: datetime | None = None
    last_webhook_at: datetime | None = None

    @property
    def word(self) -> str:
        """The state for people, who are not told that something goes on where it was refused."""
        return "refused" if self.refused else self.state.value
