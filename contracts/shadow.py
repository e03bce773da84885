"""A shadow: the Iterable template and triggered campaign that stand for one template content."""

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
