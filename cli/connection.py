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
from store.store import OlderSchema, Store


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
    except (KeyringError, OlderSchema) as error:
        stop(FAILED, f"{error}")
    except (SQLAlchemyError, OSError):
        stop(UNREACHABLE, "the database does not answer: check CONNECTOR_DATABASE_URL")
    return store


async def insist_on_all(store: Store) -> None:
    """For what must leave nothing out: a newer release may keep more than this one knows of."""
    if not await store.is_current():
        stop(FAILED, "the database has the schema of a newer release: use that one's `connector` for this")


async def open_temporal(settings: Settings) -> Client:
    """Temporal, or the end of the command."""
    try:
        return await connect(settings)
    except RuntimeError:
        stop(UNREACHABLE, "Temporal does not answer: set TEMPORAL_ADDRESS, or start a local stack with `connector dev`")
