"""The Temporal connection: address, namespace, TLS and keys are the SDK's own environment configuration."""

import asyncio
import contextlib
import logging
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, Interceptor, RPCTimeoutOrCancelledError, WithStartWorkflowOperation
from temporalio.common import TypedSearchAttributes, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.converter import DataConverter
from temporalio.envconfig import ClientConfig
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.service import RPCError, RPCStatusCode

from contracts.attributes import SEARCH_ATTRIBUTES
from runtime.bodies import TemplateBodies, external_bodies
from runtime.codec import codec_of
from runtime.converter import encrypting_converter
from runtime.logging import scrub
from runtime.metrics import exporting
from runtime.settings import Settings
from store.store import Store

T = TypeVar("T")

DEFAULT_ADDRESS = "localhost:7233"
_REASON_CHARACTERS = 300
_ANSWER_SECONDS = 10.0
"""Until then a server that is there has answered; one that is stopped takes connections all the same."""


async def connect(
    settings: Settings | None = None,
    *,
    lazy: bool = False,
    runtime: Runtime | None = None,
    store: Store | None = None,
    interceptors: Sequence[Interceptor] = (),
) -> Client:
    """A client for the configured server, which encrypts as the settings say. With a store it is one for workers, which
    keep large bodies there. Raises `RuntimeError` where the server does not answer (a lazy client connects at its first
    call instead), and `KeyringError` without a master key."""
    converter = converter_of(settings or Settings(), store)
    config = ClientConfig.load_client_connect_config()
    config.setdefault("target_host", DEFAULT_ADDRESS)
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            return await Client.connect(
                **config,
                data_converter=converter,
                interceptors=interceptors,
                runtime=runtime or make_runtime(),
                lazy=lazy,
            )
    except TimeoutError:
        raise RuntimeError(f"nothing came back within {_ANSWER_SECONDS:.0f} s") from None


def why(error: RuntimeError) -> str:
    """Why `connect` failed: that of a long story which people need, without what looks like an address or a secret."""
    told = scrub(str(error))
    return told if len(told) <= _REASON_CHARACTERS else f"{told[:_REASON_CHARACTERS]}…"


def converter_of(settings: Settings, store: Store | None) -> DataConverter:
    """How this process writes and reads payloads."""
    codec = codec_of(settings)
    converter = encrypting_converter(codec)
    if store is None:
        return converter
    driver = TemplateBodies(store, codec, converter.payload_converter)
    return replace(converter, external_storage=external_bodies(driver))


@cache
def make_runtime(metrics_address: str | None = None) -> Runtime:
    """One a process. The SDK's core logs through the standard library, and so through our scrubber. With an address it
    answers `/metrics` there.

    Raises `RuntimeError` where the address is taken.
    """
    forwarding = LogForwardingConfig(logger=logging.getLogger("temporalio.core"))
    return Runtime(
        telemetry=TelemetryConfig(
            logging=LoggingConfig(
                filter=TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding=forwarding
            ),
            metrics=None if metrics_address is None else exporting(metrics_address),
        )
    )


async def missing_search_attributes(client: Client) -> list[str]:
    """Names the namespace does not know yet. A run that sets an unknown one is stuck, so workers ask first."""
    known = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    return [name for name in SEARCH_ATTRIBUTES if name not in known.custom_attributes]


async def add_search_attributes(client: Client, names: list[str]) -> None:
    """Registers names as keywords. Not possible on Temporal Cloud, where `tcld` or the UI does it."""
    if not names:
        return  # a request without any is refused
    try:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=client.namespace,
                search_attributes=dict.fromkeys(names, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD),
            )
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:  # another worker may have been first
            raise


async def polling(client: Client, task_queue: str) -> int:
    """Workers that asked for workflow tasks within five minutes: one that has just ended is still among them. Raises
    `RPCError`."""
    answer = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=task_queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
    )
    return len(answer.pollers)


async def update_with_start(
    client: Client,
    workflow: str,
    request: Any,
    *,
    id_: str,
    task_queue: str,
    update: str,
    result_type: type[T],
    args: Sequence[Any] = (),
    reuse: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    summary: str | None = None,
    attributes: TypedSearchAttributes | None = None,
) -> T:
    """Starts a run, or finds the open one, and waits for an update of it: one round trip. `summary` and `attributes`
    are what people see of a run that is started.

    Raises `WorkflowUpdateFailedError`, whose cause has an error code as its type, `WorkflowAlreadyStartedError`, and
    `TimeoutError`.
    """
    start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        workflow,
        request,
        id=id_,
        task_queue=task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=reuse,
        static_summary=summary,
        search_attributes=attributes,
    )
    try:
        with plain_timeouts():
            return await client.execute_update_with_start_workflow(  # pyright: ignore[reportUnknownMemberType]
                update, args=args, start_workflow_operation=start, result_type=result_type
            )
    except BaseException:
        await _heard(start)
        raise


@contextlib.contextmanager
def plain_timeouts() -> Generator[None]:
    """Waiting for an update that is cancelled, or takes too long, raises what waiting for anything raises then. The SDK
    has one error of its own for both, which `asyncio.timeout` does not know."""
    try:
        yield
    except RPCTimeoutOrCancelledError:
        task = asyncio.current_task()
        raise (asyncio.CancelledError if task is not None and task.cancelling() else TimeoutError) from None


async def _heard(start: WithStartWorkflowOperation[Any, Any]) -> None:
    """The SDK tells of a failed start twice: by raising, and in a future that asyncio complains about (in the log, as
    an error) where nobody looks at it."""
    with contextlib.suppress(BaseException):
        async with asyncio.timeout(0.1):
            await start.workflow_handle()
