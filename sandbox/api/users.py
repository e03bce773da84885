"""/api/users"""

from typing import Any, Final

from starlette.responses import Response

from sandbox.api.bulk import BulkResult
from sandbox.api.call import Body, Call, Operation, with_body
from sandbox.users import User, Write, shown
from sandbox.wire import ApiError, answer, bad_params, check_email, envelope

LARGEST_BULK_BYTES: Final = 4 * 1024 * 1024


class Person(Body):
    email: str | None = None
    user_id: str | None = None


class UserUpdate(Person):
    data_fields: dict[str, Any] | None = None
    merge_nested_objects: bool | None = None
    prefer_user_id: bool | None = None

    def write(self, create_new_fields: bool) -> Write:
        return Write(
            email=self.email or None,
            user_id=self.user_id or None,
            fields=self.data_fields or {},
            merge_nested=self.merge_nested_objects is True,
            prefer_user_id=self.prefer_user_id is True,
            create_new_fields=create_new_fields,
        )


class Update(UserUpdate):
    create_new_fields: bool | None = None


class BulkUpdate(Body):
    users: list[UserUpdate]
    create_new_fields: bool | None = None


class EmailChange(Body):
    new_email: str
    current_email: str | None = None
    current_user_id: str | None = None


# Writing


def creates_fields(call: Call, asked: bool | None) -> bool:
    return call.project.settings.create_new_fields if asked is None else asked


def update(call: Call, body: Update) -> Response:
    call.project.users.write(
        body.write(creates_fields(call, body.create_new_fields)),
        call.now,
        call.profile_lag,
        field_limit=call.project.settings.unique_profile_fields,
    )
    return envelope("User updated")


def bulk_update(call: Call) -> Response:
    if len(call.raw) > LARGEST_BULK_BYTES:
        raise ApiError(400, "BatchTooLarge", "Request body is larger than 4 MB")
    return with_body(BulkUpdate, _bulk_update)(call)


def _bulk_update(call: Call, body: BulkUpdate) -> Response:
    """200 even where some, or all, failed."""
    result = BulkResult()
    for person in body.users:
        write_one(call, person, creates_fields(call, body.create_new_fields), result)
    return answer(result.shown())


def write_one(call: Call, person: UserUpdate, create_new_fields: bool, result: BulkResult) -> User | None:
    """One user of a bulk request; a failure is noted."""
    try:
        written = call.project.users.write(
            person.write(create_new_fields),
            call.now,
            call.profile_lag,
            field_limit=call.project.settings.unique_profile_fields,
        )
    except ApiError as error:
        result.fail(error, person.email, person.user_id)
        return None
    result.succeed(written.created_fields, written.filtered_fields)
    return written.user


def update_email(call: Call, body: EmailChange) -> Response:
    user = call.project.users.find(body.current_email, body.current_user_id)
    if user is None:
        raise unknown(body.current_email, body.current_user_id)
    call.project.users.change_email(user, check_email(body.new_email), call.now, call.profile_lag)
    return envelope("Email updated")


# Reading


def get_by_email(call: Call) -> Response:
    return _by_email(call, call.required_text("email"))


def get_by_path_email(call: Call) -> Response:
    return _by_email(call, call.path_text("email"))


def _by_email(call: Call, email: str) -> Response:
    """An unknown address is an empty object, not an error."""
    user = call.project.users.find(email, None)
    profile = user.profile.seen(call.now) if user is not None else None
    if user is None or profile is None:
        return answer({})
    return answer({"user": shown(user, profile, call.project.users.project_type)})


def get_by_user_id(call: Call) -> Response:
    return _by_user_id(call, call.required_text("userId"))


def get_by_path_user_id(call: Call) -> Response:
    return _by_user_id(call, call.path_text("userId"))


def _by_user_id(call: Call, user_id: str) -> Response:
    """An unknown userId is a 400, unlike an unknown email (seen in Iterable's own client)."""
    user = call.project.users.find(None, user_id)
    profile = user.profile.seen(call.now) if user is not None else None
    if user is None or profile is None:
        raise bad_params("error.users.noUserWithIdExists")
    return answer({"user": shown(user, profile, call.project.users.project_type)})


def get_fields(call: Call) -> Response:
    return answer({"fields": dict(call.project.users.field_types)})


# Leaving


def delete_by_email(call: Call) -> Response:
    return _delete(call, call.path_text("email"), None)


def delete_by_user_id(call: Call) -> Response:
    return _delete(call, None, call.path_text("userId"))


def _delete(call: Call, email: str | None, user_id: str | None) -> Response:
    user = call.project.users.find(email, user_id)
    if user is None:
        raise unknown(email, user_id)
    call.project.lists.drop_user(user)
    call.project.users.delete(user)
    return envelope("User deleted")


def forget(call: Call, body: Person) -> Response:
    """From now on every send to, and write of, this person fails."""
    _one_of(body)
    user = call.project.users.find(body.email, body.user_id)
    if user is not None:
        call.project.lists.drop_user(user)
    call.project.users.forget(body.email, body.user_id)
    return envelope("User forgotten")


def unforget(call: Call, body: Person) -> Response:
    _one_of(body)
    call.project.users.unforget(body.email, body.user_id)
    return envelope("User unforgotten")


def _one_of(body: Person) -> None:
    if (body.email is None) == (body.user_id is None):
        raise bad_params("Exactly one of email and userId is required")


def forgotten(call: Call) -> Response:
    """SHA-256 of each address, in lower case and trimmed. Not in userID-based projects."""
    if call.project.users.project_type == "userid":
        raise bad_params("Not available in a userID-based project")
    return answer({"hashedEmails": call.project.users.forgotten_hashes("email")})


def forgotten_user_ids(call: Call) -> Response:
    return answer({"hashedUserIds": call.project.users.forgotten_hashes("userId")})


def unknown(email: str | None, user_id: str | None) -> ApiError:
    if user_id is not None:
        return ApiError(400, "UnknownUserIdError", f"No user exists with userId {user_id}")
    return ApiError(400, "UnknownEmailError", f"No user exists with email {email}")


OPERATIONS: Final = (
    Operation("POST", "/api/users/update", with_body(Update, update), client=True),
    Operation("POST", "/api/users/bulkUpdate", bulk_update),
    Operation("POST", "/api/users/updateEmail", with_body(EmailChange, update_email), client=True),
    Operation("POST", "/api/users/forget", with_body(Person, forget)),
    Operation("POST", "/api/users/unforget", with_body(Person, unforget)),
    Operation("GET", "/api/users/forgotten", forgotten),
    Operation("GET", "/api/users/forgottenUserIds", forgotten_user_ids),
    Operation("GET", "/api/users/getByEmail", get_by_email),
    Operation("GET", "/api/users/getFields", get_fields, read_only=True),
    Operation("GET", "/api/users/byUserId", get_by_user_id),
    Operation("GET", "/api/users/byUserId/{userId}", get_by_path_user_id),
    Operation("DELETE", "/api/users/byUserId/{userId}", delete_by_user_id),
    # Last: their paths match anything.
    Operation("GET", "/api/users/{email}", get_by_path_email),
    Operation("DELETE", "/api/users/{email}", delete_by_email),
)
