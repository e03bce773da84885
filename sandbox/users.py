"""Users of a project: who they are, what is stored about them, and who was forgotten.

What identifies a user depends on the project's type (Iterable help centre, project types): the email in email-based
projects, the userId in userID-based ones (several users may share an email), either in hybrid ones.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from sandbox.lagged import Lagged
from sandbox.wire import ApiError, bad_params, check_email, check_user_id, moment

ProjectType = Literal["hybrid", "email", "userid"]

PLACEHOLDER_DOMAIN = "@placeholder.email"
# Profile fields that are sets of ids, and their attribute here.
_ID_FIELDS = {
    "unsubscribedChannelIds": "unsubscribed_channels",
    "unsubscribedMessageTypeIds": "unsubscribed_types",
    "subscribedMessageTypeIds": "subscribed_types",
}


@dataclass(frozen=True)
class Profile:
    """One version of what is stored about a user."""

    email: str | None
    user_id: str | None
    updated_at: float
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])
    lists: frozenset[int] = frozenset()
    unsubscribed_channels: frozenset[int] = frozenset()
    unsubscribed_types: frozenset[int] = frozenset()
    subscribed_types: frozenset[int] = frozenset()


@dataclass(eq=False)
class User:
    signed_up_at: float
    profile: Lagged[Profile]
    # The message service keeps its own suppression list.
    hard_bounced: bool = False

    @property
    def latest(self) -> Profile:
        return self.profile.latest


@dataclass(frozen=True)
class Write:
    """What a users/update asks for."""

    email: str | None
    user_id: str | None
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])
    merge_nested: bool = False
    prefer_user_id: bool = False
    create_new_fields: bool = True


@dataclass
class Written:
    user: User
    created_fields: list[str] = field(default_factory=list[str])
    filtered_fields: list[str] = field(default_factory=list[str])


class Users:
    """A project's users."""

    def __init__(self, project_type: ProjectType) -> None:
        self.project_type: ProjectType = project_type
        self._by_email: dict[str, list[User]] = {}
        self._by_user_id: dict[str, User] = {}
        self._field_types: dict[str, str] = {}
        self._forgotten_emails: set[str] = set()
        self._forgotten_user_ids: set[str] = set()

    def __iter__(self) -> Iterator[User]:
        seen: dict[int, User] = {}
        for users in (*self._by_email.values(), list(self._by_user_id.values())):
            seen.update({id(user): user for user in users})
        return iter(seen.values())

    # Finding

    def find(self, email: str | None, user_id: str | None) -> User | None:
        """By userId where one is given, else by email (the first, where several share it)."""
        if user_id is not None:
            return self._by_user_id.get(user_id)
        return next(iter(self._by_email.get(_key(email or ""), ())), None)

    def visible(self, email: str | None, user_id: str | None, now: float) -> User | None:
        user = self.find(email, user_id)
        return user if user is not None and user.profile.seen(now) is not None else None

    def is_forgotten(self, email: str | None, user_id: str | None) -> bool:
        by_email = email is not None and _key(email) in self._forgotten_emails
        return by_email or (user_id is not None and user_id in self._forgotten_user_ids)

    @property
    def field_types(self) -> Mapping[str, str]:
        return self._field_types

    # Writing

    def write(self, wanted: Write, now: float, lag: float, *, field_limit: int) -> Written:
        """Creates or changes a user. Raises Iterable's answer where that is not possible."""
        user = self._resolve(wanted, now, lag)
        created, filtered = self._check_fields(wanted, field_limit)
        fields = {name: value for name, value in wanted.fields.items() if name not in filtered}
        profile = replace(user.latest, **_id_sets(fields), updated_at=now)
        stored = {name: value for name, value in fields.items() if name not in _ID_FIELDS}
        profile = replace(profile, fields=_updated(profile.fields, stored, merge=wanted.merge_nested))
        user.profile.write(profile, now, lag)
        return Written(user, created, filtered)

    def create(self, email: str | None, user_id: str | None, now: float, lag: float) -> User:
        """A user with nothing but its identity."""
        user = User(now, Lagged(Profile(email, user_id, now), now + lag))
        self._index(user)
        return user

    def change(self, user: User, now: float, lag: float, **changes: Any) -> None:
        """Replaces parts of a profile."""
        user.profile.write(replace(user.latest, **changes, updated_at=now), now, lag)

    def change_email(self, user: User, email: str, now: float, lag: float) -> None:
        """Raises Iterable's answer where the address belongs to another."""
        taken = self.find(email, None)
        if taken is not None and taken is not user and self.project_type != "userid":
            raise ApiError(400, "EmailAlreadyExists", f"Email already exists: {email}")
        self._unindex(user)
        self.change(user, now, lag, email=email)
        self._index(user)

    def delete(self, user: User) -> None:
        self._unindex(user)

    def forget(self, email: str | None, user_id: str | None) -> None:
        user = self.find(email, user_id)
        if user is not None:
            self._unindex(user)
        if email is not None:
            self._forgotten_emails.add(_key(email))
        if user_id is not None:
            self._forgotten_user_ids.add(user_id)

    def unforget(self, email: str | None, user_id: str | None) -> None:
        if email is not None:
            self._forgotten_emails.discard(_key(email))
        if user_id is not None:
            self._forgotten_user_ids.discard(user_id)

    def forgotten_hashes(self, which: Literal["email", "userId"]) -> list[str]:
        names = self._forgotten_emails if which == "email" else self._forgotten_user_ids
        return sorted(hashlib.sha256(name.encode()).hexdigest() for name in names)

    # Identity

    def _resolve(self, wanted: Write, now: float, lag: float) -> User:
        email, user_id = wanted.email, wanted.user_id
        if email is None and user_id is None:
            raise bad_params("email or userId is required")
        if email is not None:
            check_email(email)
        if user_id is not None:
            check_user_id(user_id)
        if self.is_forgotten(email, user_id):
            raise ApiError(409, "ForgottenUserError", "User has been forgotten")
        by_email = self.find(email, None) if email is not None else None
        by_user_id = self.find(None, user_id) if user_id is not None else None
        found = {"hybrid": self._in_hybrid, "email": self._in_email, "userid": self._in_userid}[self.project_type](
            wanted, by_email, by_user_id
        )
        if found is None:
            if email is None and self.project_type == "email":
                email = f"{user_id}{PLACEHOLDER_DOMAIN}"
            return self.create(email, user_id, now, lag)
        self._adopt(found, email, user_id, now, lag)
        return found

    def _in_hybrid(self, wanted: Write, by_email: User | None, by_user_id: User | None) -> User | None:
        if by_email is not None and by_user_id is not None and by_email is not by_user_id:
            raise _conflict()
        if (
            by_email is not None
            and wanted.user_id is not None
            and by_email.latest.user_id not in (None, wanted.user_id)
        ):
            raise _conflict()
        return by_user_id or by_email

    def _in_email(self, wanted: Write, by_email: User | None, by_user_id: User | None) -> User | None:
        if wanted.email is not None:
            return by_email
        if by_user_id is None and not wanted.prefer_user_id:
            raise ApiError(400, "UnknownUserIdError", f"No user exists with userId {wanted.user_id}")
        return by_user_id

    def _in_userid(self, wanted: Write, by_email: User | None, by_user_id: User | None) -> User | None:
        if wanted.user_id is not None:
            return by_user_id
        if by_email is None:
            raise ApiError(400, "InvalidUserIdError", "userId is required to create a user in this project")
        return by_email

    def _adopt(self, user: User, email: str | None, user_id: str | None, now: float, lag: float) -> None:
        """Gives a user the identifiers of a request that it did not have."""
        before = user.latest
        after = replace(before, email=email or before.email, user_id=user_id or before.user_id)
        if after != before:
            self._unindex(user)
            user.profile.write(after, now, lag)
            self._index(user)

    def _index(self, user: User) -> None:
        profile = user.latest
        if profile.email is not None:
            self._by_email.setdefault(_key(profile.email), []).append(user)
        if profile.user_id is not None:
            self._by_user_id[profile.user_id] = user

    def _unindex(self, user: User) -> None:
        profile = user.latest
        if profile.email is not None:
            others = [other for other in self._by_email.pop(_key(profile.email), []) if other is not user]
            if others:
                self._by_email[_key(profile.email)] = others
        if profile.user_id is not None and self._by_user_id.get(profile.user_id) is user:
            del self._by_user_id[profile.user_id]

    # Fields

    def _check_fields(self, wanted: Write, field_limit: int) -> tuple[list[str], list[str]]:
        """The fields that are new, and those that are dropped. A known field keeps its type."""
        errors: dict[str, Any] = {}
        new: list[str] = []
        for name, value in wanted.fields.items():
            if value is None or name in _ID_FIELDS:
                continue
            known, given = self._field_types.get(name), _type_name(value)
            if known is None:
                new.append(name)
            elif known != given:
                errors[name] = {
                    "incomingTypes": [given],
                    "expectedType": known,
                    "_type": "UnexpectedType",
                    "offendingValue": value,
                    "category": "user",
                }
        if errors:
            raise ApiError(
                400,
                "RequestFieldsTypesMismatched",
                "Request contains fields whose types do not match those of the project",
                {"validationErrors": errors},
            )
        if not wanted.create_new_fields:
            return [], new
        if len(self._field_types) + len(new) > field_limit:
            raise ApiError(400, "UniqueFieldsLimitExceeded", "Too many unique profile fields")
        self._field_types.update({name: _type_name(wanted.fields[name]) for name in new})
        return new, []


