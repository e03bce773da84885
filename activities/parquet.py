"""Audiences in Parquet: columns as in CSV, one row group after another. Needs the extra `parquet` (pyarrow)."""

import asyncio
import importlib
from collections.abc import AsyncGenerator, Callable
from datetime import date, datetime, time
from decimal import Decimal
from math import isnan
from typing import Any

from activities.audience import Position, ReadRow, check_version, row_of_columns
from activities.sources import Source, StorageAway, Unreadable

_BATCH = 500


class ParquetAudience:
    """Offsets are row numbers; the file is read from the row group that holds the position."""

    def __init__(self, source: Source, open_file: Callable[[], Any]) -> None:
        self._source = source
        self._open_file = open_file

    async def begin(self) -> Position:
        """Before the first row."""
        return Position((await self._source.stat()).version)

    async def size(self) -> int:
        """In rows."""
        file = await self._open()
        return file.metadata.num_rows

    async def rows(self, after: Position) -> AsyncGenerator[ReadRow, None]:
        """Rows are numbered from 1."""
        await check_version(self._source, after)
        file = await self._open()
        if not {"email", "user_id"} & set(file.schema_arrow.names):
            raise Unreadable("The audience has neither a column email nor user_id")
        before = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if before + rows > after.offset:
                number = before
                batches = file.iter_batches(batch_size=_BATCH, row_groups=[group], use_threads=False)
                while (batch := await _next(batches)) is not None:
                    for columns in batch:
                        number += 1
                        if number > after.offset:
                            yield ReadRow(number, number, row_of_columns(columns))
            before += rows

    async def _open(self) -> Any:
        try:
            parquet: Any = importlib.import_module("pyarrow.parquet")  # heavy, and an extra
            arrow: Any = importlib.import_module("pyarrow")
        except ImportError:
            raise Unreadable(
                "Parquet is not read by this worker: install the connector with its extra `parquet`"
            ) from None
        try:
            return await asyncio.to_thread(lambda: parquet.ParquetFile(self._open_file()))
        except arrow.ArrowInvalid:
            raise Unreadable("The audience is no Parquet file") from None
        except OSError:
            raise StorageAway("the audience's storage does not answer") from None


async def _next(batches: Any) -> list[dict[str, Any]] | None:
    def read() -> list[dict[str, Any]] | None:
        batch = next(batches, None)
        if batch is None:
            return None
        return [
            {name: _plain(value) for name, value in row.items() if not _is_empty(value)} for row in batch.to_pylist()
        ]

    return await asyncio.to_thread(read)


def _is_empty(value: Any) -> bool:
    """A null, or what data frames write for one in a column of numbers."""
    return value is None or (isinstance(value, float) and isnan(value))


def _plain(value: Any) -> Any:
    """As JSON has it: moments as ISO 8601, decimals as text, so that no digit is lost."""
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal():
            return str(value)
        case dict():
            return {name: _plain(inner) for name, inner in value.items()}  # pyright: ignore[reportUnknownVariableType]
        case list():
            return [_plain(inner) for inner in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value
