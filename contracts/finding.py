"""A finding: one point that was looked at, what was found there, and what to do about it."""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from contracts.errors import ADVICE, ConnectorError, ErrorCode
from contracts.model import Contract


class Level(StrEnum):
    """`attention` works, but somebody should do something; `refused` does not work; `unknown` was not looked at."""

    OK = "ok"
    ATTENTION = "attention"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Finding(Contract):
    """One point of a check, or one leg of a connector test. No address, secret or provider's text is in it."""

    point: str
    level: Level
    found: str
    advice: str = ""
    """What to do; empty where nothing is to be done."""
    code: ErrorCode | None = None
    seconds: float | None = None
    """How long a leg of a test took."""

    @property
    def is_problem(self) -> bool:
        """Whether somebody has to do something."""
        return self.level in {Level.ATTENTION, Level.REFUSED}

    def __str__(self) -> str:
        """As an admin reads it."""
        return f"{self.point}: {self.found}. {self.advice}".strip()


def fine(point: str, found: str) -> Finding:
    """Nothing to do."""
    return Finding(point=point, level=Level.OK, found=found)


def unknown(point: str, found: str, advice: str = "") -> Finding:
    """Could not be looked at."""
    return Finding(point=point, level=Level.UNKNOWN, found=found, advice=advice)


def attention(point: str, found: str, advice: str, code: ErrorCode | None = None) -> Finding:
    """Works, and wants doing something about."""
    return Finding(point=point, level=Level.ATTENTION, found=found, advice=advice, code=code)


def refused(point: str, found: str, code: ErrorCode, advice: str = "") -> Finding:
    """Does not work."""
    return Finding(point=point, level=Level.REFUSED, found=found, advice=advice or ADVICE[code], code=code)


def problems(findings: Iterable[Finding]) -> list[Finding]:
    """Those that somebody has to do something about."""
    return [one for one in findings if one.is_problem]


def refusal(findings: Sequence[Finding]) -> ConnectorError | None:
    """Why an installation cannot come into force: the first code, and all that is wrong; None where it can."""
    found = [one for one in findings if one.level is Level.REFUSED and one.code is not None]
    if not found or found[0].code is None:
        return None
    what = "; ".join(one.found for one in found)
    advice = " ".join(dict.fromkeys(one.advice for one in found))
    return ConnectorError(found[0].code, what, advice)
