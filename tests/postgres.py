"""A PostgreSQL server for tests, from the machine's own binaries; skips with a reason where there are none."""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest


def _postgres_tools() -> Path | None:
    """The folder with initdb and postgres, newest first."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    folders += [Path(found).parent] if found else []
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


@pytest.fixture
def postgres_url() -> Generator[str]:
    """A PostgreSQL of this machine, for one test."""
    tools = _postgres_tools()
    if tools is None:
        pytest.skip("no PostgreSQL on this machine")
    user: str | None = None
    if os.geteuid() == 0:  # the server refuses to run as root
        if "postgres" not in {entry.pw_name for entry in pwd.getpwall()}:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        user = "postgres"
    folder = Path(f"/tmp/feed-{os.getpid()}")  # noqa: S108 - pytest's own folder is closed to other users
    folder.mkdir(mode=0o700)
    if user is not None:
        shutil.chown(folder, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data, log = folder / "data", folder / "log"
    options = f"-p {port} -h 127.0.0.1 -k {folder} -F"

    def tool(name: str, *arguments: str) -> None:
        subprocess.run(
            [tools / name, "-D", data, *arguments], check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL
        )

    tool("initdb", "-A", "trust", "-U", "tester", "-N")
    tool("pg_ctl", "-w", "-l", str(log), "-o", options, "start")
    try:
        yield f"postgresql+psycopg://tester@127.0.0.1:{port}/postgres"
    finally:
        tool("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder)
