"""Where hosted images lie: a folder, or a bucket of S3, Google or Azure. An image's name is its content, so what was
written once is never written again and never changes."""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

import structlog
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from images.media import EXTENSIONS
from images.rewriting import Asset

T = TypeVar("T")

log: structlog.stdlib.BoundLogger = structlog.get_logger()

CACHE_CONTROL: Final = "public, max-age=31536000, immutable"
_NAME = re.compile(r"[0-9a-f]{64}\.([a-z]{3,4})")
_TYPES = {extension: media_type for media_type, extension in EXTENSIONS.items()}
_MOST_REMEMBERED = 10_000
_PATIENCE_SECONDS = 20
"""For one image, repetitions included: less than an activity's attempt may take."""
_THREADS = 8


class AssetsUnavailable(Exception):
    """The store does not answer or does not allow it: the same may work later. Says nothing of its address."""


class AssetStore:
    """`where` is a folder, or a URL (`s3://bucket/prefix`, `gs://…`, `az://…`). Credentials come from the environment,
    as that provider's own tools take them (`AWS_…`, `GOOGLE_…`, `AZURE_…`)."""

    def __init__(self, where: str) -> None:
        """Opens nothing yet: a process that never meets an image needs no store."""
        self._where = where
        self._opened: ObjectStore | None = None
        # The blocking calls, in threads: the library's own coroutines can abort an interpreter that is ending
        # (pyo3-async-runtimes). Threads of its own, so that a store that hangs holds up nothing else.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="assets")
        self._remembered: dict[str, None] = {}

    @property
    def is_folder(self) -> bool:
        """Whether images lie on this machine's own disk."""
        return "://" not in self._where

    async def put(self, asset: Asset) -> None:
        """Keeps an image that is not there yet. Safe to repeat, also at the same time. Raises `AssetsUnavailable`."""
        if asset.name in self._remembered:
            return
        await self._run(lambda: self._put(asset))
        self._remembered[asset.name] = None
        if len(self._remembered) > _MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]

    def _put(self, asset: Asset) -> None:
        store = self._open()
        try:
            store.head(asset.name)
        except FileNotFoundError:
            log.info("asset.stored", name=asset.name, size=len(asset.data))
        else:
            return
        if isinstance(store, LocalStore):  # keeps no attributes; the endpoint knows them from the name
            try:
                store.put(asset.name, asset.data, mode="create")
            except AlreadyExistsError:
                return
        else:
            store.put(
                asset.name, asset.data, attributes={"Content-Type": asset.media_type, "Cache-Control": CACHE_CONTROL}
            )

    async def get(self, name: str) -> Asset | None:
        """An image by its name; None for any name that is not one of ours. Raises `AssetsUnavailable`."""
        found = _NAME.fullmatch(name)
        media_type = _TYPES.get(found.group(1)) if found else None
        if media_type is None:
            return None
        data = await self._run(lambda: self._read(name))
        return None if data is None else Asset(name, media_type, data)

    def _read(self, name: str) -> bytes | None:
        try:
            return bytes(self._open().get(name).bytes())
        except FileNotFoundError:
            return None

    async def _run(self, call: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except (BaseError, OSError, ValueError) as error:
            log.warning("assets.unavailable", error=type(error).__name__)
            raise AssetsUnavailable("The store of hosted images does not answer, or refuses") from None

    def _open(self) -> ObjectStore:
        if self._opened is None:
            if self.is_folder:
                self._opened = LocalStore(Path(self._where).absolute(), mkdir=True)
            else:
                # No options of the HTTP client: they would take the place of those from the environment, a proxy say.
                self._opened = from_url(
                    self._where, retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=_PATIENCE_SECONDS)}
                )
        return self._opened
