"""/api/users/updateSubscriptions, its bulk form, and /api/subscriptions"""

from collections.abc import Callable
from typing import Any, Final

from starlette.responses import Response

from sandbox.api.call import Body, Call, Handler, Operation, with_body
from sandbox.api.users import unknown
from sandbox.subscribing import Change, apply
from sandbox.users import User
from sandbox.wire import ApiError, answer, bad_params, check_email, envelope


class UpdateSubscriptions(Body):
    email: str | None = None
    user_id: str | None = None
    email_list_ids: list[int] | None = None
    unsubscribed_channel_ids: list[int] | None = None
    unsubscribed_message_type_ids: list[int] | None = None
    subscribed_message_type_ids: list[int] | None = None
    campaign_id: int | None = None
    template_id: int | None = None
    validate_channel_alignment: bool | None = None


class BulkUpdateSubscriptions(Body):
    update_subscriptions_requests: list[UpdateSubscriptions]


class People(Body):
    users: list[str] | None = None
    users_by_user_id: list[str] | None = None


# Every array that is not null replaces the stored one


def update(call: Call, body: UpdateSubscriptions) -> Response:
    _update(call, body)
    return envelope("Subscriptions updated")


def bulk_update(call: Call, body: BulkUpdateSubscriptions) -> Response:
    """200 even where some failed: invalid identifiers apart from valid ones that could not be changed."""
    result: dict[str, Any] = {
        "successCount": 0,
        "failCount": 0,
        "invalidEmails": [],
        "invalidUserIds": [],
        "validEmailFailures": [],
        "validUserIdFailures": [],
    }
    for request in body.update_subscriptions_requests:
        try:
            _update(call, request)
        except ApiError as error:
            result["failCount"] += 1
            invalid = error.code in {"InvalidEmailAddressError", "InvalidUserIdError"}
            if request.email is not None:
                result["invalidEmails" if invalid else "validEmailFailures"].append(request.email)
            elif request.user_id is not None:
                result["invalidUserIds" if invalid else "validUserIdFailures"].append(request.user_id)
        else:
            result["successCount"] += 1
    return answer(result)


def _update(call: Call, body: UpdateSubscriptions) -> None:
    user = _user(call, body.email, body.user_id)
    _check_ids(call, body)
    if body.validate_channel_alignment is not False:
        _check_alignment(call, body, user)
    change = Change(
        lists=_ids(body.email_list_ids),
        unsubscribed_channels=_ids(body.unsubscribed_channel_ids),
        unsubscribed_types=_ids(body.unsubscribed_message_type_ids),
        subscribed_types=_ids(body.subscribed_message_type_ids),
    )
    apply(call.world, call.project, user, change, source="API", campaign_id=body.campaign_id)


def _ids(given: list[int] | None) -> frozenset[int] | None:
    return None if given is None else frozenset(given)


def _user(call: Call, email: str | None, user_id: str | None) -> User:
    if email is None and user_id is None:
        raise bad_params("email or userId is required")
    if email is not None:
        check_email(email)
    if call.project.users.is_forgotten(email, user_id):
        raise ApiError(409, "ForgottenUserError", "User has been forgotten")
    user = call.project.users.find(email, user_id)
    if user is None:
        raise unknown(email, user_id)
    return user


def _check_ids(call: Call, body: UpdateSubscriptions) -> None:
    for list_id in body.email_list_ids or ():
        call.project.lists.require(list_id)
    for channel_id in body.unsubscribed_channel_ids or ():
        if call.project.channel(channel_id) is None:
            raise bad_params("Invalid channelId", {"channelId": str(channel_id)})
    for type_id in (*(body.unsubscribed_message_type_ids or ()), *(body.subscribed_message_type_ids or ())):
        if call.project.message_type(type_id) is None:
            raise bad_params("Invalid messageTypeId", {"messageTypeId": str(type_id)})
    for type_id in body.subscribed_message_type_ids or ():
        message_type = call.project.message_type(type_id)
        if message_type is not None and not message_type.opt_in:
            raise bad_params("Not an opt-in message type", {"messageTypeId": str(type_id)})


