"""Read-after-write lag: a value whose newest version becomes readable a while after it was written.

Iterable's own integration tests retry reads for up to 15 s after a template was written and 30 s after a campaign was
created, and its help centre asks for 60 s between a profile update and a send that depends on it.
"""

from typing import Generic, TypeVar

T = TypeVar("T")


class Lagged(Generic[T]):
    """Versions of one value, each with the time (seconds since the epoch) from which readers see it."""

    __slots__ = ("_versions",)

    def __init__(self, value: T, visible_at: float) -> None:
        self._versions: list[tuple[float, T]] = [(visible_at, value)]

    @property
    def latest(self) -> T:
        """What a writer works on."""
        return self._versions[-1][1]

    def seen(self, now: float) -> T | None:
        """What a reader is shown; None before the first version is visible."""
        for visible_at, value in reversed(self._versions):
            if visible_at <= now:
                return value
        return None

    def write(self, value: T, now: float, lag: float) -> None:
        """Adds a version, and forgets those that no reader can be shown any more."""
        shown = [index for index, (visible_at, _) in enumerate(self._versions) if visible_at <= now]
        del self._versions[: shown[-1] if shown else 0]
        self._versions.append((now + lag, value))
