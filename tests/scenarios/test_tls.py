"""Temporal behind TLS, as in Temporal Cloud: all of it by the SDK's own environment configuration."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from runtime.settings import Settings
from runtime.temporal import connect
from tests.stage import Stage

pytestmark = pytest.mark.scenario


@asynccontextmanager
async def _tls_before(target: str, ca: trustme.CA, *, client_ca: trustme.CA | None = None) -> AsyncGenerator[int]:
    """Ends TLS in front of a server; asks for a client's certificate where `client_ca` says whose are good."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["h2"])
    ca.issue_cert("localhost").configure_cert(context)
    if client_ca is not None:
        client_ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    host, _, port = target.rpartition(":")

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()

    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection(host, int(port))
        ways = [asyncio.create_task(pump(reader, to_writer)), asyncio.create_task(pump(to_reader, writer))]
        passing.extend(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        writer.transport.abort()
        to_writer.transport.abort()

    passing: list[asyncio.Task[None]] = []
    server = await asyncio.start_server(passed_on, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for way in passing:
            way.cancel()
        await asyncio.gather(*passing, return_exceptions=True)
        await asyncio.sleep(0.1)  # for the transports to close


async def test_tls_and_a_client_certificate_by_the_sdks_variables(
    the_stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, clients = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    mine = clients.issue_cert("worker")
    mine.cert_chain_pems[0].write_to_path(str(tmp_path / "client.pem"))
    mine.private_key_pem.write_to_path(str(tmp_path / "client.key"))
    async with _tls_before(the_stage.client.service_client.config.target_host, ca, client_ca=clients) as port:
        monkeypatch.setenv("TEMPORAL_ADDRESS", f"localhost:{port}")
        monkeypatch.setenv("TEMPORAL_NAMESPACE", "default")
        monkeypatch.setenv("TEMPORAL_TLS", "true")
        monkeypatch.setenv("TEMPORAL_TLS_SERVER_CA_CERT_PATH", str(tmp_path / "ca.pem"))
        with pytest.raises(RuntimeError):
            await connect(Settings())
        monkeypatch.setenv("TEMPORAL_TLS_CLIENT_CERT_PATH", str(tmp_path / "client.pem"))
        monkeypatch.setenv("TEMPORAL_TLS_CLIENT_KEY_PATH", str(tmp_path / "client.key"))
        assert await (await connect(Settings())).service_client.check_health()
        monkeypatch.delenv("TEMPORAL_TLS_SERVER_CA_CERT_PATH")
        with pytest.raises(RuntimeError):
            await connect(Settings())


async def test_an_api_key_is_sent_over_tls_only(
    the_stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in Temporal Cloud: with a key there is TLS without being asked for. The server here takes any key."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    target = the_stage.client.service_client.config.target_host
    async with _tls_before(target, ca) as port:
        monkeypatch.setenv("TEMPORAL_NAMESPACE", "default")
        monkeypatch.setenv("TEMPORAL_API_KEY", "a-key")
        monkeypatch.setenv("TEMPORAL_TLS_SERVER_CA_CERT_PATH", str(tmp_path / "ca.pem"))
        monkeypatch.setenv("TEMPORAL_ADDRESS", f"localhost:{port}")
        service = (await connect(Settings())).service_client
        assert service.config.api_key == "a-key"
        assert await service.check_health()
        monkeypatch.setenv("TEMPORAL_ADDRESS", target)  # without TLS there
        with pytest.raises(RuntimeError):
            await connect(Settings())
