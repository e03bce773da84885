"""What an admin does with a connector, for the command line and for the API: keys and tokens go into the store here,
and `InstallWorkflow` is only told that they lie there."""

import asyncio
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from contracts.attributes import WORKSPACE, at_start
from contracts.connector import ConnectorSettings, ConnectorState, ConnectorStatus
from contracts.errors import ConnectorError, ErrorCode
from contracts.install import InstallRequest, RotatedToken, TestReport, TestRequest, TokenRequest, UninstallRequest
from contracts.model import WorkspaceId
from contracts.names import INSTALL_WORKFLOW, connector_workflow_id
from endpoint.tokens import new_token, token_hash
from runtime.temporal import plain_timeouts, update_with_start
from store.store import Store

T = TypeVar("T", bound=BaseModel)

_WORKSPACE: TypeAdapter[str] = TypeAdapter(WorkspaceId)
_WORKSPACE_RULE = "The workspace is named with letters, digits, _, . and -, at most 64, a letter or digit first."
_GLANCE_SECONDS = 1.0
_UPDATE_ID = re.compile(r"[0-9a-f]{32}")
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class AdminRefused(Exception):
    """Not done; what was in force before still is. `code` is an `ErrorCode` as far as one fits."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True)
class Installed:
    """`webhook_token` is there once: it is kept as a hash only."""

    status: ConnectorStatus
    webhook_token: str | None


@dataclass(frozen=True)
class NewToken:
    """`webhook_token` is there once."""

    webhook_token: str
    rotated: RotatedToken


class Administration:
    """Every operation raises `AdminRefused`, and `RPCError` where Temporal does not answer."""

    def __init__(self, store: Store, temporal: Client, task_queue: str) -> None:
        self._store = store
        self._temporal = temporal
        self._task_queue = task_queue

    async def install(
        self,
        workspace_id: str,
        settings: ConnectorSettings,
        api_key: SecretStr | None,
        *,
        new_webhook_token: bool = False,
    ) -> Installed:
        """Puts the key, sealed, into the store, has it checked together with the settings, and makes a webhook token
        where there is none. Without a key, the one in force is checked and stays. Whoever gets no answer is not shown
        the token: it is taken back, and the next installation makes another."""
        try:
            _WORKSPACE.validate_python(workspace_id)
        except ValidationError:
            raise AdminRefused(ErrorCode.REQUEST_INVALID, _WORKSPACE_RULE) from None
        async with self._store.begin() as tx:
            if api_key is not None:
                await tx.connectors.offer(workspace_id, settings, api_key)
            elif await tx.connectors.get(workspace_id) is None:
                raise _refused(ErrorCode.CONNECTOR_NOT_INSTALLED, "A first installation needs an API key")
            token = None
            if new_webhook_token or not await tx.webhooks.token_hashes(workspace_id):
                token = new_token()
                await tx.webhooks.hand_over(workspace_id, SecretStr(token))
        try:
            status = await self._tell(workspace_id, "configure", ConnectorStatus, [settings])
        except BaseException:
            if token is not None:
                async with self._store.begin() as tx:
                    await tx.webhooks.withdraw(workspace_id, SecretStr(token))
            raise
        return Installed(status, token)

    async def rotate_api_key(self, workspace_id: str, api_key: SecretStr) -> ConnectorStatus:
        """Puts another key into force once it has passed the checks; until then, and if it does not, the old one is."""
        settings = await self._in_force(workspace_id)
        async with self._store.begin() as tx:
            await tx.connectors.offer(workspace_id, settings, api_key)
        return await self._tell(workspace_id, "rotate_api_key", ConnectorStatus)

    async def rotate_webhook_token(self, workspace_id: str) -> NewToken:
        """Makes another webhook token, tells Iterable, and lets the old one end after the time that is set."""
        await self._in_force(workspace_id)
        token = new_token()
        async with self._store.begin() as tx:
            await tx.webhooks.hand_over(workspace_id, SecretStr(token))
        request = TokenRequest(token_hash=token_hash(token))
        return NewToken(token, await self._tell(workspace_id, "rotate_webhook_token", RotatedToken, [request]))

    async def test(self, workspace_id: str, request: TestRequest) -> TestReport:
        """Walks every leg that a message takes. It may take some minutes."""
        await self._in_force(workspace_id)
        return await self._tell(workspace_id, "test", TestReport, [request])

    async def start_test(self, workspace_id: str, request: TestRequest) -> str:
        """Begins a test; its id."""
        await self._in_force(workspace_id)
        with plain_timeouts():
            handle: WorkflowUpdateHandle[TestReport] = await self._temporal.start_update_with_start_workflow(  # pyright: ignore[reportUnknownMemberType]
                "test",
                request,
                wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                id=uuid.uuid4().hex,
                start_workflow_operation=self._start(workspace_id),
                result_type=TestReport,
            )
        return f"{handle.id}.{handle.workflow_run_id}"

    async def test_report(self, workspace_id: str, test_id: str) -> TestReport | Literal["running"] | None:
        """What a test found; None for a test that is not known, or not any more."""
        id_, _, run_id = test_id.partition(".")
        if not _UPDATE_ID.fullmatch(id_) or not _RUN_ID.fullmatch(run_id):
            return None
        run = self._temporal.get_workflow_handle(connector_workflow_id(workspace_id), run_id=run_id)
        handle: WorkflowUpdateHandle[TestReport] = run.get_update_handle(id_, result_type=TestReport)
        try:
            async with asyncio.timeout(_GLANCE_SECONDS):
                with plain_timeouts():
                    return await handle.result()
        except TimeoutError:
            return "running"
        except RPCError as error:
            if error.status in {RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT}:
                return None
            raise
        except WorkflowUpdateFailedError as error:
            raise _why(error) from None

    async def pause(self, workspace_id: str) -> ConnectorStatus:
        """Refuses new sends."""
        await self._in_force(workspace_id)
        return await self._tell(workspace_id, "pause", ConnectorStatus)

    async def resume(self, workspace_id: str) -> ConnectorStatus:
        """Takes new sends again."""
        await self._in_force(workspace_id)
        return await self._tell(workspace_id, "resume", ConnectorStatus)

    async def uninstall(self, workspace_id: str, request: UninstallRequest) -> ConnectorStatus:
        """Refuses new sends; the rest goes on in the workflow."""
        async with self._store.read() as tx:
            row = await tx.connectors.get(workspace_id)
        if row is None or row.state is ConnectorState.UNINSTALLED:
            raise _refused(ErrorCode.CONNECTOR_NOT_INSTALLED, "This workspace has no connector")
        return await self._tell(workspace_id, "uninstall", ConnectorStatus, [request])

    async def _in_force(self, workspace_id: str) -> ConnectorSettings:
        async with self._store.read() as tx:
            row = await tx.connectors.get(workspace_id)
        if row is None or row.state in {ConnectorState.UNINSTALLED, ConnectorState.VALIDATING}:
            raise _refused(ErrorCode.CONNECTOR_NOT_INSTALLED, "This workspace has no connector in force")
        return row.settings

    async def _tell(self, workspace_id: str, update: str, result_type: type[T], args: Sequence[BaseModel] = ()) -> T:
        """An update of the connector's run."""
        try:
            return await update_with_start(
                self._temporal,
                INSTALL_WORKFLOW,
                InstallRequest(workspace_id=workspace_id),
                id_=connector_workflow_id(workspace_id),
                task_queue=self._task_queue,
                update=update,
                result_type=result_type,
                args=args,
                summary=_summary(workspace_id),
                attributes=at_start({WORKSPACE: workspace_id}),
            )
        except WorkflowUpdateFailedError as error:
            raise _why(error) from None

    def _start(self, workspace_id: str) -> WithStartWorkflowOperation[Any, Any]:
        """Finds the connector's run, or starts it where it was lost: it finds what it needs in the store."""
        return WithStartWorkflowOperation(
            INSTALL_WORKFLOW,
            InstallRequest(workspace_id=workspace_id),
            id=connector_workflow_id(workspace_id),
            task_queue=self._task_queue,
            static_summary=_summary(workspace_id),
            search_attributes=at_start({WORKSPACE: workspace_id}),
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )


def _summary(workspace_id: str) -> str:
    return f"connector of {workspace_id}"


def _why(error: WorkflowUpdateFailedError) -> Exception:
    cause = error.cause
    if isinstance(cause, ApplicationError):
        return AdminRefused(cause.type or ErrorCode.REQUEST_INVALID, cause.message)
    return error


def _refused(code: ErrorCode, what: str) -> AdminRefused:
    return AdminRefused(code, str(ConnectorError(code, what)))
