"""A client in another language starts a send with plain JSON and reads a plain JSON result."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from contracts.send import SendResult
from tests.stage import Stage

FOLDER = Path(__file__).parent.parent / "typescript"
NODE, NPM = shutil.which("node"), shutil.which("npm")

pytestmark = [
    pytest.mark.scenario,
    pytest.mark.skipif(NODE is None or NPM is None, reason="Node and npm are not on this machine"),
]


async def run(*command: str, cwd: Path, given: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate(given.encode())
    assert process.returncode == 0, err.decode()[-2000:]
    return out.decode()


async def test_the_typescript_client_sends(the_stage: Stage, tmp_path: Path) -> None:
    project = await the_stage.new_project(settings={"settle_for_seconds": 5})
    for name in ("package.json", "send.mjs"):
        shutil.copy(FOLDER / name, tmp_path)
    await run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent", cwd=tmp_path)
    said: dict[str, Any] = json.loads(
        await run(
            "node",
            "send.mjs",
            the_stage.client.service_client.config.target_host,
            the_stage.settings.task_queue,
            cwd=tmp_path,
            given=project.request("open@example.com").model_dump_json(),
        )
    )
    assert said["accepted"]["accepted_at"] is not None
    result = SendResult.model_validate(said["result"])
    assert (result.status, [event.kind for event in result.events]) == ("sent", ["sent", "opened"])
