"""Where a request comes from: what a sender may claim, and what only proxies may say."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint.origin import Networks, Origin, read_address

PROXIES = ["10.0.0.0/8", "2001:db8:1::/48"]
SENDER = "203.0.113.7"


@pytest.mark.parametrize(
    ("peer", "headers", "found"),
    [
        (SENDER, {}, SENDER),
        ("::ffff:203.0.113.7", {}, SENDER),
        ("10.0.0.1", {}, "10.0.0.1"),  # a proxy's own request
        # Nobody who is no proxy is believed.
        (SENDER, {"x-forwarded-for": "198.51.100.1"}, SENDER),
        (SENDER, {"forwarded": "for=198.51.100.1"}, SENDER),
        # What a trusted proxy wrote, and nothing to the left of it.
        ("10.0.0.1", {"x-forwarded-for": SENDER}, SENDER),
        ("10.0.0.1", {"x-forwarded-for": f"198.51.100.1, {SENDER}"}, SENDER),
        ("10.0.0.1", {"x-forwarded-for": f"198.51.100.1, {SENDER}, 10.0.0.2"}, SENDER),
        ("10.0.0.1", {"x-forwarded-for": f"{SENDER}:4711"}, SENDER),
        ("10.0.0.1", {"x-forwarded-for": "[2001:db8::5]:4711"}, "2001:db8::5"),
        ("2001:db8:1::1", {"x-forwarded-for": "2001:db8::5"}, "2001:db8::5"),
        ("10.0.0.1", {"forwarded": f"for={SENDER};proto=https, for=10.0.0.2"}, SENDER),
        ("10.0.0.1", {"forwarded": 'For="[2001:db8::5]:4711";by=_x'}, "2001:db8::5"),
        ("10.0.0.1", {"x-forwarded-for": SENDER, "forwarded": f"for={SENDER}"}, SENDER),
        # What cannot be told.
        ("10.0.0.1", {"x-forwarded-for": "unknown"}, None),
        ("10.0.0.1", {"x-forwarded-for": ""}, None),
        ("10.0.0.1", {"forwarded": "for=_hidden"}, None),
        ("10.0.0.1", {"forwarded": "proto=https"}, None),
        ("10.0.0.1", {"x-forwarded-for": SENDER, "forwarded": "for=198.51.100.1"}, None),
        ("fe80::1%eth0", {}, None),
        ("", {}, None),
    ],
)
def test_where_a_request_comes_from(peer: str, headers: dict[str, str], found: str | None) -> None:
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert Origin(PROXIES).of(peer, sent) == (None if found is None else ip_address(found))


def test_several_headers_are_one_list() -> None:
    sent = [(b"x-forwarded-for", b"198.51.100.1"), (b"x-forwarded-for", SENDER.encode())]
    assert Origin(PROXIES).of("10.0.0.1", sent) == ip_address(SENDER)


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_sender_can_claim_nothing(claim: str, other: str) -> None:
    """The proxy appends; whatever stood there before was the sender's."""
    line = f"{claim}, {SENDER}".encode("latin-1", "replace")
    sent = [(b"x-forwarded-for", line), (b"forwarded", other.encode("latin-1", "replace"))]
    assert Origin(PROXIES).of("10.0.0.1", sent) in {ip_address(SENDER), None}


@pytest.mark.parametrize(
    ("networks", "address", "held"),
    [
        (["203.0.113.0/24"], "203.0.113.7", True),
        (["203.0.113.0/24"], "::ffff:203.0.113.7", True),
        (["203.0.113.0/24"], "203.0.114.7", False),
        (["2001:db8::/32"], "2001:db8::7", True),
        (["2001:db8::/32", "203.0.113.7/32"], "203.0.113.7", True),
        ([], "203.0.113.7", False),
    ],
)
def test_networks(networks: list[str], address: str, held: bool) -> None:
    read = read_address(address)
    assert read is not None
    assert Networks(networks).holds(read) is held
