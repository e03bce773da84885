"""Where an audience's bytes come from: the request itself, or a file below a folder that the worker allows.

A source can be read from any byte on, and names its content by a version, so that a reader that goes on after a crash
notices that the file is not the one it began with.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from contracts.errors import ConnectorError, ErrorCode

_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Stat:
    """How large a source is, in bytes, and which version of it."""

    size: int
    version: str


class Source(Protocol):
    """Bytes that can be read from anywhere."""

    async def stat(self) -> Stat:
        """Raises `ConnectorError` where it is not there or must not be read."""
        ...

    def chunks(self, offset: int, version: str) -> AsyncGenerator[bytes, None]:
        """The bytes from `offset` (inclusive) on. Raises `ConnectorError`."""
        ...


class Unreadable(ConnectorError):
    """The audience cannot be read. Its text never has the URI, which may carry a signature."""

    def __init__(self, what: str) -> None:
        super().__init__(ErrorCode.REQUEST_INVALID, what, "Correct the audience and start a new broadcast with it.")


class Empty(Unreadable):
    """Nobody is in the audience: whoever made the file would not hear of it where that passed for a success."""

    def __init__(self) -> None:
        super().__init__("The audience has no row")


class StorageAway(Exception):
    """The audience cannot be read at the moment: the page fails, and is repeated from where it stood."""


class Withheld(Unreadable):
    """The audience is not handed out (any more): a signed URL or the worker's credentials have expired, say."""

    def __init__(self) -> None:
        super().__init__("The audience's storage does not let this worker read it")


class Inline:
    """Recipients that stood in the request."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def stat(self) -> Stat:
        """Its version never changes."""
        return Stat(len(self._content), "inline")

    async def chunks(self, offset: int, version: str) -> AsyncGenerator[bytes, None]:
        """In one piece."""
        del version
        yield self._content[offset:]


class LocalFile:
    """A file on the worker's machine, or on a volume that all workers mount."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def stat(self) -> Stat:
        """Named by inode, size and time of change."""
        try:
            found = await asyncio.to_thread(self._path.stat)
        except OSError:
            raise Unreadable("The audience's file is not there, or this worker may not read it") from None
        return Stat(found.st_size, f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}")

    async def chunks(self, offset: int, version: str) -> AsyncGenerator[bytes, None]:
        """Read by a thread, so that a slow disk stops nobody else."""
        del version
        file = await asyncio.to_thread(self._path.open, "rb")
        try:
            await asyncio.to_thread(file.seek, offset)
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk
        finally:
            file.close()

    def open(self) -> Path:
        """For readers that open it themselves."""
        return self._path


def local_path(uri: str, roots: Sequence[Path]) -> Path:
    """The file that a path or a `file://` URI names. Raises `Unreadable` unless it lies below an allowed folder, links
    followed."""
    parts = urlsplit(uri)
    path = Path(unquote(parts.path) if parts.scheme == "file" else uri)
    if not roots:
        raise Unreadable("Local files are not read by this worker: set CONNECTOR_AUDIENCE_ROOTS to allow a folder")
    real = path.resolve()
    if not any(real.is_relative_to(root.resolve()) for root in roots):
        raise Unreadable("The audience's file is not below a folder that CONNECTOR_AUDIENCE_ROOTS allows")
    return real
