"""/api/email: sending to one person."""

from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import HTMLResponse, Response

from sandbox.api.call import Body, Call, Operation, with_body
from sandbox.campaigns import Campaign
from sandbox.fates import fate_of
from sandbox.outbox import Message
from sandbox.rendering import as_page
from sandbox.sending import Order, accept
from sandbox.sending import cancel as cancel_message
from sandbox.users import User
from sandbox.wire import ApiError, bad_params, check_email, envelope, parse_moment

_FARTHEST_SECONDS: Final = 365 * 86_400


class Target(Body):
    campaign_id: int
    recipient_email: str | None = None
    recipient_user_id: str | None = None
    data_fields: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    send_at: str | None = None
    allow_repeat_marketing_sends: bool | None = None


class Cancel(Body):
    scheduled_message_id: int | None = None
    campaign_id: int | None = None
    email: str | None = None
    user_id: str | None = None


def target(call: Call, body: Target) -> Response:
    """Takes a message. The answer names no message, and is the same for one that will be skipped."""
    campaign = _campaign(call, body.campaign_id)
    send_at = parse_moment(body.send_at, "sendAt") if body.send_at is not None else None
    if send_at is not None and send_at > call.now + _FARTHEST_SECONDS:
        raise bad_params("sendAt is too far in the future")
    order = Order(
        campaign=campaign,
        user=_recipient(call, body),
        data_fields=body.data_fields or {},
        metadata=body.metadata,
        send_at=send_at,
        allow_repeat=body.allow_repeat_marketing_sends is not False,
    )
    return _taken(call, campaign, accept(call.world, call.project, order))


def _campaign(call: Call, campaign_id: int) -> Campaign:
    campaign = call.project.campaigns.visible(campaign_id, call.now)
    if campaign is None or campaign.is_blast:
        raise bad_params("Invalid campaignId", {"campaignId": str(campaign_id)})
    if call.project.settings.inactive_campaign == "refuse" and campaign.state(call.now) != "Running":
        raise bad_params("Campaign is not running", {"campaignId": str(campaign_id)})
    return campaign


def _taken(call: Call, campaign: Campaign, message: Message) -> Response:
    to = message.email or message.user_id
    if message.send_at is None:
        return envelope(f"Campaign {campaign.id} - Sent triggered message to: {to}")
    due = datetime.fromtimestamp(message.send_at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    tells = call.project.settings.target_answers_scheduled_message_id
    params = {"scheduledMessageId": message.scheduled_id} if tells else None
    return envelope(f"Campaign {campaign.id} - Scheduled triggered message for: {due} to: {to}", params=params)


def _recipient(call: Call, body: Target) -> User:
    """The user that is meant; created where the project's type does that."""
    email, user_id = body.recipient_email, body.recipient_user_id
    if (email is None) == (user_id is None):
        raise bad_params("Exactly one of recipientEmail and recipientUserId is required")
    users = call.project.users
    if email is not None:
        check_email(email)
    if users.is_forgotten(email, user_id):
        raise ApiError(400, "ForgottenUserError", "User has been forgotten")
    if user_id is not None:
        return _known(call, None, user_id)
    assert email is not None  # noqa: S101
    if users.project_type == "userid":
        raise bad_params("recipientUserId is required in a userID-based project")
    creates = users.project_type == "email" or call.project.settings.hybrid_target_creates_users
    if creates and not fate_of(email).unknown:
        return users.find(email, None) or users.create(email, None, call.now, call.profile_lag)
    return _known(call, email, None)


def _known(call: Call, email: str | None, user_id: str | None) -> User:
    """A profile that can be read: one written a moment ago does not count yet."""
    user = call.project.users.visible(email, user_id, call.now)
    if user is not None:
        return user
    if user_id is not None:
        raise ApiError(400, "UnknownUserIdError", f"No user exists with userId {user_id}")
    raise ApiError(400, "UnknownEmailError", f"No user exists with email {email}")


def cancel(call: Call, body: Cancel) -> Response:
    """Only what is scheduled and not yet due can be cancelled; the answer names the ids in prose."""
    waiting = [message for message in _scheduled(call, body) if cancel_message(message)]
    if not waiting:
        raise bad_params("No scheduled messages found")
    ids = ", ".join(str(message.scheduled_id) for message in waiting)
    return envelope(f"Cancelled scheduled messages with IDs: {ids}")


def _scheduled(call: Call, body: Cancel) -> list[Message]:
    outbox, project_id = call.world.outbox, call.project.id
    if body.scheduled_message_id is not None:
        message = outbox.scheduled(body.scheduled_message_id)
        return [message] if message is not None and message.project_id == project_id else []
    if body.campaign_id is None or (body.email is None) == (body.user_id is None):
        raise bad_params("scheduledMessageId, or campaignId and one of email and userId, is required")
    theirs = outbox.of_person(project_id, email=body.email, user_id=body.user_id)
    return [message for message in theirs if message.campaign_id == body.campaign_id]


def view_in_browser(call: Call) -> Response:
    """What was rendered, for its own recipient only."""
    message = call.world.outbox.get(call.required_text("messageId"))
    email, user_id = call.text("email"), call.text("userId")
    theirs = message is not None and message.project_id == call.project.id
    if theirs and email is not None:
        theirs = message is not None and (message.email or "").lower() == email.lower()
    if theirs and user_id is not None:
        theirs = message is not None and message.user_id == user_id
    if message is None or not theirs or message.rendered is None:
        raise bad_params("Invalid messageId")
    return HTMLResponse(as_page(message.rendered))


OPERATIONS: Final = (
    Operation("POST", "/api/email/target", with_body(Target, target)),
    Operation("POST", "/api/email/cancel", with_body(Cancel, cancel)),
    Operation("GET", "/api/email/viewInBrowser", view_in_browser),
)
