"""Doubt: an attempt may have reached Iterable, and nobody knows. How a send finds out, and says what it tried."""

from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from workflows.waiting import spread, wait_until

with workflow.unsafe.imports_passed_through():
    from contracts.errors import ErrorCode
    from contracts.send import SendRequest
    from contracts.target import FoundOutcome, Pace
    from workflows.failures import failure
    from workflows.send_steps import find_outcome


_SHORT = 0.05


class Doubt:
    """`exists` from before an attempt leaves until its outcome is known."""

    def __init__(self) -> None:
        """None yet."""
        self.exists = False
        self._looks = 0
        self._answered_since: datetime | None = None  # from when on Iterable has answered every look

    def arises(self) -> None:
        """An attempt is about to leave."""
        self.exists = True
        self._answered_since = None

    async def look(self, request: SendRequest) -> FoundOutcome:
        """Looks for evidence once."""
        found = await find_outcome(request, self._answered_since)
        self._answered_since = (self._answered_since or workflow.now()) if found.asked else None
        if found.verdict != "unknown":
            self.exists = False
        return found

    async def settle(
        self, request: SendRequest, pace: Pace, window: datetime, until: datetime, heard: Callable[[], int]
    ) -> FoundOutcome:
        """Looks for evidence until there is some, or the window ends. The window does not end while Iterable cannot be
        asked, unless the send has waited for as long as it may (`until`). When more is `heard` than before a look, the
        next one comes at once; else later and later."""
        began = workflow.now()
        while True:
            self._looks += 1
            before = heard()
            found = await self.look(request)
            left = (window if found.asked else max(window, until)) - workflow.now()
            if found.verdict != "unknown" or left <= timedelta(0):
                return found
            every = spread(max(timedelta(seconds=pace.evidence_every_seconds), since(began)))
            await wait_until(_grows(heard, before), min(left, every), "next look for evidence")

    def remains(self, attempts: int, then: str | None = None) -> ApplicationError:
        """The failure of a send whose outcome nobody can tell; `then` is what else went wrong."""
        what = (
            f"The answer to {attempts} attempt{'s' * (attempts > 1)} was lost, and {self._looks} looks at our events "
            "and at Iterable's records proved neither that the message went out nor that it did not"
        )
        return failure(ErrorCode.OUTCOME_UNKNOWN, what if then is None else f"{what}; then {then}")


def since(began: datetime) -> timedelta:
    """What is a short wait for somebody who has waited since then. Pauses that grow like this are few, so that a day of
    trouble fits into a history."""
    return (workflow.now() - began) * _SHORT


def _grows(heard: Callable[[], int], before: int) -> Callable[[], bool]:
    return lambda: heard() > before
