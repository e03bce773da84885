"""Names that others rely on: workflow types and ids."""

SEND_WORKFLOW = "SendWorkflow"
SHADOW_WORKFLOW = "ShadowCampaignWorkflow"
INBOX_WORKFLOW = "EventInboxWorkflow"
INSTALL_WORKFLOW = "InstallWorkflow"
SUPPRESSION_WORKFLOW = "SuppressionSyncWorkflow"
BACKFILL_WORKFLOW = "BackfillWorkflow"
BROADCAST_WORKFLOW = "BroadcastWorkflow"
PUSH_WORKFLOW = "EventPushWorkflow"
SHADOW_CARE_WORKFLOW = "ShadowCareWorkflow"

EVENTS_SIGNAL = "events"
WAKE_SIGNAL = "wake"
RETRY_SIGNAL = "retry"
LOOK_SIGNAL = "look"

WEBHOOK_TOKEN_HEADER = "X-GenieOS-Webhook-Token"  # noqa: S105 - the name of a header
"""The header that Iterable's webhook sends along; Iterable signs nothing."""


def webhook_path(workspace_id: str) -> str:
    """Where the endpoint takes a workspace's webhooks."""
    return f"/webhooks/iterable/{workspace_id}"


def webhook_url(public_url: str | None, workspace_id: str) -> str | None:
    """Where Iterable posts them; None where nobody said under which address the endpoint is reached."""
    return None if public_url is None else public_url.rstrip("/") + webhook_path(workspace_id)


_PREFIX = "iterable/"


def parts_of(workflow_id: str) -> dict[str, str]:
    """What a workflow id says, for logs: `workspace`, and a send's `send`. Nothing where it is not ours."""
    if not workflow_id.startswith(_PREFIX):
        return {}
    workspace, _, rest = workflow_id.removeprefix(_PREFIX).partition("/")
    kind, _, name = rest.partition("/")
    return {"workspace": workspace, "send": name} if kind == "send" else {"workspace": workspace}


def connector_workflow_id(workspace_id: str) -> str:
    """The run that looks after one workspace's connector."""
    return f"iterable/{workspace_id}"


def send_workflow_id(workspace_id: str, send_id: str) -> str:
    """The run of one send."""
    return f"iterable/{workspace_id}/send/{send_id}"


def shadow_workflow_id(workspace_id: str, fingerprint: str) -> str:
    """The run that makes one shadow."""
    return f"iterable/{workspace_id}/shadow/{fingerprint}"


def broadcast_workflow_id(workspace_id: str, broadcast_id: str) -> str:
    """The run of one broadcast."""
    return f"iterable/{workspace_id}/broadcast/{broadcast_id}"


def inbox_workflow_id(workspace_id: str, shard: int) -> str:
    """The run that drains one shard of a workspace's events."""
    return f"iterable/{workspace_id}/inbox/{shard}"


def suppression_workflow_id(workspace_id: str, sync_id: str) -> str:
    """The run that brings Iterable up to date with our suppressions."""
    return f"iterable/{workspace_id}/suppressions/{sync_id}"


def backfill_schedule_id(workspace_id: str) -> str:
    """The schedule that reads what webhooks may have lost; its runs have this id and their time."""
    return f"iterable/{workspace_id}/backfill"


def push_workflow_id(workspace_id: str) -> str:
    """The run that pushes a workspace's feed."""
    return f"iterable/{workspace_id}/push"


def shadow_care_id(workspace_id: str) -> str:
    """The schedule that archives idle shadows; its runs have this id and their time."""
    return f"iterable/{workspace_id}/shadow-care"
