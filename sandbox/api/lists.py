"""/api/lists"""

from typing import Final

from starlette.responses import Response

from sandbox.api.bulk import BulkResult
from sandbox.api.call import Body, Call, Operation, with_body
from sandbox.api.users import Person, UserUpdate, creates_fields, unknown, write_one
from sandbox.lists import MailingList
from sandbox.subscribing import Change, apply
from sandbox.users import User
from sandbox.wire import ApiError, answer, bad_params, check_email, envelope, text


class Create(Body):
    name: str
    description: str | None = None


class Subscribe(Body):
    list_id: int
    subscribers: list[UserUpdate]
    update_existing_users_only: bool | None = None


class Unsubscribe(Body):
    list_id: int
    subscribers: list[Person]
    campaign_id: int | None = None
    channel_unsubscribe: bool | None = None


def list_all(call: Call) -> Response:
    return answer({"lists": [mailing_list.shown() for mailing_list in call.project.lists.all()]})


def create(call: Call, body: Create) -> Response:
    """Not idempotent: a repeat makes another list of the same name."""
    if not body.name:
        raise bad_params("name must not be empty")
    mailing_list = MailingList(call.world.next_id("list"), body.name, body.description or "", call.now)
    call.project.lists.add(mailing_list)
    return answer({"listId": mailing_list.id})


def delete(call: Call) -> Response:
    mailing_list = call.project.lists.require(call.path_number("listId"))
    for user in list(mailing_list.members):
        remaining = user.latest.lists - {mailing_list.id}
        call.project.users.change(user, call.now, call.profile_lag, lists=remaining)
    call.project.lists.remove(mailing_list)
    return envelope("List deleted")


def subscribe(call: Call, body: Subscribe) -> Response:
    """Puts people on a list, creating them where needed. Not an opt-in to anything."""
    mailing_list = call.project.lists.require(body.list_id)
    result = BulkResult()
    for person in body.subscribers:
        user = _subscriber(call, person, existing_only=body.update_existing_users_only is True, result=result)
        if user is not None:
            lists = user.latest.lists | {mailing_list.id}
            apply(call.world, call.project, user, Change(lists=lists), source="API")
    return answer(result.shown())


def _subscriber(call: Call, person: UserUpdate, *, existing_only: bool, result: BulkResult) -> User | None:
    if existing_only and call.project.users.find(person.email, person.user_id) is None:
        result.fail(unknown(person.email, person.user_id), person.email, person.user_id)
        return None
    return write_one(call, person, creates_fields(call, None), result)


def unsubscribe(call: Call, body: Unsubscribe) -> Response:
    """Takes people off a list; with `channelUnsubscribe` also off the list's channel, the marketing email one."""
    mailing_list = call.project.lists.require(body.list_id)
    channels = call.project.marketing_email_channels() if body.channel_unsubscribe else frozenset[int]()
    result = BulkResult()
    for person in body.subscribers:
        try:
            user = _known(call, person)
        except ApiError as error:
            result.fail(error, person.email, person.user_id)
            continue
        profile = user.latest
        change = Change(
            lists=profile.lists - {mailing_list.id},
            unsubscribed_channels=profile.unsubscribed_channels | channels,
        )
        apply(call.world, call.project, user, change, source="ListAPI", campaign_id=body.campaign_id)
        result.succeed([], [])
    return answer(result.shown())


def _known(call: Call, person: Person) -> User:
    if person.email is None and person.user_id is None:
        raise bad_params("email or userId is required")
    if person.email is not None:
        check_email(person.email)
    if call.project.users.is_forgotten(person.email, person.user_id):
        raise ApiError(400, "ForgottenUserError", "User has been forgotten")
    user = call.project.users.find(person.email, person.user_id)
    if user is None:
        raise unknown(person.email, person.user_id)
    return user


def get_users(call: Call) -> Response:
    """Text, one person a line: the email, or with `preferUserId` the userId where there is one."""
    mailing_list = call.project.lists.require(call.required_number("listId"))
    by_user_id = call.flag("preferUserId") or call.project.users.project_type == "userid"
    lines: list[str] = []
    for user in mailing_list.members:
        profile = user.latest
        names = (profile.user_id, profile.email) if by_user_id else (profile.email, profile.user_id)
        lines.extend(name for name in names[:1] if name is not None)
        if names[0] is None and names[1] is not None:
            lines.append(names[1])
    return text("".join(f"{line}\n" for line in lines))


def size(call: Call) -> Response:
    return text(str(len(call.project.lists.require(call.path_number("listId")).members)))


OPERATIONS: Final = (
    Operation("GET", "/api/lists", list_all, read_only=True),
    Operation("POST", "/api/lists", with_body(Create, create)),
    Operation("POST", "/api/lists/subscribe", with_body(Subscribe, subscribe)),
    Operation("POST", "/api/lists/unsubscribe", with_body(Unsubscribe, unsubscribe)),
    Operation("GET", "/api/lists/getUsers", get_users),
    Operation("GET", "/api/lists/{listId}/size", size, read_only=True),
    Operation("DELETE", "/api/lists/{listId}", delete),
)
