"""Installing a connector, shared by `connector install`, `connector dev` and the demo."""

from dataclasses import dataclass

from pydantic import SecretStr
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from contracts.connector import ConnectorSettings, ConnectorStatus, InstallRequest
from contracts.errors import ErrorCode
from contracts.names import INSTALL_WORKFLOW, connector_workflow_id
from endpoint.tokens import new_token, token_hash
from runtime.temporal import update_with_start
from store.store import Store


class InstallRefused(Exception):
    """The checks did not pass; what was in force before still is."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True)
class Installed:
    """`webhook_token` is there once: it is kept as a hash only."""

    status: ConnectorStatus
    webhook_token: str | None


async def install(
    store: Store,
    temporal: Client,
    task_queue: str,
    workspace_id: str,
    settings: ConnectorSettings,
    api_key: SecretStr,
    *,
    new_webhook_token: bool = False,
) -> Installed:
    """Puts the key, sealed, into the store, has it checked, and makes a webhook token where there is none.

    The key does not pass through Temporal. Raises `InstallRefused`.
    """
    async with store.begin() as tx:
        await tx.connectors.offer(workspace_id, settings, api_key)
    try:
        status = await update_with_start(
            temporal,
            INSTALL_WORKFLOW,
            InstallRequest(workspace_id=workspace_id),
            id_=connector_workflow_id(workspace_id),
            task_queue=task_queue,
            update="configure",
            args=[settings],
            result_type=ConnectorStatus,
        )
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        if isinstance(cause, ApplicationError):
            raise InstallRefused(cause.type or ErrorCode.REQUEST_INVALID, cause.message) from None
        raise
    token = None
    async with store.begin() as tx:
        if new_webhook_token or not await tx.connectors.webhook_token_hashes(workspace_id):
            token = new_token()
            await tx.connectors.add_webhook_token(workspace_id, token_hash(token))
    return Installed(status, token)
