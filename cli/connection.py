"""What commands talk to."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client

from cli.output import FAILED, UNREACHABLE, stop
from runtime.settings import Settings
from runtime.temporal import connect
from store.keyring import KeyringError
from store.store import Store


@dataclass(frozen=True)
class Connection:
    """An open store and a connected Temporal client."""

    settings: Settings
    store: Store
    temporal: Client


@asynccontextmanager
async def connected(settings: Settings | None = None) -> AsyncGenerator[Connection]:
    """Opens both, or ends the command saying which one does not answer and what to do."""
    settings = settings or Settings()
    store = await open_store(settings)
    try:
        yield Connection(settings, store, await open_temporal(settings))
    finally:
        await store.close()


async def open_store(settings: Settings) -> Store:
    """The database, or the end of the command."""
    try:
        store = await Store.open(settings.database_url, settings.keyring())
    except KeyringError as error:
        stop(FAILED, f"{error}")
    except (SQLAlchemyError, OSError):
        stop(UNREACHABLE, "the database does not answer or has no tables: see `connector migrate`")
    if not await store.is_current():
        await store.close()
        stop(FAILED, "the database has another schema than this release: `connector migrate`, with the newest release")
    return store


async def open_temporal(settings: Settings) -> Client:
    """Temporal, or the end of the command."""
    try:
        return await connect(settings)
    except RuntimeError:
        stop(UNREACHABLE, "Temporal does not answer: set TEMPORAL_ADDRESS, or start a local stack with `connector dev`")
