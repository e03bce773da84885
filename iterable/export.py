"""What happened in the project: `/api/export/data.json`. Fills the gaps that webhooks leave, whose delivery is not
guaranteed (help centre)."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from typing import Any, Literal, cast

from pydantic import TypeAdapter, ValidationError

from iterable.calls import Calls
from iterable.dates import query_text
from iterable.mending import without_halves
from iterable.request import Request

ExportType = Literal[
    "emailSend",
    "emailSendSkip",
    "emailOpen",
    "emailClick",
    "hostedUnsubscribeClick",
    "emailBounce",
    "emailComplaint",
    "emailSubscribe",
    "emailUnSubscribe",
    "customEvent",
    "user",
]
"""Of some 50 in Swagger 1.8, those that concern email and users."""

_ENTRY: TypeAdapter[Any] = TypeAdapter(Any)


class Export:
    """Limit: 4/min for the project (Swagger 1.8)."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def data_json(
        self,
        data_type: ExportType,
        *,
        start: datetime,
        end: datetime,
        campaign_id: int | None = None,
        only_fields: Sequence[str] = (),
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The entries of one kind from `start` (inclusive) to `end` (exclusive), as they arrive.

        `transactionalData` of an entry is JSON in a string. Raises `NoAnswer` where it breaks off; what was given
        until then stands. Whoever stops early closes it (`contextlib.aclosing`), or the connection stays taken.
        """
        query: list[tuple[str, str | int]] = [
            ("dataTypeName", data_type),
            ("startDateTime", query_text(start)),
            ("endDateTime", query_text(end)),
        ]
        query += [] if campaign_id is None else [("campaignId", campaign_id)]
        query += [("onlyFields", name) for name in only_fields]
        request = Request("GET", "/api/export/data.json", query=tuple(query))
        async with aclosing(self._calls.lines(request, _entry)) as entries:
            async for entry in entries:
                yield entry


def _entry(line: bytes) -> dict[str, Any] | None:
    value = None
    try:
        value = _ENTRY.validate_json(line)
    except ValidationError:
        with suppress(ValidationError):
            value = _ENTRY.validate_json(without_halves(line))
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None
