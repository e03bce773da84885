"""Brings a database to the newest schema, or to a given revision."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from store.engine import make_engine

_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x6765_6E69  # any number that only migrations take


class MigrationRefused(Exception):
    """This release cannot bring the database there; the message says which one can."""


async def migrate(url: str, revision: str = "head") -> str | None:
    """Upgrades (or, to an older revision, downgrades) in one transaction. Safe to start on several machines at once.

    Answers the revision that the database is at then; None for none. One that only a newer release knows stays: an
    older build goes on with it, and may be started again after an upgrade. Raises `MigrationRefused`.
    """
    engine = make_engine(url)
    try:
        async with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            return await connection.run_sync(_run, revision)
    finally:
        await engine.dispose()


def head() -> str | None:
    """The newest revision."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _run(connection: Connection, revision: str) -> str | None:
    config = _config()
    config.attributes["connection"] = connection
    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]  # newest first
    now = MigrationContext.configure(connection).get_current_revision()
    if now is not None and now not in known:
        if revision == "head":
            return now
        raise MigrationRefused(f"the schema is at {now}, which this release does not know: use the newest release")
    goal = known[0] if revision == "head" else revision
    if goal not in {*known, "base"}:
        raise MigrationRefused(f"this release knows no revision {goal}: its newest is {known[0]}")
    older = goal == "base" or (now is not None and goal in known and known.index(goal) > known.index(now))
    if older:
        command.downgrade(config, goal)
    else:
        command.upgrade(config, goal)
    return None if goal == "base" else goal


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.set_main_option("path_separator", "os")
    return config
