"""The Temporal connection: address, namespace, TLS and keys are the SDK's own environment configuration."""

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from contracts.attributes import SEARCH_ATTRIBUTES

DEFAULT_ADDRESS = "localhost:7233"


async def connect(runtime: Runtime | None = None, *, lazy: bool = False) -> Client:
    """A client for the configured server. Raises `RuntimeError` where it does not answer; a lazy one connects at its
    first call instead."""
    config = ClientConfig.load_client_connect_config()
    config.setdefault("target_host", DEFAULT_ADDRESS)
    return await Client.connect(**config, data_converter=pydantic_data_converter, runtime=runtime, lazy=lazy)


async def missing_search_attributes(client: Client) -> list[str]:
    """Names the namespace does not know yet. A run that sets an unknown one is stuck, so workers ask first."""
    known = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    return [name for name in SEARCH_ATTRIBUTES if name not in known.custom_attributes]


async def add_search_attributes(client: Client, names: list[str]) -> None:
    """Registers names as keywords. Not possible on Temporal Cloud, where `tcld` or the UI does it."""
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
