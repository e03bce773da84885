"""A shadow: the Iterable template and triggered campaign that stand for one template content."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from contracts.model import Contract, Sha256, WorkspaceId


class Shadow(Contract):
    """Ids of the pair in Iterable."""

    template_id: int
    campaign_id: int


class ShadowRequest(Contract):
    """Which shadow is wanted. The content is in the store under `template_ref`; the argument of
    `ShadowCampaignWorkflow`, whose id ends in the fingerprint, so that one content has one run."""

    workspace_id: WorkspaceId
    fingerprint: Sha256
    template_ref: Sha256
    message_type_id: int


class ShadowWanted(Contract):
    """`ensure_shadow`: with `gone` set, a shadow other than that one, which Iterable no longer has."""

    shadow: ShadowRequest
    gone: Shadow | None = None


class CampaignRequest(ShadowRequest):
    """`create_campaign` needs the template it copies."""

    template_id: int


class ActivationRequest(Contract):
    """`activate_campaign`: which campaign to have Running."""

    workspace_id: WorkspaceId
    fingerprint: Sha256
    shadow: Shadow


class KnownShadow(Contract):
    """A shadow as the store knows it. `making` until its campaign was seen Running; `retiring` while it is marked as
    idle and a send may still take it up. `last_used_at` is right to the hour."""

    fingerprint: Sha256
    template_id: int | None
    campaign_id: int | None
    state: Literal["making", "ready", "retiring"]
    created_at: datetime
    last_used_at: datetime | None


class ShadowPage(Contract):
    """An answer of `GET /v1/workspaces/{ws}/shadows`: in the order of their fingerprints; the next page is behind
    `next_after`, which is null at the end."""

    shadows: list[KnownShadow]
    next_after: Sha256 | None


class CareRequest(Contract):
    """The argument of `ShadowCareWorkflow`: all that are idle for as long as the connector says, or those named."""

    workspace_id: WorkspaceId
    fingerprints: Annotated[list[Sha256], Field(max_length=500)] = []
    marked_before: AwareDatetime = datetime(1970, 1, 1, tzinfo=UTC)
    """Set by the workflow: marks that are older hold."""


class CareResult(Contract):
    """What a run did. `marked` were those without a use, `in_use` those of them that turned out to have one. `failed`
    are campaigns that Iterable did not archive, the first hundred."""

    marked: int = 0
    retired: int
    in_use: int
    archived: int
    failed: list[int]


class AdoptedShadows(Contract):
    """What `connector shadows adopt` found in Iterable. `spare` campaigns stand for contents that have one already."""

    adopted: int
    known: int
    spare: int
    not_running: int
