"""From an answer to an error: by HTTP status first, then by `code`, and by a few well-known messages last.

The order matters. Iterable may say `Success` in an error (seen in recorded traffic), does not declare most statuses it
uses (Swagger 1.8 declares 200, 400 and 401 for `email/target`), and answers some errors as HTML or plain text. So a
status alone must always be enough.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

from iterable.answer import Answer
from iterable.errors import (
    Conflict,
    ForbiddenByProject,
    IterableError,
    KeyRefused,
    NotFound,
    OddAnswer,
    RateLimited,
    RecipientForgotten,
    RecipientInvalid,
    RecipientUnknown,
    Refused,
    ServerFault,
)
from iterable.request import Request

CODES = frozenset(
    {
        "BadApiKey",
        "BadAuthorizationHeader",
        "BadJsonBody",
        "BadParams",
        "BatchTooLarge",
        "Conflict",  # not in the Swagger; Iterable help centre, API response codes
        "DatabaseError",
        "EmailAlreadyExists",
        "ExternalKeyConflict",
        "Forbidden",
        "ForbiddenParamsError",
        "ForgottenUserError",
        "GenericError",
        "InvalidEmailAddressError",
        "InvalidJwtPayload",
        "InvalidUserIdError",
        "JwtUserIdentifiersMismatched",
        "NotFound",
        "QueueEmailError",
        "RateLimitExceeded",
        "RequestFieldsTypesMismatched",
        "Success",
        "Unauthorized",
        "UniqueFieldsLimitExceeded",
        "UnknownEmailError",
        "UnknownUserIdError",
        "UserIdAlreadyExists",
    }
)
"""Swagger 1.8, and one more."""

_RECIPIENT_CODES: dict[str, type[IterableError]] = {
    "ForgottenUserError": RecipientForgotten,
    "InvalidEmailAddressError": RecipientInvalid,
    "InvalidUserIdError": RecipientInvalid,
    "UnknownEmailError": RecipientUnknown,
    "UnknownUserIdError": RecipientUnknown,
}

_KEY_TYPES = {
    "server": "server",
    "serverside": "server",
    "readonly": "read_only",
    "serverreadonly": "read_only",
    "readonlyserver": "read_only",
    "mobile": "mobile",
    "javascript": "javascript",
    "web": "web",
}
"""Kinds of keys by `params.apiKeyType`, letters only. The kinds are the help centre's; how they are spelled in an
answer is unknown, hence several ways."""

_UNKNOWN_USER = re.compile(r"No user (with that id )?exists|error\.users\.noUserWithIdExists")
"""Plain text of old user lookups, seen in recorded traffic; the second form in block/iterable-go."""

_NAMED_IN_TEXT = (
    (re.compile(r"invalid campaign ?id|campaign\b[^.]{0,80}\bdoes(n't| not) exist", re.IGNORECASE), "campaignId"),
    (re.compile(r"invalid template ?id|template\b[^.]{0,80}\bdoes(n't| not) exist", re.IGNORECASE), "templateId"),
    (re.compile(r"invalid ?list ?id|list\b[^.]{0,80}\bdoes(n't| not) exist", re.IGNORECASE), "listId"),
    (re.compile(r"invalid message ?type ?id", re.IGNORECASE), "messageTypeId"),
    (re.compile(r"listIds field must be specified"), "listIds"),
)
"""Messages that name a parameter, seen in recorded traffic; Iterable's own client meets the first while a fresh
campaign is not there yet."""

_ALWAYS_NAMED = frozenset({"campaignId", "templateId", "listId"})
_TEXT_MAX = 500
"""Characters of a message that are looked at: the known ones are short, and some echo a whole request."""

_WAIT_MAX = 86_400.0
"""Seconds. A longer `Retry-After` is cut to a day, so that no caller has to fear for its arithmetic."""

Now = Callable[[], datetime]


def utc_now() -> datetime:
    """The time, for `Retry-After` dates."""
    return datetime.now(UTC)


def error_of(request: Request, answer: Answer, now: Now = utc_now) -> IterableError | None:
    """What an answer means; None where the request was taken."""
    if answer.taken:
        return None
    operation, status, request_id = request.operation, answer.status, answer.request_id
    envelope = answer.fields()
    code = _code(envelope)
    match status:
        case 401:
            key_type = _key_type(envelope)
            return KeyRefused(operation, status=status, code=code, request_id=request_id, key_type=key_type)
        case 403:
            return ForbiddenByProject(operation, status=status, code=code, request_id=request_id)
        case 429:
            wait = retry_after(answer.retry_after, now)
            return RateLimited(operation, status=status, code=code, request_id=request_id, retry_after=wait)
        case _ if 500 <= status < 600:
            return ServerFault(operation, status=status, code=code, request_id=request_id)
        case _ if status == 408 or not 400 <= status < 500:
            return OddAnswer(operation, status=status, code=code, request_id=request_id)
        case _:
            return _client_error(request, answer, envelope, code)


def retry_after(header: str | None, now: Now = utc_now) -> float | None:
    """Seconds to wait: the header's number, or the time until its date. None where there is none or it is
    unreadable."""
    if header is None:
        return None
    header = header.strip()
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", header):
        return min(float(header), _WAIT_MAX)
    try:
        date = parsedate_to_datetime(header)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return min(max((date - now()).total_seconds(), 0.0), _WAIT_MAX)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _client_error(request: Request, answer: Answer, envelope: dict[str, Any], code: str | None) -> IterableError:
    operation, status, request_id = request.operation, answer.status, answer.request_id
    text = _text(answer, envelope)
    kind = _RECIPIENT_CODES.get(code or "")
    if kind is None and _UNKNOWN_USER.search(text):
        kind = RecipientUnknown
    if kind is None and status == 404:
        kind = NotFound
    if kind is None and status == 409:
        kind = Conflict
    if kind is not None:
        return kind(operation, status=status, code=code, request_id=request_id)
    named = _named(request, envelope, text)
    return Refused(operation, status=status, code=code, request_id=request_id, invalid_params=named)


def _code(envelope: dict[str, Any]) -> str | None:
    code = envelope.get("code")
    if not isinstance(code, str):
        return None
    return code if code in CODES else "other"


def _key_type(envelope: dict[str, Any]) -> str | None:
    said = _params(envelope).get("apiKeyType")
    if not isinstance(said, str):
        return None
    return _KEY_TYPES.get(re.sub(r"[^a-z]", "", said[:_TEXT_MAX].lower()))


def _named(request: Request, envelope: dict[str, Any], text: str) -> tuple[str, ...]:
    """Only names that this client sets itself: keys of `params` may be profile fields, or paths into the data."""
    known = request.names | _ALWAYS_NAMED
    keys = {re.split(r"[.\[]", key.removeprefix("obj."), maxsplit=1)[0] for key in _params(envelope)}
    by_text = {name for pattern, name in _NAMED_IN_TEXT if pattern.search(text)}
    return tuple(sorted((keys & known) | by_text))


def _params(envelope: dict[str, Any]) -> dict[str, Any]:
    params = envelope.get("params")
    return cast("dict[str, Any]", params) if isinstance(params, dict) else {}


def _text(answer: Answer, envelope: dict[str, Any]) -> str:
    """For comparing with well-known messages; goes nowhere else."""
    message = envelope.get("msg")
    return (message if isinstance(message, str) else answer.text())[:_TEXT_MAX]
