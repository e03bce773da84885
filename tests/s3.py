"""A server that speaks S3 over HTTP (moto), so that buckets are met as they are: signed requests, ETags, ranges."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from moto.server import ThreadedMotoServer
from obstore.store import S3Store

_REGION = "eu-central-1"


class S3:
    """Empty at first. What a process needs to reach it stands in its environment, as in production."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url)
        self.environment = {
            "AWS_ENDPOINT": url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": _REGION,
        }

    def make_bucket(self, name: str) -> None:
        where = (
            f"<CreateBucketConfiguration><LocationConstraint>{_REGION}</LocationConstraint></CreateBucketConfiguration>"
        )
        self._http.put(f"/{name}", content=where).raise_for_status()

    def put(self, bucket: str, name: str, data: bytes) -> None:
        self._bucket(bucket).put(name, data)

    def get(self, bucket: str, name: str) -> tuple[bytes, dict[str, str]]:
        """An object, and what it is served with."""
        found = self._bucket(bucket).get(name)
        return bytes(found.bytes()), {str(name).lower(): value for name, value in found.attributes.items()}

    def _bucket(self, name: str) -> S3Store:
        return S3Store(name, config=self.environment)


@contextmanager
def s3_server() -> Iterator[S3]:
    """Up until left."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=True)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        httpx.post(f"{url}/moto-api/reset").raise_for_status()  # what an earlier one had
        yield S3(url)
    finally:
        server.stop()
