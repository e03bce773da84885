"""Logs lose what nobody may read in them."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from runtime.logging import configure_logging, scrub


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    written = io.StringIO()
    configure_logging(stream=written)
    yield written
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.parametrize(
    "text",
    [
        "no user ann@example.com here",
        "https://api.iterable.com/api/events/ann%40example.com?x=1",
        "<ann.b+c@sub.example.co.uk>",
        "mailto:ann@example.com",
    ],
)
def test_addresses_are_taken_out(text: str) -> None:
    assert "example" not in scrub(text)


@pytest.mark.parametrize(
    "text",
    [
        "Api-Key: 0123456789abcdef0123456789abcdef",
        "{'api_key': '0123456789abcdef0123456789abcdef'}",
        "Authorization=Bearer 0123456789abcdef",
        "X-GenieOS-Webhook-Token: 0123456789abcdef0123456789abcdef",
    ],
)
def test_secrets_are_taken_out(text: str) -> None:
    assert "0123456789abcdef" not in scrub(text)


def test_scrubbing_ends() -> None:
    scrub("a" * 1_000_000 + "@" * 1_000 + "b" * 1_000_000)  # a pattern that backtracks would need hours


def test_library_records_and_tracebacks_go_the_same_way(stream: io.StringIO) -> None:
    try:
        int("ann@example.com")
    except ValueError:
        logging.getLogger("temporalio.activity").exception("failed for %s", "bob@example.com")
    structlog.get_logger().info("send.accepted", recipient="eve@example.com", nested={"to": ["eve@example.com"]})
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["failed for [address]", "send.accepted"]
    assert "ValueError" in lines[0]["exception"]
    assert "example.com" not in stream.getvalue()
