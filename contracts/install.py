"""What `InstallWorkflow` is asked for, and what it answers."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from contracts.connector import ConnectorSettings, ConnectorStatus
from contracts.finding import Finding, problems
from contracts.model import Contract, Sha256, WorkspaceId
from contracts.template import EmailAddress, Stream


class InstallRequest(Contract):
    """The argument of `InstallWorkflow`. The API key is not in it: that lies sealed in the store beforehand.

    With `settings` the run checks them and puts them into force at once; without, it waits for the update `configure`.
    """

    workspace_id: WorkspaceId
    settings: ConnectorSettings | None = None
    carried: ConnectorStatus | None = None
    """Set by the run itself, where it continues as new."""


class CheckRequest(Contract):
    """`check_connector`: settings that are not in force yet. Without settings, those in force with a key on offer."""

    workspace_id: WorkspaceId
    settings: ConnectorSettings | None = None


class CheckReport(Contract):
    """`adopt_connector`: what was checked and may come into force. `offer` names the key that was checked, so that no
    other one slips in; without it, the key in force stays."""

    workspace_id: WorkspaceId
    settings: ConnectorSettings
    findings: list[Finding]
    offer: str | None = None


class TokenRequest(Contract):
    """The update `rotate_webhook_token`: which of the tokens in the store becomes the only one, by its hash."""

    token_hash: Sha256


class TokenRotation(Contract):
    """`rotate_webhook_token`."""

    workspace_id: WorkspaceId
    token_hash: Sha256


class RotatedToken(Contract):
    """The update `rotate_webhook_token`. The token itself is not in it: who asked for the rotation has it."""

    old_valid_until: datetime
    webhook: Finding
    """Whether Iterable sends the new token, or what the admin has to do."""


class UninstallRequest(Contract):
    """The update `uninstall`. New sends are refused once it returns; the run goes on until all is done."""

    archive_campaigns: bool = False
    """Archive the connector's campaigns in Iterable. Only Iterable's UI brings one back; a reinstall makes new ones."""
    forget_key: bool = True
    """Forget the API key and the webhook tokens when all is done."""
    wait_seconds: Annotated[int, Field(ge=0, le=86_400)] = 900
    """How long to wait for sends that are under way before their campaigns are archived and the key is forgotten."""


class Retirement(UninstallRequest):
    """What is left to do once new sends are refused."""

    workspace_id: WorkspaceId
    told: str = ""
    """What an admin should know of how it went; `forget_connector` adds it to the reason that stays."""


class TestRequest(Contract):
    """The update `test`. Iterable has no sandbox: with `send_to` a real message goes out to that address."""

    __test__ = False  # no test of pytest's

    send_to: EmailAddress | None = None
    user_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """The test recipient's user id, where the project identifies people by it."""
    stream: Stream | None = None
    """The stream to test; the first that has a message type where it is left out."""
    webhook_within_seconds: Annotated[int, Field(ge=1, le=600)] = 120
    """How long to wait for the message's webhook to come back."""


class TestReport(Contract):
    """What each leg of a connector test found, in order. A leg after one that failed was not tried, except that the
    points of the check are all looked at."""

    __test__ = False

    workspace_id: WorkspaceId
    ok: bool
    legs: list[Finding]

    @classmethod
    def of(cls, workspace_id: str, legs: list[Finding]) -> "TestReport":
        """`ok` where nothing that was tried needs anybody."""
        return cls(workspace_id=workspace_id, ok=not problems(legs), legs=legs)
