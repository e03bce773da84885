"""/api/webhooks: neither creates nor deletes, and shows or sets no ticked events. Those are the web app's."""

from typing import Any, Final, Literal

from starlette.responses import Response

from sandbox.api.call import Body, Call, Operation, with_body
from sandbox.webhooks import Header, WebhookSpec
from sandbox.wire import answer, bad_params


class HeaderBody(Body):
    key: str
    value: str


class Update(Body):
    id: int
    endpoint: str | None = None
    enabled: bool | None = None
    auth_type: Literal["NoAuth", "Basic", "OAuth2"] | None = None
    auth_token: str | None = None
    headers: list[HeaderBody] | None = None
    blast_send_enabled: bool | None = None
    triggered_send_enabled: bool | None = None


def list_all(call: Call) -> Response:
    return answer({"webhooks": [webhook.shown() for webhook in call.project.webhooks.values()]})


def update(call: Call, body: Update) -> Response:
    """Only the given fields change."""
    webhook = call.project.webhooks.get(body.id)
    if webhook is None:
        raise bad_params("Invalid webhook id", {"id": str(body.id)})
    if body.endpoint is not None:
        webhook.endpoint = _checked(body.endpoint).endpoint
    if body.headers is not None:
        given = _checked(webhook.endpoint, [header.model_dump() for header in body.headers]).headers
        webhook.headers = [(header.key, header.value) for header in given]
    if body.enabled is not None:
        webhook.enabled = body.enabled
    if body.auth_type is not None:
        webhook.auth_type = body.auth_type
    if body.auth_token is not None:
        webhook.auth_token = body.auth_token
    if body.blast_send_enabled is not None:
        webhook.blast_sends = body.blast_send_enabled
    if body.triggered_send_enabled is not None:
        webhook.triggered_sends = body.triggered_send_enabled
    return answer(webhook.shown())


def _checked(endpoint: str, headers: list[dict[str, Any]] | None = None) -> WebhookSpec:
    try:
        return WebhookSpec(endpoint=endpoint, headers=[Header.model_validate(header) for header in headers or []])
    except ValueError:
        raise bad_params("Invalid webhook") from None


OPERATIONS: Final = (
    Operation("GET", "/api/webhooks", list_all),
    Operation("POST", "/api/webhooks", with_body(Update, update)),
)