def shown(user: User, profile: Profile, project_type: ProjectType) -> dict[str, Any]:
    """A user as the API shows it; the name of the list field depends on the project's type."""
    result: dict[str, Any] = {"dataFields": as_fields(user, profile, project_type)}
    if profile.email is not None:
        result["email"] = profile.email
    if profile.user_id is not None:
        result["userId"] = profile.user_id
    return result


def as_fields(user: User, profile: Profile, project_type: ProjectType) -> dict[str, Any]:
    """The profile as templates and readers see it."""
    lists = "emailListIds" if project_type == "email" else "userListIds"
    fields: dict[str, Any] = {
        **profile.fields,
        "signupDate": moment(user.signed_up_at),
        "profileUpdatedAt": moment(profile.updated_at),
        lists: sorted(profile.lists),
        **{name: sorted(getattr(profile, attribute)) for name, attribute in _ID_FIELDS.items()},
    }
    if profile.email is not None:
        fields["email"] = profile.email
    if profile.user_id is not None:
        fields["userId"] = profile.user_id
    return fields


def _key(email: str) -> str:
    """Addresses that differ in case or outer blanks only are one (as Iterable hashes forgotten ones)."""
    return email.strip().lower()


def _conflict() -> ApiError:
    return ApiError(409, "ExternalKeyConflict", "email and userId belong to different users")


def _type_name(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _id_sets(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Subscription fields written as plain profile fields: they count, and make no event."""
    changes: dict[str, Any] = {}
    for name, attribute in _ID_FIELDS.items():
        given = fields.get(name)
        if isinstance(given, list):
            changes[attribute] = frozenset(item for item in cast("Iterable[Any]", given) if isinstance(item, int))
    return changes


def _updated(old: Mapping[str, Any], new: Mapping[str, Any], *, merge: bool) -> Mapping[str, Any]:
    """Top-level objects are overwritten unless `mergeNestedObjects` asks for more."""
    if not merge:
        return {**old, **new}
    result = dict(old)
    for name, value in new.items():
        before = result.get(name)
        both = isinstance(before, dict) and isinstance(value, dict)
        result[name] = {**cast("dict[str, Any]", before), **cast("dict[str, Any]", value)} if both else value
    return result
