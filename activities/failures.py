"""From errors of our rooms to Temporal failures whose type is a stable code."""

import random
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

from temporalio.exceptions import ApplicationError

from contracts.connector import ConnectorSettings
from contracts.errors import ConnectorError, ErrorCode
from images.assets import AssetsUnavailable
from iterable.errors import (
    ForbiddenByProject,
    IterableError,
    KeyRefused,
    NotConnected,
    OutcomeUnknown,
    RateLimited,
    RecipientForgotten,
    RecipientInvalid,
    RecipientUnknown,
)

_SPREAD = 0.25  # senders that were told the same wait come back spread over a quarter of it


def failure(error: ConnectorError) -> ApplicationError:
    """Final: repeating it as it is would end the same way."""
    return ApplicationError(str(error), type=error.code, non_retryable=True)


@contextmanager
def failures() -> Generator[None]:
    """Turns a `ConnectorError` of the block into its final Temporal failure, and a store of images that does not answer
    into one that is tried again."""
    try:
        yield
    except AssetsUnavailable as error:
        raise ApplicationError(f"{error}; trying again", type=ErrorCode.ASSETS_UNAVAILABLE) from None
    except ConnectorError as error:
        raise failure(error) from None


def provider_failure(error: IterableError, settings: ConnectorSettings | None = None) -> ApplicationError:
    """What an error of the Iterable client means for a call that may be repeated. With `settings` a refused key is
    waited for where the connector says so: somebody may be replacing it.

    Not for `email/target`: there an unknown outcome must not be repeated, and `target_recipient` sees to it. The cause
    is left out on purpose: nothing of the provider's text belongs into a history.
    """
    code = code_of(error)
    final = failure(ConnectorError(code, f"Iterable, {error}"))
    if isinstance(error, RateLimited):
        return _again(final, error.retry_after)
    if isinstance(error, KeyRefused) and settings is not None and settings.on_key_refused == "wait":
        return _again(final, None)
    if isinstance(error, NotConnected | OutcomeUnknown):
        return _again(final, None)
    return final


def _again(final: ApplicationError, wait: float | None) -> ApplicationError:
    delay = None if wait is None else timedelta(seconds=wait * (1 + _SPREAD * random.random()))  # noqa: S311
    return ApplicationError(final.message, type=final.type, next_retry_delay=delay)


def code_of(error: IterableError) -> ErrorCode:
    """The code that GenieOS sees."""
    match error:
        case RateLimited():
            return ErrorCode.RATE_LIMITED
        case KeyRefused(key_type=None | "server"):
            return ErrorCode.API_KEY_INVALID
        case KeyRefused():
            return ErrorCode.API_KEY_INSUFFICIENT
        case RecipientUnknown():
            return ErrorCode.RECIPIENT_UNKNOWN
        case RecipientInvalid():
            return ErrorCode.RECIPIENT_INVALID
        case RecipientForgotten():
            return ErrorCode.RECIPIENT_FORGOTTEN
        case ForbiddenByProject():
            return ErrorCode.PROVIDER_REJECTED
        case NotConnected() | OutcomeUnknown():
            return ErrorCode.PROVIDER_UNAVAILABLE
        case _:
            return ErrorCode.PROVIDER_REJECTED
