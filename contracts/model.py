"""The base of every contract."""

from math import isfinite
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

WorkspaceId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""A GenieOS tenant. No slash: it is a segment of workflow ids and of the webhook's path."""

SendId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$")]
"""GenieOS's name for one message to one recipient; unique in its workspace, for ever."""

MOST_LEVELS = 100
"""Pydantic reads JSON of 200 levels, and what carries a request from step to step adds some of its own."""


_LONG = range(-(2**63), 2**63)
"""What a Java `long` holds. Iterable documents nothing of larger integers, and its reader of JSON is Java's: it could
refuse the request, or round the number, which nobody would see before the recipient does."""


def _safe_to_hand_on(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    level: list[JsonValue] = [value]
    for _ in range(MOST_LEVELS):
        if [one for one in level if type(one) is int and one not in _LONG]:
            raise ValueError("an integer has more than 64 bits: give it as text")
        if [one for one in level if type(one) is float and not isfinite(one)]:
            raise ValueError("a number is not finite: JSON has none such, and it would go out as null")
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))  # a union costs twice as much
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return value
    raise ValueError(f"objects and lists are nested deeper than {MOST_LEVELS} levels")


JsonObject = Annotated[dict[str, JsonValue], AfterValidator(_safe_to_hand_on)]
"""What GenieOS hands over as it is: nested no deeper than `MOST_LEVELS`, integers of 64 bits, numbers that JSON
has. A longer integer (an id, say) belongs into a text, which no reader rounds."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Contract(BaseModel):
    """A model that crosses a boundary.

    Unknown fields are refused (a typo must not be lost), instances are immutable, and a validation error never shows
    the offending value: it may be an address.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
