"""A preview: what a message would look like, rendered by Iterable and by us, without any of it going out."""

from datetime import datetime

from contracts.model import Contract, SendId, Sha256, WorkspaceId
from contracts.send import SendRequest
from contracts.target import PreparedSend


class PreviewRequest(Contract):
    """`preview_send`: a send that was prepared and stays where it is."""

    send: SendRequest
    prepared: PreparedSend


class Rendered(Contract):
    """A message as the connector renders it: plain Handlebars, as GenieOS shows it. Merge parameters that only Iterable
    knows appear as `[name]`."""

    subject: str
    preheader: str
    html: str
    text: str


class Preview(Contract):
    """The result of a dry run, kept for a week. It holds what the recipient would read, so it is personal data.

    `html` is Iterable's render; None where Iterable could not render it, or was not asked (`problems` says why).
    `local` is ours; None where the template uses what only Iterable knows. `differences` are the lines of a unified
    diff from ours to Iterable's: empty where they are alike, None where there is nothing to compare. Iterable's preview
    shows the HTML only, so subject, preheader and text are ours.
    """

    workspace_id: WorkspaceId
    send_id: SendId
    fingerprint: Sha256
    html: str | None
    local: Rendered | None
    differences: list[str] | None
    problems: list[str]
    temporary_template: bool
    """The content was new to Iterable: a template was made there for the render, and deleted."""
    made_at: datetime
