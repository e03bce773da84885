"""Arguments that do not fit what is called: an answer with a code, and not a run that is stuck.

Python raises a `TypeError` where a run or an update gets more arguments than it takes, and Temporal takes any error
that is no failure for a mistake of the code: the task is tried again for ever. One argument that does not fit its
contract is told by `Received`.
"""

import inspect
from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.worker import (
    ExecuteWorkflowInput,
    HandleSignalInput,
    HandleUpdateInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

with workflow.unsafe.imports_passed_through():
    from contracts.errors import ErrorCode
    from workflows.failures import failure

_TOO_MANY = "One JSON object is needed as the only argument, or none where nothing is taken"


class FittingArguments(Interceptor):
    """For workers whose workflows may be started by anybody."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002
        """Temporal's hook."""
        del input
        return _Fitting


class _Fitting(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002
        """A run with a `workflow.init` would be created before this, and be stuck: none of ours has one."""
        if len(input.args) > 1:
            raise failure(ErrorCode.REQUEST_INVALID, _TOO_MANY)
        return await super().execute_workflow(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002
        if not _fits(input.update, input.args):
            raise failure(ErrorCode.REQUEST_INVALID, _TOO_MANY)
        return await super().handle_update_handler(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002
        """A signal has nobody to answer: what does not fit is left out."""
        if not _fits(input.signal, input.args):
            workflow.logger.warning("a signal %s came with arguments that it does not take", input.signal)
            return
        await super().handle_signal(input)


def _fits(name: str, args: Sequence[Any]) -> bool:
    """Whether a handler takes the arguments; one whose method has another name is not looked at. Temporal's own look-up
    of handlers gives functions that seem to take anything."""
    handler = getattr(workflow.instance(), name, None)
    if not callable(handler):
        return True
    try:
        inspect.signature(handler).bind(*args)
    except TypeError:
        return False
    return True
