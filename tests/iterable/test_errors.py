"""The error tree: which answer becomes which error. One row for every oddity that Iterable was seen with."""

import copy
import pickle
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx
import pytest

from iterable import errors
from iterable.client import IterableClient
from iterable.email import TargetEmail
from iterable.errors import (
    Conflict,
    ForbiddenByProject,
    IterableError,
    KeyRefused,
    NoAnswer,
    NotConnected,
    NotFound,
    NotTaken,
    OddAnswer,
    OutcomeUnknown,
    RateLimited,
    RecipientForgotten,
    RecipientInvalid,
    RecipientUnknown,
    Refused,
    ServerFault,
)
from tests.iterable.conftest import REQUEST_ID, Wire

MESSAGE = TargetEmail(campaign_id=42, recipient_email="ann@example.com", data_fields={"name": "Ann"})


class Row(NamedTuple):
    """An answer and what it has to become."""

    name: str
    status: int
    body: Any
    error: type[IterableError]
    code: str | None = None
    attributes: Mapping[str, Any] = {}
    headers: Mapping[str, str] = {}


def envelope(code: str, msg: str = "", params: Any = None) -> dict[str, Any]:
    return {"msg": msg, "code": code, "params": params}


ROWS = [
    Row(
        "unknown campaign",
        400,
        envelope("BadParams", "Invalid campaignId", {"campaignId": "42"}),
        Refused,
        "BadParams",
        {"invalid_params": ("campaignId",)},
    ),
    Row(
        "a fresh campaign, in words only",
        400,
        envelope("BadParams", "Invalid campaign id"),
        Refused,
        "BadParams",
        {"invalid_params": ("campaignId",)},
    ),
    Row(
        "a fresh campaign, in other words",
        400,
        envelope("BadParams", "Campaign 42 doesn't exist"),
        Refused,
        "BadParams",
        {"invalid_params": ("campaignId",)},
    ),
    Row(
        "missing template",
        400,
        envelope("BadParams", "Template ID: 42 does not exist for this project"),
        Refused,
        "BadParams",
        {"invalid_params": ("templateId",)},
    ),
    Row("bad address", 400, envelope("InvalidEmailAddressError", "Invalid email: foo@"), RecipientInvalid),
    Row("bad user id", 400, envelope("InvalidUserIdError"), RecipientInvalid),
    Row("unknown address", 400, envelope("UnknownEmailError"), RecipientUnknown),
    Row("unknown user id", 400, envelope("UnknownUserIdError", "No user exists with userId 12345"), RecipientUnknown),
    Row("unknown user id in plain text", 400, "No user with that id exists!", RecipientUnknown, None),
    Row("unknown user id as a key", 400, envelope("BadParams", "error.users.noUserWithIdExists"), RecipientUnknown),
    Row("forgotten, one way", 400, envelope("ForgottenUserError"), RecipientForgotten),
    Row("forgotten, the other way", 409, envelope("ForgottenUserError"), RecipientForgotten),
    Row(
        "success that is none: bad list",
        400,
        envelope("Success", "error.lists.invalidListId(…)"),
        Refused,
        "Success",
        {"invalid_params": ("listId",)},
    ),
    Row("success that is none: bad key", 401, envelope("Success"), KeyRefused, "Success", {"key_type": None}),
    Row(
        "profile field of another type",
        400,
        envelope("RequestFieldsTypesMismatched", "", {"validationErrors": {"age": {"offendingValue": "ann"}}}),
        Refused,
        attributes={"invalid_params": ()},
    ),
    Row(
        "echoing body",
        400,
        envelope("BadJsonBody", 'Got {"recipientEmail":"ann@example.com"} and headers Api-Key: 0123'),
        Refused,
        attributes={"invalid_params": ()},
    ),
    Row(
        "invalid JSON by path",
        400,
        envelope("BadJsonBody", "[/api/email/target] Invalid JSON body", {"obj.dataFields.ann@example.com": ["x"]}),
        Refused,
        attributes={"invalid_params": ("dataFields",)},
    ),
    Row("queueing, our fault", 400, envelope("QueueEmailError"), Refused),
    Row("a code nobody knows", 400, envelope("BrandNewError"), Refused, "other"),
    Row("a code that is no text", 400, {"msg": 1, "code": 7, "params": [1]}, Refused, None),
    Row("plain-text 400", 400, "Bad Request", Refused, None),
    Row("empty 400", 400, "", Refused, None),
    Row("JSON that is no object", 400, [1, 2], Refused, None),
    Row("too large", 413, "<html>413</html>", Refused, None),
    Row("unprocessable", 422, envelope("BadParams"), Refused),
    Row("dead key", 401, envelope("BadApiKey", "Invalid API key"), KeyRefused, attributes={"key_type": None}),
    Row(
        "read-only key",
        401,
        envelope("BadApiKey", "Invalid API key", {"ip": "1.2.3.4", "apiKeyIdentifier": "x", "apiKeyType": "Read-only"}),
        KeyRefused,
        attributes={"key_type": "read_only"},
    ),
    Row(
        "client key",
        401,
        envelope("BadApiKey", "", {"apiKeyType": "JavaScript"}),
        KeyRefused,
        attributes={"key_type": "javascript"},
    ),
    Row(
        "key of an unknown kind",
        401,
        envelope("BadApiKey", "", {"apiKeyType": "ann@example.com"}),
        KeyRefused,
        attributes={"key_type": None},
    ),
    Row("JWT missing", 401, envelope("BadAuthorizationHeader"), KeyRefused),
    Row("feature off", 403, envelope("Forbidden"), ForbiddenByProject),
    Row("feature off, in HTML", 403, "<html>", ForbiddenByProject, None),
    Row("not found", 404, envelope("NotFound"), NotFound),
    Row("wrong path", 404, "<!DOCTYPE html><h1>Action not found</h1>", NotFound, None),
    Row("conflict", 409, envelope("Conflict"), Conflict),
    Row("conflict of keys", 409, envelope("ExternalKeyConflict"), Conflict),
    Row(
        "rate limit",
        429,
        envelope("RateLimitExceeded", "Exceeded rate limit."),
        RateLimited,
        attributes={"retry_after": 60.0},
        headers={"Retry-After": "60"},
    ),
    Row(
        "rate limit in plain text, without a wait",
        429,
        "Rate limit exceeded. Please try again later.",
        RateLimited,
        None,
        {"retry_after": None},
    ),
    Row("server fault", 500, envelope("GenericError", "An error occurred."), ServerFault),
    Row("queueing, their fault", 500, envelope("QueueEmailError"), ServerFault),
    Row("gateway", 502, "<html>502</html>", ServerFault, None),
    Row("gateway timeout", 504, "", ServerFault, None),
    Row("unavailable", 503, "Request timeout", ServerFault, None),
    Row("request timeout", 408, "", OddAnswer, None),
    Row("redirect", 303, "", OddAnswer, None, headers={"Location": "https://elsewhere.example/ann@example.com"}),
    Row("not modified", 304, "", OddAnswer, None),
]


