"""`Retry-After`, and the promise that no answer whatsoever breaks the client or leaks through it."""

import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import httpx
import orjson
import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from iterable.classification import CODES, retry_after
from iterable.client import IterableClient
from iterable.email import TargetEmail
from iterable.errors import IterableError, NotTaken, OutcomeUnknown
from iterable.templates import EmailTemplate

KEY = "5ec4e7c0ffee5ec4e7c0ffee5ec4e7c0"
ADDRESS = "ann.planted@example.com"
PLANTED = (KEY, ADDRESS, "ann.planted", "planted%40", "planted%2540")
NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("60", 60.0),
        (" 1.5 ", 1.5),
        ("0", 0.0),
        ("Sat, 31 Jan 2026 12:01:30 GMT", 90.0),
        ("Sat, 31 Jan 2026 12:01:30 -0000", 90.0),
        ("Sat, 31 Jan 2026 11:00:00 GMT", 0.0),
        ("Sat, 31 Jan 2099 11:00:00 GMT", 86_400.0),
        ("999999999999", 86_400.0),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("1e9", None),
        ("soon", None),
        ("٦٠", None),
        ("Sat, 99 Jan 2026 12:01:30 GMT", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, lambda: NOW) == seconds


@given(st.text(max_size=60))
def test_no_retry_after_breaks_the_client(header: str) -> None:
    wait = retry_after(header, lambda: NOW)
    assert wait is None or 0 <= wait <= 86_400


planted = st.sampled_from([KEY, ADDRESS, f"Api-Key: {KEY}", f"{ADDRESS}?key={KEY}"])
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | planted,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10) | planted, inner, max_size=3),
    max_leaves=6,
)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "msg": json_values,
        "code": st.sampled_from(sorted(CODES)) | json_values,
        "params": json_values
        | st.dictionaries(st.sampled_from(["campaignId", "obj.dataFields." + ADDRESS, "apiKeyType"]), planted),
        "campaignId": json_values,
        "templates": json_values,
        "campaigns": json_values,
        "events": st.lists(json_values, max_size=3),
        "user": json_values,
    },
).map(orjson.dumps)
bodies = (
    st.binary(max_size=200)
    | envelopes
    | st.tuples(st.binary(max_size=40), planted).map(lambda pair: pair[0] + pair[1].encode())
)
header_values = planted | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
headers = st.dictionaries(
    st.sampled_from(
        ["Iterable-Request-Id", "Retry-After", "Location", "Content-Type", "Content-Encoding", "Set-Cookie", "X-Echo"]
    ),
    header_values | st.sampled_from(["gzip", "br", "application/json", "text/html; charset=nonsense"]),
    max_size=5,
)


@given(status=st.integers(100, 999), body=bodies, headers=headers)
@example(status=400, body=orjson.dumps({"code": "BadJsonBody", "msg": f"Api-Key: {KEY} {ADDRESS}"}), headers={})
@example(status=303, body=b"", headers={"Location": f"https://[{ADDRESS}"})
@example(status=200, body=b"\x00", headers={"Content-Encoding": "gzip"})
async def test_no_answer_breaks_the_client_or_leaks_through_it(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    """Any status, headers and body: an `IterableError` or a value. The planted key and address are nowhere seen."""
    transport = httpx.MockTransport(
        lambda request: httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))
    )
    library_logs = _Collector()
    root = logging.getLogger()
    level = root.level
    root.addHandler(library_logs)
    root.setLevel(logging.DEBUG)
    try:
        with structlog.testing.capture_logs() as logs:
            async with IterableClient(data_center="us", api_key=SecretStr(KEY), transport=transport) as client:
                told = repr(client) + "".join([await _shown(call(client)) for call in _CALLS])
    finally:
        root.removeHandler(library_logs)
        root.setLevel(level)

    assert len(logs) >= len(_CALLS)
    for text in (told, repr(logs), repr(library_logs.lines)):
        for secret in PLANTED:
            assert secret not in text


_CALLS: tuple[Callable[[IterableClient], Awaitable[object]], ...] = (
    lambda client: client.email.target(
        TargetEmail(campaign_id=1, recipient_email=ADDRESS, data_fields={"key": KEY}, metadata={ADDRESS: KEY})
    ),
    lambda client: client.events.for_user(email=ADDRESS),
    lambda client: client.users.get_by_email(ADDRESS),
    lambda client: client.users.update(email=ADDRESS, data_fields={"name": ADDRESS}),
    lambda client: client.templates.upsert(EmailTemplate(client_template_id="t", message_type_id=1, html=KEY)),
    lambda client: client.campaigns.create_triggered(name="n", template_id=1),
    lambda client: _all(client.campaigns.newest()),
    lambda client: _all(client.export.data_json("emailSend", start=NOW, end=NOW)),
)


async def _all(items: AsyncIterator[object]) -> list[object]:
    return [item async for item in items]


async def _shown(call: Awaitable[object]) -> str:
    """Whatever an error of the call would show anywhere."""
    error = await _error(call)
    if error is None:
        return ""
    assert isinstance(error, NotTaken | OutcomeUnknown)
    assert (error.__cause__, error.__context__) == (None, None)
    return "\n".join([str(error), repr(error), repr(vars(error)), repr(error.args), *traceback.format_exception(error)])


async def _error(call: Awaitable[object]) -> IterableError | None:
    try:
        await call
    except IterableError as error:
        return error
    return None


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage() + repr(record.args))
