"""The database that commands read and write."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sqlalchemy.exc import SQLAlchemyError

from cli.output import FAILED, UNREACHABLE, refuse, stop
from contracts.errors import ConnectorError, ErrorCode
from runtime.settings import Settings
from store.connectors import ConnectorRow
from store.keyring import KeyringError
from store.store import OlderSchema, Store

_RING = "Commands need the master keys that the worker has: CONNECTOR_MASTER_KEY_FILE (docs/operations.md, Keys)"
LARGEST = 2**63 - 1
"""A database has no id and no cursor beyond it."""


@asynccontextmanager
async def opened(settings: Settings | None = None) -> AsyncGenerator[Store]:
    """The store, closed afterwards. What is refused meanwhile ends the command with its code."""
    store = await _open(settings or Settings())
    try:
        yield store
    except ConnectorError as error:
        refuse(error.code, str(error))
    except KeyringError as error:
        stop(FAILED, f"{error}. {_RING}")
    finally:
        await store.close()


async def _open(settings: Settings) -> Store:
    try:
        store = await Store.open(settings.database_url, settings.keyring())
    except KeyringError as error:
        stop(FAILED, f"{error}. {_RING}")
    except OlderSchema as error:
        stop(FAILED, str(error))
    except (SQLAlchemyError, OSError):
        stop(UNREACHABLE, "the database does not answer: check CONNECTOR_DATABASE_URL")
    return store


async def insist_on_all(store: Store) -> None:
    """For what must leave nothing out: a newer release may keep more than this one knows of."""
    if not await store.is_current():
        stop(FAILED, "the database has the schema of a newer release: use that one's `connector` for this")


async def installed(store: Store, workspace: str) -> ConnectorRow:
    """The connector of a workspace, in force or not. A mistyped name must not look like one of which there is nothing
    to tell. Raises `ConnectorError`."""
    async with store.read() as tx:
        row = await tx.connectors.get(workspace)
    if row is None:
        raise ConnectorError(ErrorCode.CONNECTOR_NOT_INSTALLED, f"Workspace {workspace!r} has no connector")
    return row
