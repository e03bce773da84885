"""A key that Iterable refuses shows in the connector's state at once, and not at its next look."""

import contextlib
import time
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from contracts.broadcasting import LaneReport
from contracts.errors import ErrorCode
from contracts.names import LOOK_SIGNAL, connector_workflow_id, parts_of

_REFUSED = frozenset({ErrorCode.API_KEY_INVALID, ErrorCode.API_KEY_INSUFFICIENT})
_EVERY_SECONDS = 300.0
"""At most so often for one workspace: whatever waits for a better key goes on being refused."""
_PATIENCE = timedelta(seconds=5)


class KeyAlarm(Interceptor):
    """Has the run that looks after a connector look at it, once an activity of another run meets a refused key."""

    def __init__(self, temporal: Client) -> None:
        self._temporal = temporal
        self._told: dict[str, float] = {}

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Temporal's hook."""
        return _Alarmed(next, self)

    async def ring(self, workflow_id: str) -> None:
        """An activity of this run was refused. Where the signal does not arrive, the next look finds it."""
        workspace_id = parts_of(workflow_id).get("workspace")
        now = time.monotonic()
        if workspace_id is None or workflow_id == connector_workflow_id(workspace_id):
            return
        if now - self._told.get(workspace_id, -_EVERY_SECONDS) < _EVERY_SECONDS:
            return
        self._told[workspace_id] = now
        connector = self._temporal.get_workflow_handle(connector_workflow_id(workspace_id))
        with contextlib.suppress(RPCError):
            await connector.signal(LOOK_SIGNAL, rpc_timeout=_PATIENCE)


class _Alarmed(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, alarm: KeyAlarm) -> None:
        super().__init__(following)
        self._alarm = alarm

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        try:
            result = await self.next.execute_activity(input)
        except ApplicationError as error:
            await self._heed(error.type)
            raise
        if isinstance(result, LaneReport):  # of a broadcast that waits for somebody's help
            await self._heed(result.reason)
        return result

    async def _heed(self, code: str | None) -> None:
        if code in _REFUSED:
            await self._alarm.ring(activity.info().workflow_id or "")
