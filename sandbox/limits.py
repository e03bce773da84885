"""Rate limits: the documented ones of the endpoints served here, and the counting.

Source: Iterable API reference. Where it gives no number (email/target, campaigns/create, activation, upsert, lists,
subscriptions, webhooks) there is no limit unless a project sets one. How Iterable counts inside a window is unknown;
here no window of that length ever holds more than the limit, wherever it begins.
"""

import math
from collections import deque
from typing import Final

from sandbox.settings import RateRule

_READ: Final = (RateRule(limit=100),)
_DAY: Final = 86_400.0

DOCUMENTED: Final[dict[str, tuple[RateRule, ...]]] = {
    "GET /api/campaigns": _READ,
    "GET /api/campaigns/{id}": _READ,
    "POST /api/campaigns/archive": (RateRule(limit=5, per="key"),),
    "GET /api/channels": _READ,
    "GET /api/messageTypes": _READ,
    "GET /api/email/viewInBrowser": _READ,
    "GET /api/events/{email}": _READ,
    "GET /api/events/byUserId/{userId}": _READ,
    "GET /api/export/data.json": (RateRule(limit=4, seconds=60),),
    "GET /api/lists": _READ,
    "GET /api/lists/getUsers": (RateRule(limit=5, seconds=60),),
    "GET /api/lists/{listId}/size": (RateRule(limit=5, seconds=60),),
    "GET /api/templates": _READ,
    "GET /api/templates/email/get": _READ,
    "GET /api/templates/getByClientTemplateId": _READ,
    "POST /api/templates/email/preview": (RateRule(limit=10),),
    "POST /api/templates/email/proof": (RateRule(limit=20, per="key"),),
    "POST /api/users/update": (RateRule(limit=500),),
    "POST /api/users/bulkUpdate": (RateRule(limit=5),),
    "GET /api/users/getByEmail": _READ,
    "GET /api/users/byUserId": _READ,
    "GET /api/users/byUserId/{userId}": _READ,
    "GET /api/users/{email}": _READ,
    "DELETE /api/users/{email}": _READ,
    "DELETE /api/users/byUserId/{userId}": _READ,
    "GET /api/users/getFields": (RateRule(limit=3),),
    "GET /api/users/getSentMessages": (RateRule(limit=3),),
    "POST /api/users/forget": (RateRule(limit=3), RateRule(limit=1_000, seconds=_DAY)),
    "POST /api/users/unforget": (RateRule(limit=3), RateRule(limit=1_000, seconds=_DAY)),
    "GET /api/users/forgotten": (RateRule(limit=3),),
    "GET /api/users/forgottenUserIds": (RateRule(limit=3),),
}


class Limiter:
    """Counts requests. One instance serves one project."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, str, RateRule], deque[float]] = {}

    def take(self, operation: str, key: str, rules: tuple[RateRule, ...], now: float) -> int | None:
        """Counts a request, or answers the whole seconds until there is room; a refused request does not count."""
        windows = [(rule, self._window(operation, key, rule, now)) for rule in rules]
        waits = [_wait(rule, window, now) for rule, window in windows if len(window) >= rule.limit]
        if waits:
            return max(waits)
        for _, window in windows:
            window.append(now)
        return None

    def _window(self, operation: str, key: str, rule: RateRule, now: float) -> deque[float]:
        counted_for = (operation, key if rule.per == "key" else "", rule)
        window = self._taken.setdefault(counted_for, deque())
        while window and window[0] <= now - rule.seconds:
            window.popleft()
        return window


def _wait(rule: RateRule, window: deque[float], now: float) -> int:
    until = window[0] + rule.seconds if window else now + rule.seconds
    return max(1, math.ceil(until - now))
