"""Importing suppressions from a CSV file of any length: bounded memory, one transaction for every few thousand rows.

A file may be imported again at any time: what is suppressed by an import already is skipped. So after a crash or a
Ctrl-C the same command simply goes on, and `rows that were in already` says how far the first one had come.

A row is one line. With a header line, the columns `email`, `user_id`, `reason`, `occurred_at` (ISO 8601 with an offset)
and `scope` are read and others ignored; without one, the first column is the address. Comma, semicolon or tab.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from pydantic import TypeAdapter, ValidationError

from contracts.send import UserId
from contracts.suppression import Cause, Given, Scope
from contracts.template import EmailAddress
from store.keyring import KeyedHasher
from store.person import Person
from store.store import Store
from store.suppressions import Report

ROWS_A_TRANSACTION = 5_000
"""Short enough that the endpoint's and the worker's writes wait for a fraction of a second; long enough that the disk's
sync at its end costs little."""
_LONGEST_LINE = 10_000  # bytes; a longer one is no row, and must not be read into memory
_LONGEST_REASON = 200
_COLUMNS: tuple[str, ...] = ("email", "user_id", "reason", "occurred_at", "scope")
_SCOPE: TypeAdapter[str] = TypeAdapter(Scope)
_DELIMITERS = b",;\t"
_EMAIL: TypeAdapter[str] = TypeAdapter(EmailAddress)
_USER_ID: TypeAdapter[str] = TypeAdapter(UserId)

OnBatch = Callable[["ImportReport"], None]
OnBad = Callable[[int, str], None]


@dataclass
class ImportReport:
    """What became of a file so far. `bytes_read` is for a progress bar."""

    added: int = 0
    skipped: int = 0
    """Rows that were in already, this file's own repetitions among them."""
    bad: int = 0
    bytes_read: int = 0


class NotACsv(Exception):
    """The header has neither `email` nor `user_id`."""


_AHEAD = timedelta(days=1)
"""Of another system's clock. What is dated later would outlast its removal."""


@dataclass
class _Defaults:
    """What holds for every row that does not say otherwise."""

    scope: Given
    reason: str | None
    at: datetime


@dataclass
class _Layout:
    """Where in a line is what; the place of a column that the file does not have lies beyond every line's end."""

    delimiter: str
    places: dict[str, int]
    has_header: bool

    @classmethod
    def of(cls, first: bytes) -> "_Layout":
        """From the first line. Raises `NotACsv`."""
        delimiter = chr(max(_DELIMITERS, key=first.count))
        names = [name.strip().strip('"').lower() for name in first.decode(errors="replace").split(delimiter)]
        places = dict.fromkeys(_COLUMNS, _LONGEST_LINE)
        if any("@" in name for name in names):
            return cls(delimiter, places | {"email": 0}, has_header=False)
        places |= {name: place for place, name in enumerate(names) if name in _COLUMNS}
        if places["email"] == places["user_id"]:
            raise NotACsv("the first line has neither an address nor a column named email or user_id")
        return cls(delimiter, places, has_header=True)


async def import_suppressions(
    store: Store,
    workspace_id: str,
    file: BinaryIO,
    *,
    scope: Given = "workspace",
    reason: str | None = None,
    on_batch: OnBatch | None = None,
    on_bad: OnBad | None = None,
) -> ImportReport:
    """Suppresses everybody in a file. `on_batch` hears of every transaction, `on_bad` of every line that is no row: its
    number and what is wrong, not its content.

    `scope` and `reason` are for rows without one. A row without `occurred_at` counts as reported now, so it suppresses
    again whom somebody had removed. Raises `NotACsv`, `OSError`.
    """
    report = ImportReport()
    given = _Defaults(scope, reason, datetime.now(UTC))
    batch: list[Report] = []

    async def write() -> None:
        async with store.begin() as tx:
            added = await tx.suppressions.record(workspace_id, batch, only_new=True)
        report.added += added
        report.skipped += len(batch) - added
        batch.clear()
        if on_batch is not None:
            on_batch(report)

    for number, row in _rows(file, store.hasher, given, report):
        if isinstance(row, str):
            report.bad += 1
            if on_bad is not None:
                on_bad(number, row)
            continue
        batch.append(row)
        if len(batch) >= ROWS_A_TRANSACTION:
            await write()
    await write()
    return report


def _rows(
    file: BinaryIO, hasher: KeyedHasher, given: _Defaults, report: ImportReport
) -> Iterator[tuple[int, Report | str]]:
    """Each line's number and what it reports, or what is wrong with it."""
    layout = None
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        report.bytes_read += len(line)
        if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
            report.bytes_read += _skip_line(file)
            yield number, f"longer than {_LONGEST_LINE} bytes"
            continue
        if layout is None:
            line = line.removeprefix(b"\xef\xbb\xbf")
            if line.isspace():
                continue
            layout = _Layout.of(line)
            if layout.has_header:
                continue
        elif line.isspace():
            continue
        yield number, _row(line, layout, hasher, given)


def _skip_line(file: BinaryIO) -> int:
    skipped = 0
    while piece := file.readline(_LONGEST_LINE):
        skipped += len(piece)
        if piece.endswith(b"\n"):
            break
    return skipped


def _row(line: bytes, layout: _Layout, hasher: KeyedHasher, given: _Defaults) -> Report | str:
    try:
        cells = _cells(line.decode(), layout.delimiter)
    except UnicodeDecodeError:
        return "not UTF-8"
    except (csv.Error, ValueError):
        return "its quotes do not match"
    places, count = layout.places, len(cells)
    email, user_id, reason, occurred_at, scope = (
        cells[place].strip() if (place := places[name]) < count else "" for name in _COLUMNS
    )
    try:
        at = _moment(occurred_at) if occurred_at else given.at
    except ValueError:
        return "occurred_at is not an ISO 8601 time with an offset"
    if at > given.at + _AHEAD:
        return "occurred_at is in the future"
    try:
        if email:
            person = Person.by_email(hasher, _EMAIL.validate_python(email))
        elif user_id:
            person = Person.by_user_id(hasher, _USER_ID.validate_python(user_id))
        else:
            return "neither an address nor a user id"
    except ValidationError:
        return "not an address" if email else "not a user id"
    try:
        scope = _SCOPE.validate_python(scope) if scope else given.scope
    except ValidationError:
        return "scope is neither workspace nor a stream, and none that an export has"
    if "\0" in reason:
        return "its reason has a NUL, which no database keeps"
    return Report(person, Cause.IMPORT, scope, at, source="import", reason=reason[:_LONGEST_REASON] or given.reason)


def _cells(line: str, delimiter: str) -> list[str]:
    if '"' not in line:
        return line.split(delimiter)
    (cells,) = csv.reader([line], delimiter=delimiter, strict=True)
    return cells


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError
    return moment
