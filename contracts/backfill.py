"""What passes between `BackfillWorkflow`, whoever starts it, and its activities."""

from typing import Self

from pydantic import AwareDatetime, model_validator

from contracts.model import Contract, WorkspaceId


class BackfillResult(Contract):
    """The result of `BackfillWorkflow`: entries that were read, and those among them that were news."""

    read: int = 0
    found: int = 0


class BackfillRequest(Contract):
    """The argument of `BackfillWorkflow`. Without a span it reads on from where the last such run ended. `so_far` is
    what a long one hands to its continuation."""

    workspace_id: WorkspaceId
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    event_names: list[str] = []
    """Kinds to read, in Iterable's words; empty for all of email. Each costs one export a day of the span."""
    so_far: BackfillResult = BackfillResult()

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if (self.since is None) != (self.until is None):
            raise ValueError("give both ends of the span, or neither")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("the span ends before it begins")
        return self


class BackfillPlan(Contract):
    """`plan_backfill` and `finish_backfill`: the span, `since` inclusive, `until` exclusive."""

    workspace_id: WorkspaceId
    since: AwareDatetime
    until: AwareDatetime


class ExportWindow(Contract):
    """`read_export`: one kind of event within one span."""

    workspace_id: WorkspaceId
    event_name: str
    since: AwareDatetime
    until: AwareDatetime
