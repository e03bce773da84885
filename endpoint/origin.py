"""Where a request comes from, when proxies stand in between, and whether that is allowed."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Headers = Sequence[tuple[bytes, bytes]]
_FORWARDED, _X_FORWARDED_FOR = b"forwarded", b"x-forwarded-for"
_MOST_HOPS = 20
_MOST_REMEMBERED = 4_096


class Networks:
    """A set of networks, v4 and v6. A v4 address written as v6 (`::ffff:203.0.113.7`) is the v4 address."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Raises `ValueError` for what is no network."""
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(one) for one in networks]
        self.holds = lru_cache(_MOST_REMEMBERED)(self._holds)

    def _holds(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def read_address(text: str) -> Address | None:
    """An address as proxies write it: bare, with a port, v6 in brackets, in quotes. None for anything else."""
    text = text.strip().strip('"').strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


class Origin:
    """Finds the address that a request comes from.

    What a header says is believed only as far as trusted proxies wrote it: from its right end, up to and including the
    first address that is none of theirs. Everything to the left of that was written by whoever that is.
    """

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        """Raises `ValueError` for what is no network."""
        self._trusted = Networks(trusted_proxies)

    def of(self, peer: str, headers: Headers) -> Address | None:
        """None where it cannot be told: then nothing that asks for an address may pass.

        Proxies write `Forwarded` or `X-Forwarded-For`, and pass the other one on as it came. So where both are there
        they must name the same origin: one of them may be the sender's own.
        """
        address = read_address(peer)
        if address is None or not self._trusted.holds(address):
            return address
        found = {
            self._through(address, chain)
            for chain in (_forwarded(headers), _x_forwarded_for(headers))
            if chain is not None
        }
        if not found:
            return address
        return found.pop() if len(found) == 1 else None

    def _through(self, peer: Address, chain: list[str]) -> Address | None:
        at = peer
        for text in reversed(chain[-_MOST_HOPS:]):
            address = read_address(text)
            if address is None:
                return None
            at = address
            if not self._trusted.holds(at):
                return at
        return at


def _x_forwarded_for(headers: Headers) -> list[str] | None:
    """Every address of every such header, in order; None where there is none."""
    lines = [value.decode("latin-1") for name, value in headers if name == _X_FORWARDED_FOR]
    return [one for line in lines for one in line.split(",")] if lines else None


def _forwarded(headers: Headers) -> list[str] | None:
    """The `for` of every hop (RFC 7239); an empty text for a hop without one."""
    lines = [value.decode("latin-1") for name, value in headers if name == _FORWARDED]
    return [_for(hop) for line in lines for hop in line.split(",")] if lines else None


def _for(hop: str) -> str:
    for pair in hop.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "for":
            return value
    return ""
