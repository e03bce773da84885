"""Backup and restore, as docs/operations.md has them, with PostgreSQL's own programs in place of the container's."""

import os
import re
import subprocess
from pathlib import Path

import psycopg
import pytest

from store.keyring import Keyring
from store.migrate import migrate
from store.store import SCHEMA, Store
from tests.postgres import NoPostgres, Postgres, binaries

ROOT = Path(__file__).parents[2]
_IN_THE_CONTAINER = "docker compose exec -T postgres "


def lines(program: str) -> list[str]:
    """What the document has one run of a program, for the connector's database."""
    text = (ROOT / "docs/operations.md").read_text().replace("\\\n", " ")
    found = re.findall(rf"^{_IN_THE_CONTAINER}({program} .* [<>] connector\.dump)$", text, re.MULTILINE)
    assert found
    return found


async def test_a_backup_of_before_a_migration_is_restored_and_migrated_again(
    postgres_server: Postgres | NoPostgres, keyring: Keyring, tmp_path: Path
) -> None:
    if isinstance(postgres_server, NoPostgres):
        pytest.skip(f"no PostgreSQL: {postgres_server}")
    environment = {
        **os.environ,
        "PATH": f"{binaries()}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres_server.port),
    }

    def run(program: str) -> list[int]:
        ended = [
            subprocess.run(["sh", "-c", line], cwd=tmp_path, env=environment, check=False) for line in lines(program)
        ]
        return [one.returncode for one in ended]

    def asked(sql: str) -> object:
        where = f"host=127.0.0.1 port={postgres_server.port} user=postgres dbname=connector"
        with psycopg.connect(where, autocommit=True) as connection:
            found = connection.execute(sql.encode())
            return found.fetchall() if found.description else None

    url = postgres_server.create("connector")
    asked("REVOKE CONNECT ON DATABASE connector FROM PUBLIC")
    await migrate(url, "0006")
    asked("INSERT INTO feed VALUES ('acme', 7)")
    assert run("pg_dump") == [0]
    await migrate(url)
    asked("UPDATE feed SET last = 8")
    with psycopg.connect(url.replace("+psycopg", "")):  # somebody who was not stopped
        assert run("pg_restore") != [0]
    assert asked("SELECT last FROM feed") == [(8,)]
    assert run("pg_restore") == [0]
    assert asked("SELECT last FROM feed") == [(7,)]
    assert asked("SELECT has_database_privilege('pg_monitor', 'connector', 'CONNECT')") == [(False,)]
    assert await migrate(url) == SCHEMA
    store = await Store.open(url, keyring)
    await store.close()
    with psycopg.connect(postgres_server.url("postgres").replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute("DROP DATABASE connector WITH (FORCE)")