def _check_alignment(call: Call, body: UpdateSubscriptions, user: User) -> None:
    """A message type cannot be subscribed to while its channel is not."""
    channels = _ids(body.unsubscribed_channel_ids)
    unsubscribed = user.latest.unsubscribed_channels if channels is None else channels
    for type_id in body.subscribed_message_type_ids or ():
        message_type = call.project.message_type(type_id)
        if message_type is not None and message_type.channel.id in unsubscribed:
            raise bad_params("Message type belongs to an unsubscribed channel", {"messageTypeId": str(type_id)})


# One group at a time, added to what is there


def _change(call: Call, user: User, *, subscribes: bool) -> None:
    group, group_id = call.path_text("subscriptionGroup"), call.path_number("subscriptionGroupId")
    apply(call.world, call.project, user, _GROUPS[group](call, user, group_id, subscribes), source="API")


def _of_list(call: Call, user: User, group_id: int, subscribes: bool) -> Change:
    call.project.lists.require(group_id)
    lists = user.latest.lists
    return Change(lists=lists | {group_id} if subscribes else lists - {group_id})


def _of_channel(call: Call, user: User, group_id: int, subscribes: bool) -> Change:
    if call.project.channel(group_id) is None:
        raise bad_params("Invalid channelId", {"channelId": str(group_id)})
    channels = user.latest.unsubscribed_channels
    return Change(unsubscribed_channels=channels - {group_id} if subscribes else channels | {group_id})


def _of_message_type(call: Call, user: User, group_id: int, subscribes: bool) -> Change:
    message_type = call.project.message_type(group_id)
    if message_type is None:
        raise bad_params("Invalid messageTypeId", {"messageTypeId": str(group_id)})
    profile = user.latest
    if message_type.opt_in:
        types = profile.subscribed_types
        return Change(subscribed_types=types | {group_id} if subscribes else types - {group_id})
    types = profile.unsubscribed_types
    return Change(unsubscribed_types=types - {group_id} if subscribes else types | {group_id})


_GROUPS: Final[dict[str, Callable[[Call, User, int, bool], Change]]] = {
    "emailList": _of_list,
    "messageType": _of_message_type,
    "messageChannel": _of_channel,
}


def _require_group(call: Call) -> None:
    """404 while the API is off for the project, as for a group that is none."""
    if not call.project.settings.subscriptions_api_enabled or call.path_text("subscriptionGroup") not in _GROUPS:
        raise ApiError(404, "NotFound", "Endpoint not found")


def many(call: Call, body: People) -> Response:
    """202: it is queued at Iterable, so people that do not exist are passed over in silence."""
    _require_group(call)
    action = call.required_text("action")
    if action not in {"subscribe", "unsubscribe"}:
        raise bad_params("Invalid action")
    found = [call.project.users.find(email, None) for email in body.users or ()]
    found += [call.project.users.find(None, user_id) for user_id in body.users_by_user_id or ()]
    for user in found:
        if user is not None:
            _change(call, user, subscribes=action == "subscribe")
    return envelope("Accepted a request for bulk subscription actions", status=202)


def _one(*, subscribes: bool, by_user_id: bool) -> Handler:
    def handle(call: Call) -> Response:
        _require_group(call)
        email = None if by_user_id else call.path_text("userEmail")
        user_id = call.path_text("userId") if by_user_id else None
        _change(call, _user(call, email, user_id), subscribes=subscribes)
        return envelope("Subscription updated")

    return handle


_GROUP_PATH: Final = "/api/subscriptions/{subscriptionGroup}/{subscriptionGroupId}"

OPERATIONS: Final = (
    Operation("POST", "/api/users/updateSubscriptions", with_body(UpdateSubscriptions, update), client=True),
    Operation("POST", "/api/users/bulkUpdateSubscriptions", with_body(BulkUpdateSubscriptions, bulk_update)),
    Operation("PUT", _GROUP_PATH, with_body(People, many)),
    Operation("PATCH", f"{_GROUP_PATH}/user/{{userEmail}}", _one(subscribes=True, by_user_id=False)),
    Operation("DELETE", f"{_GROUP_PATH}/user/{{userEmail}}", _one(subscribes=False, by_user_id=False)),
    Operation("PATCH", f"{_GROUP_PATH}/byUserId/{{userId}}", _one(subscribes=True, by_user_id=True)),
    Operation("DELETE", f"{_GROUP_PATH}/byUserId/{{userId}}", _one(subscribes=False, by_user_id=True)),
)
