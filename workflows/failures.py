"""How a run fails: with a stable code as the failure's type, at the top, where an admin looks first."""

from collections.abc import Generator
from contextlib import contextmanager

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception
from temporalio.exceptions import TimeoutError as ActivityTimeout

from contracts.errors import ConnectorError, ErrorCode
from contracts.received import M, Received
from contracts.template import Template

LARGEST_START = 1_900_000
"""Bytes of a run's first events. Temporal takes 2 MiB for one payload, and the first activity gets the request and a
little more: a request that just fits the start would not fit there, and the run would be stuck."""
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


def too_large(template: Template | None) -> ApplicationError | None:
    """What is wrong with the size of what the run was started with. Asked before the run does anything."""
    size = workflow.info().get_current_history_size()
    if size <= LARGEST_START:
        return None
    html = len(template.html) if template else 0
    code = ErrorCode.TEMPLATE_TOO_LARGE if html > LARGEST_START // 2 else ErrorCode.REQUEST_INVALID
    return failure(code, f"The request has about {size} bytes, and {LARGEST_START} are the most")


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
