"""From errors of our rooms to Temporal failures whose type is a stable code."""

import random
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

from temporalio import activity
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

_SPREAD = 0.25


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


def spread(seconds: float) -> timedelta:
    """A wait, with up to a quarter more by chance: those who failed together do not come back together."""
    return timedelta(seconds=seconds * (1 + _SPREAD * random.random()))  # noqa: S311


def _again(final: ApplicationError, wait: float | None) -> ApplicationError:
    """After the wait that Iterable asks for, or else after what the call's retry policy says."""
    seconds = _backoff() if wait is None else wait
    delay = None if seconds is None else spread(seconds)
    return ApplicationError(final.message, type=final.type, next_retry_delay=delay)


def _backoff() -> float | None:
    """Seconds until the next attempt by this activity's own retry policy. Temporal waits exactly as long, which makes
    a crowd of those whom one outage stopped."""
    policy = activity.info().retry_policy if activity.in_activity() else None
    if policy is None:
        return None
    doublings = min(activity.info().attempt - 1, 30)
    seconds = policy.initial_interval.total_seconds() * policy.backoff_coefficient**doublings
    return seconds if policy.maximum_interval is None else min(seconds, policy.maximum_interval.total_seconds())


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