def _body(body: Any) -> dict[str, Any]:
    return {"text": body} if isinstance(body, str) else {"json": body}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_an_answer_becomes_its_error(row: Row, client: IterableClient, wire: Wire) -> None:
    wire.answers(row.status, headers=dict(row.headers), **_body(row.body))

    with pytest.raises(IterableError) as caught:
        await client.email.target(MESSAGE)

    error = caught.value
    assert type(error) is row.error
    assert isinstance(error, OutcomeUnknown if row.status in {303, 304, 408} or row.status >= 500 else NotTaken)
    expected = row.code or (
        row.body["code"] if isinstance(row.body, dict) and isinstance(row.body["code"], str) else None
    )
    assert (error.status, error.code, error.request_id) == (row.status, expected, REQUEST_ID)
    assert error.operation == "POST /api/email/target"
    for name, value in row.attributes.items():
        assert getattr(error, name) == value
    record = wire.records[-1]
    assert (record.outcome, record.status, record.code) == (row.error.__name__, row.status, expected)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize("body", ["", "<html>", '{"code":"BadParams"}', "\x00", "[]"])
async def test_any_2xx_has_taken_a_send(status: int, body: str, client: IterableClient, wire: Wire) -> None:
    wire.answers(status, text=body)
    taken = await client.email.target(MESSAGE)
    assert (taken.request_id, taken.scheduled_message_id) == (REQUEST_ID, None)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (httpx.ConnectError("ann@example.com"), NotConnected),
        (httpx.ConnectTimeout("x"), NotConnected),
        (httpx.PoolTimeout("x"), NotConnected),
        (httpx.ReadTimeout("x"), NoAnswer),
        (httpx.WriteTimeout("x"), NoAnswer),
        (httpx.ReadError("x"), NoAnswer),
        (httpx.WriteError("x"), NoAnswer),
        (httpx.CloseError("x"), NoAnswer),
        (httpx.RemoteProtocolError("x"), NoAnswer),
        (httpx.LocalProtocolError("x"), NoAnswer),
        (httpx.ProxyError("x"), NoAnswer),
        (OSError("x"), NoAnswer),
        (RuntimeError("x"), NoAnswer),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
