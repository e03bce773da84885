"""Posts distinct events, one a request, over connections that are kept: with wrk where it is installed, else from a
process of its own that speaks bare HTTP."""

import asyncio
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from endpoint.tokens import HEADER

KINDS = ("emailSend", "emailOpen", "emailClick")
_SCRIPT = Path(__file__).with_name("events.lua")


@dataclass(frozen=True)
class Flood:
    """What a run did. `lost` are requests without an answer, `refused` those that were not answered 2xx."""

    requests: int
    refused: int
    lost: int
    microseconds: int
    p50: int
    p99: int

    @property
    def acknowledged(self) -> int:
        """Events that were answered 2xx."""
        return self.requests - self.refused

    @property
    def rate(self) -> float:
        """Acknowledged events a second."""
        return self.acknowledged * 1_000_000 / self.microseconds


async def flood(url: str, token: str, run: int, sends: int, seconds: int, connections: int, pause_ms: int = 0) -> Flood:
    """One run. `run` (below 28) makes its events differ from every other run's; with `pause_ms` each connection rests
    between two requests, so that the load is what is asked for and not what can be had."""
    numbers = [str(run), str(sends), str(pause_ms)]
    wrk = shutil.which("wrk")
    if wrk is not None:
        command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(_SCRIPT), "-H", f"{HEADER}: {token}"]
        command += [url, "--", *numbers]
    else:
        command = [sys.executable, "-m", "bench.load", url, token, *numbers, str(seconds), str(connections)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    for line in output.decode().splitlines():
        if line.startswith("RESULT "):
            return Flood(**orjson.loads(line.removeprefix("RESULT ")))
    raise RuntimeError(f"no result from {command[0]}")


def event(n: int, run: int, sends: int) -> bytes:
    """The same events as events.lua makes."""
    send, turn = n % sends, n // sends
    second = turn // 3
    return orjson.dumps(
        {
            "email": f"user{send}@example.com",
            "eventName": KINDS[turn % 3],
            "dataFields": {
                "messageId": f"m{send}",
                "createdAt": f"2026-01-{run % 28 + 1:02} {time.strftime('%H:%M:%S', time.gmtime(second))} +00:00",
                "campaignId": 1,
                "transactionalData": {"genieos": {"workspace": "bench", "send": f"s{send}"}, "first_name": "Ann"},
            },
        }
    )


class Generator:
    """wrk's stand-in. `acknowledged` has the numbers of all events that were answered 2xx."""

    def __init__(self, url: str, token: str, run: int, sends: int, pause_ms: int = 0) -> None:
        where = urlsplit(url)
        self._host, self._port, self._path = where.hostname or "", where.port or 80, where.path
        self._token = token
        self._run, self._sends, self._pause = run, sends, pause_ms / 1000
        self._next = 0
        self.acknowledged: list[int] = []
        self.refused = 0
        self.lost = 0
        self.latencies: list[float] = []

    async def run(self, seconds: float, connections: int) -> None:
        """Posts until the time is over. A connection that breaks is made anew: the server may have been killed."""
        end = time.perf_counter() + seconds
        await asyncio.gather(*(self._post_until(end) for _ in range(connections)))

    async def _post_until(self, end: float) -> None:
        while time.perf_counter() < end:
            try:
                reader, writer = await asyncio.open_connection(self._host, self._port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            try:
                while time.perf_counter() < end:
                    await self._post(reader, writer)
                    if self._pause:
                        await asyncio.sleep(self._pause)
            except (OSError, asyncio.IncompleteReadError):
                self.lost += 1
            finally:
                writer.close()

    async def _post(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        n = self._next
        self._next += 1
        body = event(n, self._run, self._sends)
        head = (
            f"POST {self._path} HTTP/1.1\r\nHost: bench\r\n"
            f"{HEADER}: {self._token}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        began = time.perf_counter()
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        lines = answer.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        await reader.readexactly(length)
        self.latencies.append(time.perf_counter() - began)
        if answer.startswith(b"HTTP/1.1 2"):
            self.acknowledged.append(n)
        else:
            self.refused += 1


async def _main() -> None:
    url, token, *numbers = sys.argv[1:]
    run, sends, pause_ms, seconds, connections = (int(number) for number in numbers)
    generator = Generator(url, token, run, sends, pause_ms)
    began = time.perf_counter()
    await generator.run(seconds, connections)
    took = time.perf_counter() - began
    ordered = sorted(generator.latencies) or [0.0]
    result = {
        "requests": len(generator.latencies),
        "refused": generator.refused,
        "lost": generator.lost,
        "microseconds": int(took * 1_000_000),
        "p50": int(ordered[len(ordered) // 2] * 1_000_000),
        "p99": int(ordered[len(ordered) * 99 // 100] * 1_000_000),
    }
    sys.stdout.write(f"RESULT {orjson.dumps(result).decode()}\n")


if __name__ == "__main__":
    asyncio.run(_main())
