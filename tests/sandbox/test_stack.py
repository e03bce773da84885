"""The supervisor: what it starts gets ready, and is gone afterwards."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from sandbox.stack import ChildFailed, Stack, free_port

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]
# A child that starts another, in its own group, and tells its process id.
PARENT = [
    sys.executable,
    "-c",
    "import subprocess, sys, time\n"
    "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(other.pid, flush=True)\n"
    "time.sleep(60)",
]


def alive(pid: int) -> bool:
    """Whether it runs; one that is dead and not yet collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def says(stack: Stack, name: str) -> str:
    """The first line of a child's log."""
    async with asyncio.timeout(30):
        while "\n" not in (text := stack.log_of(name).read_text()):  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.01)
    return text.splitlines()[0]


async def gone(pid: int) -> bool:
    for _ in range(200):
        if not alive(pid):
            return True
        await asyncio.sleep(0.01)
    return False


async def test_children_are_ready_when_start_returns_and_gone_after_the_stack(tmp_path: Path) -> None:
    port = free_port(48_123, "web")
    web = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    async with Stack(tmp_path / "logs") as stack:
        await stack.start("web", web, ready=f"http://127.0.0.1:{port}/", env={"PYTHONUNBUFFERED": "1"})
        await stack.start("sleep", SLEEP)
        assert stack.names == ["web", "sleep"]
        pids = [stack.pid_of(name) for name in stack.names]
        assert all(alive(pid) for pid in pids)
    assert not any(alive(pid) for pid in pids)
    assert "GET / HTTP" in (tmp_path / "logs" / "web.log").read_text()


async def test_a_function_can_say_when_a_child_is_ready(tmp_path: Path) -> None:
    async with Stack(tmp_path) as stack:

        async def ready() -> bool:
            return "up" in stack.log_of("sleep").read_text()

        await stack.start("sleep", SLEEP, ready=ready)
        assert "up" in stack.log_of("sleep").read_text()


async def test_a_child_that_ends_before_it_is_ready_is_named_with_its_last_words(tmp_path: Path) -> None:
    async with Stack(tmp_path) as stack:
        dies = [sys.executable, "-c", "print('the port is taken'); raise SystemExit(3)"]
        with pytest.raises(ChildFailed, match=r"(?s)web ended with code 3.*the port is taken") as failure:
            await stack.start("web", dies, ready="http://127.0.0.1:1/")
        assert failure.value.name == "web"
        assert failure.value.last_lines == ["the port is taken"]


async def test_a_child_that_is_not_ready_in_time_is_ended(tmp_path: Path) -> None:
    async with Stack(tmp_path) as stack:
        with pytest.raises(ChildFailed, match=r"not ready after 0\.2 s"):
            await stack.start("web", SLEEP, ready="http://127.0.0.1:1/", timeout=0.2)
        assert stack.names == []


async def test_a_command_that_does_not_exist_is_a_failure_too(tmp_path: Path) -> None:
    async with Stack(tmp_path) as stack:
        with pytest.raises(ChildFailed, match="could not be started"):
            await stack.start("x", ["/no/such/command"])


async def test_a_stubborn_child_is_killed_after_the_grace(tmp_path: Path) -> None:
    async with Stack(tmp_path, grace=0.2) as stack:
        await stack.start("stubborn", STUBBORN)
        await says(stack, "stubborn")
        pid = stack.pid_of("stubborn")
    assert not alive(pid)


async def test_what_a_child_started_goes_with_it(tmp_path: Path) -> None:
    async with Stack(tmp_path) as stack:
        await stack.start("parent", PARENT)
        grandchild = int(await says(stack, "parent"))
        assert alive(grandchild)
    assert await gone(grandchild)


async def test_an_error_in_the_body_ends_the_children_all_the_same(tmp_path: Path) -> None:
    pid = 0
    with pytest.raises(RuntimeError):
        async with Stack(tmp_path) as stack:
            await stack.start("sleep", SLEEP)
            pid = stack.pid_of("sleep")
            raise RuntimeError
    assert not alive(pid)


async def test_watch_names_the_child_that_fell_and_not_those_that_were_ended(tmp_path: Path) -> None:
    async with Stack(tmp_path) as stack:
        for name in ("a", "b", "c"):
            await stack.start(name, SLEEP)
        watching = asyncio.ensure_future(stack.watch())
        await stack.kill("a")
        await stack.stop("b")
        os.kill(stack.pid_of("c"), signal.SIGKILL)
        assert await watching == "c"
        assert "c ended with code -9" in str(stack.failure_of("c"))


async def test_a_killed_child_can_be_started_anew(tmp_path: Path) -> None:
    async with Stack(tmp_path) as stack:
        await stack.start("sleep", SLEEP)
        first = stack.pid_of("sleep")
        await stack.kill("sleep")
        assert stack.names == []
        await stack.restart("sleep")
        assert stack.names == ["sleep"]
        assert stack.pid_of("sleep") != first
        watching = asyncio.ensure_future(stack.watch())
        os.kill(stack.pid_of("sleep"), signal.SIGKILL)
        assert await watching == "sleep"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends children of a killed parent")
async def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom sandbox.stack import Stack\n"
        "async def main():\n"
        f"    async with Stack(Path({str(tmp_path)!r})) as stack:\n"
        f"        await stack.start('sleep', {SLEEP!r})\n"
        "        print(stack.pid_of('sleep'), flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert supervisor.stdout is not None
    pid = int(await supervisor.stdout.readline())
    assert alive(pid)
    supervisor.kill()
    await supervisor.wait()
    assert await gone(pid)


def test_a_taken_port_is_replaced_and_never_handed_out_twice() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        preferred = taken.getsockname()[1]
        ports = [free_port(preferred, "web") for _ in range(3)]
    assert preferred not in ports
    assert len(set(ports)) == 3