async def test_a_failure_becomes_its_error(
    failure: Exception, expected: type[IterableError], client: IterableClient, wire: Wire
) -> None:
    wire.fails(failure)
    with pytest.raises(IterableError) as caught:
        await client.email.target(MESSAGE)
    error = caught.value
    assert type(error) is expected
    assert isinstance(error, NotConnected | NoAnswer)
    assert error.cause == type(failure).__name__
    assert (error.status, error.__cause__, error.__context__) == (None, None, None)


async def test_a_send_is_never_tried_twice_by_the_client(client: IterableClient, wire: Wire) -> None:
    for failure in (httpx.ConnectError("x"), httpx.ReadTimeout("x")):
        wire.fails(failure)
    wire.answers(500)
    wire.answers(429)
    wire.answers(303, headers={"Location": "https://elsewhere.example/"})
    for number in range(1, 6):
        with pytest.raises(IterableError):
            await client.email.target(MESSAGE)
        assert len(wire.requests) == number


def test_an_error_says_what_it_knows_and_nothing_else() -> None:
    error = Refused("POST /api/x", status=400, code="BadParams", request_id=REQUEST_ID, invalid_params=("a", "b"))
    assert str(error) == f"POST /api/x: answered 400, code BadParams, naming a b, request {REQUEST_ID}"
    assert repr(error) == f"<Refused {error}>"
    assert str(NotConnected("GET /api/x", cause="ConnectTimeout")) == "GET /api/x: not sent, ConnectTimeout"
    assert str(NoAnswer("GET /api/x", cause="ReadTimeout")) == "GET /api/x: no answer, ReadTimeout"
    assert str(RateLimited("GET /api/x", status=429, retry_after=1.5)) == (
        "GET /api/x: answered 429, retry after 1.5 s"
    )
    assert str(KeyRefused("GET /api/x", status=401, key_type="read_only")) == (
        "GET /api/x: answered 401, key type read_only"
    )


def test_an_error_survives_copying() -> None:
    error = RateLimited("GET /api/x", status=429, retry_after=1.5)
    for twin in (copy.deepcopy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301
        assert vars(twin) == vars(error)
    twin = copy.deepcopy(NoAnswer("GET /api/x", cause="ReadTimeout"))
    assert twin.cause == "ReadTimeout"


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        mark = line.lstrip()[:2]
        if mark in {"* ", "x ", "+ "}:
            drawn.append(("*x+".index(mark[0]), line.split()[1]))

    def walk(kind: type[IterableError], depth: int) -> list[tuple[int, str]]:
        return [(depth, kind.__name__)] + [row for child in kind.__subclasses__() for row in walk(child, depth + 1)]

    assert drawn == walk(IterableError, 0)
