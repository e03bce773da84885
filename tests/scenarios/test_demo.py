"""`make demo`, as a newcomer sees it; and what its logs must not hold."""

import asyncio
import hashlib
import re
import sqlite3
import sys
from pathlib import Path

import pytest

from store.keyring import Keyring, parse_keys

pytestmark = [pytest.mark.scenario, pytest.mark.long, pytest.mark.timeout(240)]


async def demo(folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.main", "demo"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()[-3000:]
    return said.decode()


async def test_the_demo_shows_every_fate_and_its_logs_tell_nothing(tmp_path: Path) -> None:
    said = await demo(tmp_path)
    for word in ("sent", "opened", "clicked", "bounced", "HardBounce", "skipped", "FrequencyCapping", "/workflows/"):
        assert word in said
    assert "1 template and 1 campaign for 4 messages" in said

    state = tmp_path / ".connector" / "demo"
    logs = "\n".join(path.read_text(errors="replace") for path in (state / "logs").iterdir())
    assert "worker.ready" in logs
    assert "iterable.call" in logs
    assert "example.com" not in logs
    assert "example.com" not in said.replace("•••@example.com", "")
    for secret in secrets(state):
        assert secret not in logs
        assert secret not in said
    known = token_hashes(state)
    candidates = set(re.findall(r"[A-Za-z0-9_-]{43}", logs + said))
    assert not known & {hashlib.sha256(candidate.encode()).hexdigest() for candidate in candidates}

    assert "1 template and 1 campaign" in await demo(tmp_path)  # again, at once


def secrets(state: Path) -> list[str]:
    """The API key, opened with the demo's own master key; and that master key."""
    key_text = (state / "master.key").read_text().strip()
    keyring = Keyring(parse_keys(key_text))
    with sqlite3.connect(state / "connector.db") as connection:
        rows = connection.execute("SELECT workspace_id, api_key FROM connector").fetchall()
    connection.close()
    opened = [keyring.open(sealed, f"connector.api_key.{workspace}").decode() for workspace, sealed in rows]
    assert opened
    return [*opened, key_text.rpartition(":")[2]]


def token_hashes(state: Path) -> set[str]:
    with sqlite3.connect(state / "connector.db") as connection:
        rows = connection.execute("SELECT token_hash FROM webhook_token").fetchall()
    connection.close()
    assert rows
    return {row[0] for row in rows}
