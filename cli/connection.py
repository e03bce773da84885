"""What commands talk to: the database, and Temporal."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NoReturn

from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from cli.database import installed, opened
from cli.output import FAILED, UNREACHABLE, refuse, stop
from endpoint.administration import AdminRefused
from runtime.settings import Settings
from runtime.temporal import connect
from store.store import Store


@dataclass(frozen=True)
class Connection:
    """An open store and a connected Temporal client."""

    settings: Settings
    store: Store
    temporal: Client


@asynccontextmanager
async def connected(workspace: str | None = None) -> AsyncGenerator[Connection]:
    """Opens both, or ends the command saying which one does not answer and what to do. A workspace without a connector
    ends it before Temporal is asked. A run that fails meanwhile ends it as well, with the run's code."""
    settings = Settings()
    async with opened(settings) as store:
        if workspace is not None:
            await installed(store, workspace)
        temporal = await open_temporal(settings)
        try:
            yield Connection(settings, store, temporal)
        except AdminRefused as error:
            refuse(error.code, str(error))
        except (WorkflowFailureError, WorkflowUpdateFailedError) as error:
            if isinstance(error.cause, ApplicationError):
                refuse(error.cause.type, error.cause.message)
            stop(FAILED, str(error.cause))
        except RPCError as error:
            temporal_refuses(error)


def temporal_refuses(error: RPCError) -> NoReturn:
    """Ends a command that Temporal does not do."""
    stop(UNREACHABLE, f"Temporal refuses: {error.status.name}. `connector doctor` tells more")


async def open_temporal(settings: Settings) -> Client:
    """Temporal, or the end of the command."""
    try:
        return await connect(settings)
    except RuntimeError:
        stop(UNREACHABLE, "Temporal does not answer: set TEMPORAL_ADDRESS, or start a local stack with `connector dev`")
