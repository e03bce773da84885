"""A throw-away PostgreSQL from the machine's own binaries: a cluster in a folder, gone when the block ends."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from sandbox.stack import free_port

_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/bin")
_ROOT = 0
_PATIENCE_SECONDS = "30"
_UNPRIVILEGED = "postgres"


class NoPostgres(Exception):
    """There is none to be had here; the message says why."""


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    port: int
    control: tuple[str | Path, ...]
    """The `pg_ctl` of this server."""

    def restart(self) -> None:
        """As after a crash: connections break off, and what was committed is there again, if this one is durable."""
        _run(*self.control, "-m", "immediate", "restart")

    def url(self, database: str) -> str:
        """An SQLAlchemy URL."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, template: str = "template1") -> str:
        """A database of its own; its URL."""
        with psycopg.connect(
            f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres", autocommit=True
        ) as admin:
            admin.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"'.encode())
        return self.url(database)


def binaries() -> Path:
    """The newest PostgreSQL of this machine. Raises `NoPostgres`."""
    found = [
        folder
        for pattern in _PLACES
        for folder in Path("/").glob(pattern.removeprefix("/"))
        if (folder / "initdb").exists() and (folder / "postgres").exists()
    ]
    numbered = sorted(found, key=lambda folder: [int(part) for part in folder.parts if part.isdigit()])
    if not numbered:
        raise NoPostgres("no PostgreSQL binaries are installed")
    return numbered[-1]


@contextmanager
def postgres(*, durable: bool = False) -> Iterator[Postgres]:
    """A server on a free port. Not `durable`, it does not wait for the disk: right for tests, wrong for measuring.

    PostgreSQL refuses to run as root; then it runs as the user `postgres`. Raises `NoPostgres`.
    """
    folder = binaries()
    as_user = _as_user()
    # Not in a test's own folder: another user must be able to reach it, and a socket's path must be short.
    home = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        if as_user:
            shutil.chown(home, _UNPRIVILEGED)
        data = home / "data"
        _run(*as_user, folder / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        port = free_port(0, "postgres")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home} -c max_connections=100"
        if not durable:
            options += " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        control = (*as_user, folder / "pg_ctl", "-D", data, "-w", "-t", _PATIENCE_SECONDS, "-l", home / "log")
        _run(*control, "-o", options, "start")
        try:
            yield Postgres(port, control)
        finally:
            with contextlib.suppress(NoPostgres):
                _run(*control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _as_user() -> list[str | Path]:
    if os.geteuid() != _ROOT:
        return []
    runuser = shutil.which("runuser")
    if runuser is None:
        raise NoPostgres("PostgreSQL does not run as root, and there is no runuser")
    known = subprocess.run(["id", _UNPRIVILEGED], capture_output=True, check=False)
    if known.returncode != 0:
        raise NoPostgres("PostgreSQL does not run as root, and there is no user postgres")
    return [runuser, "-u", _UNPRIVILEGED, "--"]


def _run(*command: str | Path) -> None:
    # Into a file, not a pipe: the server that pg_ctl starts would keep a pipe open.
    with tempfile.TemporaryFile() as output:
        ended = subprocess.run([str(part) for part in command], cwd="/", stdout=output, stderr=output, check=False)
        if ended.returncode != 0:
            output.seek(0)
            raise NoPostgres(output.read().decode(errors="replace")[-500:])
