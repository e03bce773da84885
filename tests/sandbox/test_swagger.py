"""The check against Iterable's API description itself."""

import pytest

from sandbox.api.call import Operation
from sandbox.api.serving import OPERATIONS
from tests import swagger


def test_a_good_request_and_answer_pass() -> None:
    swagger.check_request("POST", "/api/email/target", None, {"campaignId": 1, "recipientEmail": "a@b.test"})
    swagger.check_request("GET", "/us/api/events/a@b.test", {"limit": 3})
    swagger.check_response("POST", "/api/email/target", 200, {"msg": "m", "code": "Success", "params": None})
    swagger.check_response("GET", "/api/campaigns/7", 429, "Rate limit exceeded.")


@pytest.mark.parametrize(
    ("method", "path", "query", "body"),
    [
        ("POST", "/api/email/target", None, {"recipientEmail": "a@b.test"}),
        ("POST", "/api/email/target", None, {"campaignId": "1"}),
        ("POST", "/api/email/target", None, {"campaignId": 1, "idempotencyKey": "x"}),
        ("POST", "/api/email/target", {"x": 1}, {"campaignId": 1}),
        ("GET", "/api/templates/email/get", None, None),
        ("GET", "/api/campaigns", {"page": "one"}, None),
        ("GET", "/api/channels", None, {"a": 1}),
        ("GET", "/api/no/such/path", None, None),
    ],
)
def test_a_wrong_request_fails(method: str, path: str, query: dict[str, object] | None, body: object) -> None:
    with pytest.raises(AssertionError):
        swagger.check_request(method, path, query, body)


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/api/campaigns/create", 200, {"campaignId": "7"}),
        ("/api/campaigns/create", 200, {}),
        ("/api/campaigns/create", 400, {"msg": "m", "code": "NoSuchCode"}),
        ("/api/campaigns/create", 418, {}),
    ],
)
def test_a_wrong_answer_fails(path: str, status: int, body: object) -> None:
    with pytest.raises(AssertionError):
        swagger.check_response("POST", path, status, body)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_endpoint_of_the_sandbox_exists_at_iterable(operation: Operation) -> None:
    swagger.check_response(operation.method, operation.path, 401, {"msg": "Invalid API key", "code": "BadApiKey"})
