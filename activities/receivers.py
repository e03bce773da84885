"""Where events may be pushed to and audiences be read from: public https addresses, so that no URL is a way into this
network."""

import asyncio
import ipaddress
import socket
from urllib.parse import urlsplit


class ReceiverRefused(Exception):
    """The URL may not be asked. Its message says why and holds no more of the URL than the host."""


async def check_receiver(url: str, *, allow_private: bool) -> None:
    """Raises `ReceiverRefused`. With `allow_private` http and private addresses pass (a laptop, an inner network).

    Checked when the URL is set and again before every delivery, since what a name stands for changes. Between this
    check and the connection it may change once more: where that matters, let pushes leave through an egress proxy.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ReceiverRefused("not a URL") from None
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ReceiverRefused("give an https URL")
    if parts.username is not None or parts.password is not None:
        raise ReceiverRefused("a URL must not carry a password")
    if allow_private:
        return
    if parts.scheme != "https":
        raise ReceiverRefused("only https is allowed")
    for address in await _addresses(parts.hostname, port or 443):
        if not _is_public(address):
            raise ReceiverRefused(f"{parts.hostname} is not a public address")


async def _addresses(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise ReceiverRefused(f"{host} does not resolve") from None
    return [str(info[4][0]) for info in found]


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            address = inner
    return address.is_global and not address.is_multicast
