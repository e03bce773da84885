"""Input that does not fit its contract."""

import pytest
from pydantic import TypeAdapter

from contracts.errors import ConnectorError, ErrorCode
from contracts.received import Received
from contracts.send import SendRequest

RECEIVED = TypeAdapter(Received[SendRequest])
TEMPLATE = {
    "template_id": "t",
    "name": "Welcome",
    "subject": "Hi",
    "html": "<p>Hi</p>",
    "from_email": "hello@acme.test",
}
GOOD = {"workspace_id": "acme", "send_id": "s1", "template": TEMPLATE, "recipient": {"email": "ann@example.com"}}


def test_a_good_request_is_taken() -> None:
    assert RECEIVED.validate_python(GOOD).take().send_id == "s1"


def test_a_request_survives_the_way_through_json() -> None:
    received = RECEIVED.validate_python(GOOD)
    assert RECEIVED.validate_json(RECEIVED.dump_json(received)).take() == received.take()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tempate": 1}, ErrorCode.REQUEST_INVALID),
        ({"attachments": [{"name": "a.pdf"}]}, ErrorCode.ATTACHMENTS_NOT_SUPPORTED),
        ({"template": {"attachments": ["a.pdf"]}}, ErrorCode.ATTACHMENTS_NOT_SUPPORTED),
        ({"attachments": ["a.pdf"], "recipient": {}, "data": 1}, ErrorCode.ATTACHMENTS_NOT_SUPPORTED),
        ({"template": {**TEMPLATE, "html": ""}}, ErrorCode.TEMPLATE_INVALID),
        ({"template": {**TEMPLATE, "colour": "red"}}, ErrorCode.TEMPLATE_INVALID),
        ({"template": None, "template_ref": "abc"}, ErrorCode.TEMPLATE_UNKNOWN),
        ({"template": None}, ErrorCode.REQUEST_INVALID),
        ({"recipient": {}}, ErrorCode.RECIPIENT_INVALID),
        ({"recipient": {"email": "not an address"}}, ErrorCode.RECIPIENT_INVALID),
        ({"recipient": {"user_id": "x" * 53}}, ErrorCode.RECIPIENT_INVALID),
        ({"recipient": {"user_id": "ends with space "}}, ErrorCode.RECIPIENT_INVALID),
        ({"data": {"genieos": 1}}, ErrorCode.REQUEST_INVALID),
        ({"send_at": "2026-01-01T00:00:00"}, ErrorCode.REQUEST_INVALID),
        ({"send_id": "with/slash"}, ErrorCode.REQUEST_INVALID),
        ({"recipient": {}, "send_id": "with/slash"}, ErrorCode.REQUEST_INVALID),
    ],
)
def test_what_does_not_fit_is_refused_with_its_code(change: dict[str, object], code: ErrorCode) -> None:
    with pytest.raises(ConnectorError) as refused:
        RECEIVED.validate_python({**GOOD, **change}).take()
    assert refused.value.code == code


def test_a_refusal_names_fields_and_never_values() -> None:
    bad = {**GOOD, "recipient": {"email": "secret.person @example.com"}, "data": "secret-data"}
    with pytest.raises(ConnectorError) as refused:
        RECEIVED.validate_python(bad).take()
    text = str(refused.value)
    assert "recipient.email: no email address" in text
    assert "data" in text
    assert "secret" not in text
    assert "send id" not in text  # a send's own end says it: a preview and a broadcast have another


def test_a_request_with_a_hundred_faults_is_refused_shortly() -> None:
    with pytest.raises(ConnectorError) as refused:
        RECEIVED.validate_python({**GOOD, **{f"field{i}": i for i in range(100)}}).take()
    assert "and 90 more" in str(refused.value)


@pytest.mark.parametrize("nonsense", [None, 1, "text", [], [1]])
def test_what_is_no_object_is_refused_too(nonsense: object) -> None:
    with pytest.raises(ConnectorError):
        RECEIVED.validate_python(nonsense).take()


def test_names_that_a_caller_chose_are_not_repeated() -> None:
    with pytest.raises(ConnectorError) as refused:
        RECEIVED.validate_python({**GOOD, "ann@secret.test": 1}).take()
    assert "secret" not in str(refused.value)
