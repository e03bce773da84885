"""An audience as a stream of rows, from any position on: formats, row numbers, and what is wrong with a bad row."""

import csv
import json
import re
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from activities.sources import Source, Unreadable
from contracts.broadcast import AudienceRow
from contracts.received import refusal_of

LONGEST_ROW = 1_000_000
"""Bytes; a longer one is no row, and must not be read into memory."""
csv.field_size_limit(LONGEST_ROW)
_BOM = b"\xef\xbb\xbf"
_BAD_QUOTES = "its quotes do not match"


def _quotes(delimiter: bytes) -> tuple[re.Pattern[bytes], tuple[re.Pattern[bytes], re.Pattern[bytes]]]:
    """What closes a cell that an earlier line opened; and whole cells, at the beginning of a line and behind that."""
    inside = rb'(?:[^"]++|"")*+"'
    text = rb"[^" + delimiter + rb"]*+"
    cell = rb'(?:"' + inside + text + rb'|(?!")' + text + rb")"
    more = rb"(?:" + delimiter + cell + rb")*+"
    return re.compile(inside), (re.compile(cell + more), re.compile(text + more))


_QUOTES = {delimiter: _quotes(delimiter.encode()) for delimiter in ",;\t"}
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
        number, records = after.row, _Records(header)
        async with aclosing(_lines(self._source, max(after.offset, start), after.version)) as lines:
            async for line, end in lines:
                for row, behind in records.add(line, end):
                    number += 1
                    yield ReadRow(number, behind, row)
        for row, behind in records.finish():
            number += 1
            yield ReadRow(number, behind, row)

    async def _header(self, version: str) -> tuple["_Header", int]:
        record = b""
        async with aclosing(_lines(self._source, 0, version)) as lines:
            async for line, end in lines:
                if line is None or len(record) > LONGEST_ROW:
                    break
                record = record + b"\n" + line if record else line
                if record.count(b'"') % 2 == 0:
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

    def leaves_open(self, line: bytes, *, is_open: bool) -> bool:
        """Whether behind a line a quoted cell is open. A quote opens a cell only where one begins: elsewhere it is
        text."""
        rest, cells = _QUOTES[self.delimiter]
        start = 0
        if is_open:
            closed = rest.match(line)
            if closed is None:
                return True
            start = closed.end()
        found = cells[is_open].match(line, start)
        return found is None or found.end() < len(line)

    def row(self, record: bytes) -> AudienceRow | str:
        """What a record says, or what is wrong with it."""
        try:
            cells = next(csv.reader([record.decode()], delimiter=self.delimiter, strict=True))
        except UnicodeDecodeError:
            return "not UTF-8"
        except (csv.Error, StopIteration):
            return _BAD_QUOTES
        if len(cells) > len(self.names):
            return f"{len(cells)} cells where the header has {len(self.names)}"
        return row_of_columns({name: cell for name, cell in zip(self.names, cells, strict=False) if cell != ""})


class _Records:
    """Lines, put together again where a quoted cell holds their ends. Where that leads nowhere (the cell never closes,
    or something stands behind its end), only the line that opened it is bad, and those after it are rows."""

    def __init__(self, header: _Header) -> None:
        self._header = header
        self._lines: list[tuple[bytes, int]] = []
        self._size = 0
        self._is_open = False

    def add(self, line: bytes | None, end: int) -> Iterator[tuple[AudienceRow | str, int]]:
        """(row or what is wrong with it, offset behind it) of what is complete with this line; None is one that is too
        long."""
        if line is None:
            yield from self.finish()
            yield f"longer than {LONGEST_ROW} bytes", end
        else:
            yield from self._feed([(line, end)], is_last=False)

    def finish(self) -> Iterator[tuple[AudienceRow | str, int]]:
        """What is left."""
        yield from self._feed([], is_last=True)

    def _feed(self, lines: list[tuple[bytes, int]], *, is_last: bool) -> Iterator[tuple[AudienceRow | str, int]]:
        waiting = deque(lines)
        while waiting or (is_last and self._lines):
            if waiting:
                line, end = waiting.popleft()
                self._lines.append((line, end))
                self._size += len(line)
                self._is_open = self._header.leaves_open(line, is_open=self._is_open)
                if self._is_open and self._size <= LONGEST_ROW and (waiting or not is_last):
                    continue
            taken, self._lines = self._lines, []
            self._size, self._is_open = 0, False
            record = b"\n".join(line for line, _ in taken)
            row = self._header.row(record) if record.strip() else None
            if row == _BAD_QUOTES and len(taken) > 1:
                yield _BAD_QUOTES, taken[0][1]
                waiting.extendleft(reversed(taken[1:]))
            elif row is not None:
                yield row, taken[-1][1]


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
    """Recipients of a request as JSON Lines; whole numbers of any size."""
    return "\n".join(json.dumps(one) for one in recipients).encode()


async def check_version(source: Source, after: Position) -> None:
    """Raises `ConnectorError` where the file is not the one any more that the position was read of."""
    if (await source.stat()).version != after.version:
        raise Unreadable(f"The audience's file has changed since row {after.row} was read")


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
