"""Importing suppressions: long files, broken lines, and going on after an interruption."""

import io
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from cli import importing
from cli.importing import ImportReport, NotACsv, import_suppressions
from contracts.suppression import Cause
from store.person import Person
from store.store import Store
from store.suppressions import Suppression


async def imported(store: Store, content: bytes, **options: Any) -> tuple[ImportReport, list[tuple[int, str]]]:
    bad: list[tuple[int, str]] = []
    report = await import_suppressions(
        store, "acme", io.BytesIO(content), on_bad=lambda line, problem: bad.append((line, problem)), **options
    )
    return report, bad


async def all_of(store: Store) -> list[Suppression]:
    async with store.read() as tx:
        return await tx.suppressions.page("acme", 0, 1_000)


def names(found: list[Suppression]) -> list[str | None]:
    return [one.person.value if one.person else None for one in found]


@pytest.mark.parametrize(
    "content",
    [
        b"ann@example.com\nbob@example.com\n",
        b"ann@example.com\r\nbob@example.com",
        b"\xef\xbb\xbfemail\nann@example.com\nbob@example.com\n",
        b"name;Email;x\nAnn;Ann@Example.com;1\nBob; bob@example.com ;2\n",
        b'"email"\t"n"\n"ann@example.com"\t"a ""b"""\nbob@example.com\t\n',
        b"\n\nann@example.com\n\n\nbob@example.com\n",
    ],
    ids=["bare", "crlf", "bom", "semicolons", "tabs and quotes", "empty lines"],
)
async def test_forms_of_a_file(store: Store, content: bytes) -> None:
    report, bad = await imported(store, content)
    assert (report.added, bad) == (2, [])
    assert report.bytes_read == len(content)
    assert names(await all_of(store)) == ["ann@example.com", "bob@example.com"]


async def test_columns_are_read_and_options_fill_in(store: Store) -> None:
    content = (
        b"user_id,email,reason,occurred_at,scope\nU1,,asked,2026-01-02T03:04:05+00:00,transactional\n"
        b",ann@example.com,,\n,bob@example.com,,,nobody\n"
    )
    report, bad = await imported(store, content, scope="marketing", reason="old system")
    assert (report.added, bad) == (2, [(4, "scope is neither workspace nor a stream, and none that an export has")])
    first, second = await all_of(store)
    assert first.scope == "transactional"
    assert (first.person, first.reason) == (Person.by_user_id(store.hasher, "U1"), "asked")
    assert first.first_seen_at.isoformat() == "2026-01-02T03:04:05+00:00"
    assert (second.reason, second.scope, second.cause) == ("old system", "marketing", Cause.IMPORT)


async def test_bad_lines_are_told_by_number_and_the_rest_goes_in(store: Store) -> None:
    lines = [
        b"email,user_id,occurred_at,reason",
        b"ann@example.com,,",
        b"no address,,",
        b"\xff\xfe@example.com,,",
        b'"ann@example.com,,',
        b",,",
        b",u\xc3\xa9,",
        b"bob@example.com,,yesterday",
        b"bob@example.com,,2026-01-02T03:04:05",
        b"bob@example.com,,2999-01-02T03:04:05Z",
        b"x" * 25_000 + b"@example.com,,",
        b"bob@example.com,,,\x00",
        b"bob@example.com,,",
    ]
    report, bad = await imported(store, b"\n".join(lines))
    assert (report.added, report.bad) == (2, 10)
    assert [line for line, _ in bad] == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert not any("bob" in problem or "xxx" in problem for _, problem in bad)
    assert names(await all_of(store)) == ["ann@example.com", "bob@example.com"]


@pytest.mark.parametrize("content", [b"name,age\nAnn,7\n", b"just text\n"])
async def test_a_file_of_something_else_is_refused(store: Store, content: bytes) -> None:
    with pytest.raises(NotACsv):
        await imported(store, content)


async def test_an_empty_file_is_no_mistake(store: Store) -> None:
    report, bad = await imported(store, b"")
    assert (report, bad) == (ImportReport(), [])


async def test_repeated_rows_and_repeated_imports_change_nothing(store: Store) -> None:
    content = b"ann@example.com\nANN@example.com\nbob@example.com\n"
    report, _ = await imported(store, content)
    assert (report.added, report.skipped) == (2, 1)
    before = await all_of(store)
    report, _ = await imported(store, content)
    assert (report.added, report.skipped) == (0, 3)
    assert await all_of(store) == before


class Broken(io.BytesIO):
    """A file whose disk fails in the middle."""

    def readline(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 60_000:
            raise OSError("gone")
        return super().readline(size)


async def test_a_broken_import_goes_on_where_it_stopped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "ROWS_A_TRANSACTION", 500)
    content = b"".join(b"person%d@example.com\n" % number for number in range(5_000))
    with pytest.raises(OSError, match="gone"):
        await import_suppressions(store, "acme", Broken(content))
    report, _ = await imported(store, content)
    assert report.skipped >= 2_000
    assert report.added + report.skipped == 5_000


class Endless(io.RawIOBase):
    """A file that is made while it is read, so that it takes no memory of its own."""

    def __init__(self, rows: int) -> None:
        self._lines: Iterator[bytes] = (b"person%d@example.com,asked by letter\n" % number for number in range(rows))

    def readline(self, size: int | None = -1, /) -> bytes:
        return next(self._lines, b"")


async def test_many_rows_take_no_more_memory_than_some(store: Store) -> None:
    peaks: list[int] = []

    def watch(report: ImportReport) -> None:
        peaks.append(tracemalloc.get_traced_memory()[1])

    tracemalloc.start()
    try:
        report = await import_suppressions(store, "acme", Endless(20_000), on_batch=watch)  # pyright: ignore
    finally:
        tracemalloc.stop()
    assert report.added == 20_000
    assert peaks[-1] < peaks[1] * 1.2  # after 20,000 rows against after 10,000
