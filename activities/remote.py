"""Audiences that lie elsewhere: in an object store (S3, Google Cloud Storage, Azure), or behind an https URL."""

import io
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Any

import httpx
import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, PreconditionError, UnauthenticatedError
from obstore.store import from_url

from activities.receivers import ReceiverRefused, check_receiver
from activities.sources import Stat, StorageAway, Unreadable, Withheld

_CHUNK = 256 * 1024
_TIMEOUT = httpx.Timeout(30.0)
_WITHHELD = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.BAD_REQUEST)
"""Google answers 400 to a signature that has expired, S3 to one that was made with a session that has."""


class StoredObject:
    """An object of a store. Credentials and endpoints are the environment's (`AWS_…`, `GOOGLE_…`, `AZURE_…`)."""

    def __init__(self, uri: str) -> None:
        folder, _, self._name = uri.rpartition("/")
        try:
            self._store: Any = from_url(folder)
        except (BaseError, ValueError):
            raise Unreadable("The audience's URI is none that an object store knows") from None

    async def stat(self) -> Stat:
        """Named by its ETag."""
        try:
            found = await obstore.head_async(self._store, self._name)
        except (BaseError, FileNotFoundError) as error:
            raise _problem(error) from None
        return Stat(found["size"], found["e_tag"] or f"{found['size']}-{found['last_modified'].timestamp()}")

    async def chunks(self, offset: int, version: str) -> AsyncGenerator[bytes, None]:
        """One request, from `offset` to the end."""
        if offset >= (await self.stat()).size:
            return
        try:
            answer = await obstore.get_async(self._store, self._name, options={"range": {"offset": offset}})
            if (answer.meta["e_tag"] or version) != version:
                raise Unreadable("The audience's file has changed while it was read")
            async for chunk in answer.stream(min_chunk_size=_CHUNK):
                yield bytes(chunk)
        except (BaseError, FileNotFoundError) as error:
            raise _problem(error) from None

    def open(self) -> Any:
        """A file that can be read from anywhere, for Parquet. Blocks: call in a thread."""
        try:
            return io.BufferedReader(_Reader(obstore.open_reader(self._store, self._name)), _CHUNK)
        except (BaseError, FileNotFoundError) as error:
            raise _problem(error) from None


class _Reader(io.RawIOBase):
    """What obstore reads an object with, as one of Python's own files: readers of Parquet want all of its methods."""

    def __init__(self, reader: "obstore.ReadableFile") -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._reader.seek(offset, whence)

    def tell(self) -> int:
        return self._reader.tell()

    def readinto(self, buffer: Any, /) -> int:
        data = memoryview(self._reader.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)


def _problem(error: BaseError | FileNotFoundError) -> Exception:
    """Without the store's own words, which may quote a signed URL."""
    if isinstance(error, FileNotFoundError):
        return Unreadable("The audience's file is not there, or this worker may not read it")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return Withheld()
    if isinstance(error, PreconditionError):
        return Unreadable("The audience's file has changed while it was read")
    return StorageAway("the audience's storage does not answer")


class HttpsFile:
    """A file behind a URL, signed ones included. Redirects are not followed and, unless that is allowed, only public
    addresses are asked: an audience's URL is no way into this network."""

    def __init__(self, url: str, *, allow_private: bool, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = url
        self._allow_private = allow_private
        self._transport = transport

    async def stat(self) -> Stat:
        """Asked with a GET of one byte: signed URLs are often good for GET alone."""
        async with self._client() as client:
            response = await self._get(client, {"Range": "bytes=0-0"})
            await response.aclose()
        if response.status_code == HTTPStatus.PARTIAL_CONTENT:
            size = response.headers.get("Content-Range", "").rpartition("/")[2]
        else:
            size = response.headers.get("Content-Length", "0")
        return Stat(int(size) if size.isdecimal() else 0, _version(response))

    async def chunks(self, offset: int, version: str) -> AsyncGenerator[bytes, None]:
        """From `offset` on; a server that knows no ranges sends what lies before it, too."""
        async with self._client() as client:
            response = await self._get(client, {"Range": f"bytes={offset}-"})
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return
            if _version(response) != version:
                raise Unreadable("The audience's file has changed while it was read")
            skip = 0 if response.status_code == HTTPStatus.PARTIAL_CONTENT else offset
            try:
                async for chunk in response.aiter_bytes(_CHUNK):
                    if skip < len(chunk):
                        yield chunk[skip:]
                    skip = max(0, skip - len(chunk))
            except httpx.HTTPError:
                raise StorageAway("the audience's server broke off") from None
            finally:
                await response.aclose()

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=self._transport, timeout=_TIMEOUT, trust_env=False, follow_redirects=False)

    async def _get(self, client: httpx.AsyncClient, headers: dict[str, str]) -> httpx.Response:
        try:
            await check_receiver(self._url, allow_private=self._allow_private)
            # One form of the file for all requests: what is compressed on the way has a version of its own.
            headers = {"Accept-Encoding": "identity", **headers}
            response = await client.send(client.build_request("GET", self._url, headers=headers), stream=True)
        except ReceiverRefused as error:
            raise Unreadable(f"The audience's URL is not read: {error}") from None
        except (httpx.HTTPError, httpx.InvalidURL):
            raise StorageAway("the audience's server does not answer") from None
        status = response.status_code
        if response.is_success or status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return response
        await response.aclose()
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            raise StorageAway("the audience's server does not answer")
        if status in _WITHHELD:
            raise Withheld
        raise Unreadable(f"The audience's URL answered {status}")


def _version(response: httpx.Response) -> str:
    total = response.headers.get("Content-Range", "").rpartition("/")[2] or response.headers.get("Content-Length", "")
    return response.headers.get("ETag") or response.headers.get("Last-Modified") or f"size {total}"
