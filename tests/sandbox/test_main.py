"""`python -m sandbox`, as a process."""

import asyncio
import signal
import sys
from pathlib import Path

import httpx
import pytest

from sandbox.stack import Stack, free_port


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_logs_nothing_personal_and_ends_at_once(tmp_path: Path, number: signal.Signals) -> None:
    port = free_port(0, "sandbox")
    base = f"http://127.0.0.1:{port}"
    async with Stack(tmp_path) as stack:
        await stack.start("sandbox", [sys.executable, "-m", "sandbox", "--port", str(port)], ready=f"{base}/healthz")
        async with httpx.AsyncClient(base_url=base, trust_env=False) as http:
            key = (await http.post("/_sandbox/projects", json={})).json()["keys"]["server"]
            await http.post("/_sandbox/faults", json={"path": "/api/channels", "kind": "hang_before"})
            for path in ("/us/api/users/ann@example.com", "/us/api/events/ann@example.com?limit=7", "/ann@example.com"):
                await http.get(path, headers={"Api-Key": key})
            await http.get("/_sandbox/outbox?to=ann@example.com")
            hanging = asyncio.ensure_future(http.get("/us/api/channels", headers={"Api-Key": key}, timeout=100))
            await asyncio.sleep(0.1)
            stack.signal("sandbox", number)
            await stack.wait("sandbox")
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):  # cut off, and not waited for
                await hanging
    log = (tmp_path / "sandbox.log").read_text()
    assert '"operation": "GET /api/users/{email}"' in log
    assert '"operation": "GET (unknown path)"' in log
    assert "Traceback" not in log
    for secret in (key, "ann@example.com", "limit=7", "to="):
        assert secret not in log
