"""How a run fails: with a stable code as the failure's type, at the top, where an admin looks first."""

from collections.abc import Generator
from contextlib import contextmanager

from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception
from temporalio.exceptions import TimeoutError as ActivityTimeout

from contracts.errors import ConnectorError, ErrorCode
from contracts.received import M, Received

_GAVE_UP = "No attempt succeeded within the time the connector may wait"


def failure(code: ErrorCode, what: str, advice: str | None = None) -> ApplicationError:
    """A final failure of the run."""
    error = ConnectorError(code, what, advice)
    return ApplicationError(str(error), type=code, non_retryable=True)


def gave_up() -> ApplicationError:
    """Iterable has not taken anything for as long as the connector may wait."""
    return failure(ErrorCode.PROVIDER_UNAVAILABLE, _GAVE_UP)


def given(received: Received[M] | None) -> M:
    """What a run was started with; or the run fails, saying what is wrong with it. A run that is started with anything
    must not take it in a `workflow.init`: what does not fit there blocks it for ever."""
    try:
        return Received[M].of(received).take()
    except ConnectorError as refusal:
        raise failure(refusal.code, refusal.what) from None


def failure_of(error: ActivityError) -> ApplicationError:
    """The failure that an activity ended with, taken out of its wrapping. Where an activity ran out of time, its last
    attempt says why."""
    cause = error.cause
    if isinstance(cause, ActivityTimeout):
        cause = cause.cause
    if isinstance(cause, ApplicationError) and cause.type in set(ErrorCode):
        return ApplicationError(cause.message, type=cause.type, non_retryable=True)
    return gave_up()


@contextmanager
def failing() -> Generator[None]:
    """The run fails as an activity of the block did, with its code at the top. A cancellation stays one."""
    try:
        yield
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise
        raise failure_of(error) from None


def is_certain(error: ActivityError) -> bool:
    """Whether an activity ended by itself, in one of the ways that it knows. Whatever else ended it (its time, a
    database that did not take the answer, a fault), an attempt may have been under way."""
    return isinstance(error.cause, ApplicationError) and error.cause.type in set(ErrorCode)
