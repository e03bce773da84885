"""An audience as a stream of rows, from any position on: formats, row numbers, and what is wrong with a bad row."""

import csv
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from pydantic import ValidationError

from activities.sources import Inline, Source, Unreadable
from contracts.broadcast import AudienceRow
from contracts.received import refusal_of

LONGEST_ROW = 1_000_000
"""Bytes; a longer one is no row, and must not be read into memory."""
_BOM = b"\xef\xbb\xbf"
_OURS = ("email", "user_id", "send_id")


@dataclass(frozen=True, slots=True)
class Position:
    """Between two rows. `row` rows lie before it; `offset` is the next row's first byte (in Parquet: its number)."""

    version: str
    row: int = 0
    offset: int = 0

    def text(self) -> str:
        """As it is kept."""
        return f"{self.row} {self.offset} {self.version}"

    @classmethod
    def read(cls, text: str) -> "Position":
        """What `text` made."""
        row, offset, version = text.split(" ", 2)
        return cls(version, int(row), int(offset))


@dataclass(frozen=True, slots=True)
class ReadRow:
    """One row: a recipient, or what is wrong with it. `end` is the offset behind it."""

    number: int
    end: int
    row: AudienceRow | str


class Audience(Protocol):
    """Rows from a position on."""

    async def begin(self) -> Position:
        """Before the first row, of the version that is there now."""
        ...

    def rows(self, after: Position) -> AsyncGenerator[ReadRow, None]:
        """Raises `ConnectorError` where it cannot be read, or is not the version any more that `after` was read of."""
        ...

    async def size(self) -> int:
        """In the unit of offsets."""
        ...


class LineAudience:
    """JSON Lines: an object like `AudienceRow` a line."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def begin(self) -> Position:
        """At the first byte."""
        return Position((await self._source.stat()).version)

    async def size(self) -> int:
        """In bytes."""
        return (await self._source.stat()).size

    async def rows(self, after: Position) -> AsyncGenerator[ReadRow, None]:
        """Empty lines are no rows, but count as lines do in an editor: the row's number is its line's."""
        await check_version(self._source, after)
        number = after.row
        async with aclosing(_lines(self._source, after.offset, after.version)) as lines:
            async for line, end in lines:
                number += 1
                if line is None:
                    yield ReadRow(number, end, f"longer than {LONGEST_ROW} bytes")
                    continue
                row = line.removeprefix(_BOM) if number == 1 else line
                if row.strip():
                    yield ReadRow(number, end, _row_of_json(row))


class CsvAudience:
    """CSV with a header line; comma, semicolon or tab. Quoted cells may hold line breaks."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def begin(self) -> Position:
        """At the header."""
        return Position((await self._source.stat()).version)

    async def size(self) -> int:
        """In bytes."""
        return (await self._source.stat()).size

    async def rows(self, after: Position) -> AsyncGenerator[ReadRow, None]:
        """Rows are counted without the header and without empty lines. The header is read again for every position."""
        await check_version(self._source, after)
        header, start = await self._header(after.version)
        number = after.row
        async with aclosing(_records(self._source, max(after.offset, start), after.version)) as records:
            async for record, end in records:
                if record is None:
                    number += 1
                    yield ReadRow(number, end, f"longer than {LONGEST_ROW} bytes")
                elif record.strip():
                    number += 1
                    yield ReadRow(number, end, header.row(record))

    async def _header(self, version: str) -> tuple["_Header", int]:
        async with aclosing(_records(self._source, 0, version)) as records:
            async for record, end in records:
                if record is None:
                    break
                return _Header.of(record.removeprefix(_BOM)), end
        raise Unreadable("The audience's CSV has no header line")


@dataclass(frozen=True, slots=True)
class _Header:
    delimiter: str
    names: list[str]

    @classmethod
    def of(cls, line: bytes) -> "_Header":
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise Unreadable("The audience's header line is not UTF-8") from None
        delimiter = max(",;\t", key=text.count)
        names = [name.strip() for name in next(csv.reader([text.strip()], delimiter=delimiter))]
        if not {"email", "user_id"} & set(names):
            raise Unreadable("The audience's header has neither a column email nor user_id")
        if len(set(names)) != len(names):
            raise Unreadable("The audience's header has a column twice")
        return cls(delimiter, names)

    def row(self, record: bytes) -> AudienceRow | str:
        try:
            cells = next(csv.reader([record.decode()], delimiter=self.delimiter, strict=True))
        except UnicodeDecodeError:
            return "not UTF-8"
        except (csv.Error, StopIteration):
            return "its quotes do not match"
        if len(cells) > len(self.names):
            return f"{len(cells)} cells where the header has {len(self.names)}"
        return row_of_columns({name: cell for name, cell in zip(self.names, cells, strict=False) if cell != ""})


def row_of_columns(columns: dict[str, Any]) -> AudienceRow | str:
    """A row of a table: identity and send id by name, everything else is data."""
    recipient = {name: columns[name] for name in ("email", "user_id") if name in columns}
    data = {name: value for name, value in columns.items() if name not in _OURS}
    given = {"recipient": recipient, "data": data}
    if "send_id" in columns:
        given["send_id"] = columns["send_id"]
    return _validated(lambda: AudienceRow.model_validate(given))


def _row_of_json(line: bytes) -> AudienceRow | str:
    return _validated(lambda: AudienceRow.model_validate_json(line))


def _validated(make: Any) -> AudienceRow | str:
    try:
        return make()
    except ValidationError as error:
        return refusal_of(error).what.removeprefix("The request does not fit its contract ").strip("()")


def inline(recipients: list[dict[str, Any]]) -> bytes:
    """Recipients of a request as JSON Lines."""
    return b"\n".join(orjson.dumps(one) for one in recipients)


def inline_audience(content: bytes) -> Audience:
    """What `inline` made."""
    return LineAudience(Inline(content))


async def check_version(source: Source, after: Position) -> None:
    """Raises `ConnectorError` where the file is not the one any more that the position was read of."""
    if (await source.stat()).version != after.version:
        raise Unreadable(
            f"The audience's file has changed since row {after.row} was read: start a new broadcast with the new file"
        )


async def _lines(source: Source, offset: int, version: str) -> AsyncGenerator[tuple[bytes | None, int], None]:
    """(line without its end, offset behind it); None for one that is too long."""
    rest = b""
    position, skipped = offset, 0
    async with aclosing(source.chunks(offset, version)) as chunks:
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                position += skipped + len(line) + 1
                yield (None if skipped else line), position
                skipped = 0
            if len(rest) > LONGEST_ROW:
                skipped += len(rest)
                rest = b""
    if rest or skipped:
        yield (None if skipped else rest), position + skipped + len(rest)


async def _records(source: Source, offset: int, version: str) -> AsyncGenerator[tuple[bytes | None, int], None]:
    """Lines, put together again where a quoted cell holds their ends: a record has an even number of quotes."""
    record = b""
    end = offset
    async with aclosing(_lines(source, offset, version)) as lines:
        async for line, end in lines:
            if line is None or len(record) > LONGEST_ROW:
                yield None, end
                record = b""
                continue
            record = record + b"\n" + line if record else line
            if record.count(b'"') % 2 == 0:
                yield record, end
                record = b""
    if record:
        yield record, end
