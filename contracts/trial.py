"""A connector test, as its workflow hands it to activities."""

from datetime import datetime

from contracts.install import TestRequest
from contracts.model import Contract, SendId, WorkspaceId
from contracts.send import SendRequest
from contracts.shadow import ShadowRequest


class TrialRequest(Contract):
    """`prepare_trial`."""

    workspace_id: WorkspaceId
    send_id: SendId
    test: TestRequest


class Trial(Contract):
    """What is to be tried: the content, and the send of it where there is somebody to send to."""

    shadow: ShadowRequest
    send: SendRequest | None
    mark: str
    """A word in the data of this test only; Iterable's preview has to show it."""


class PreviewRequest(Contract):
    """`preview_trial`."""

    workspace_id: WorkspaceId
    template_id: int
    mark: str


class ReportAwaited(Contract):
    """`await_report`: whose webhook is waited for, since when, and for how long."""

    workspace_id: WorkspaceId
    send_id: SendId
    since: datetime
    within_seconds: int
