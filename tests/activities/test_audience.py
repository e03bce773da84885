"""Audiences: every format, from every position on, and what is refused."""

import csv
import io
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.parquet import write_table

from activities.audience import Audience, CsvAudience, LineAudience, Position, ReadRow, inline
from activities.opening import Reading, open_audience
from activities.remote import HttpsFile
from activities.sources import Inline, Unreadable, Withheld
from contracts.broadcast import Audience as Wanted
from contracts.broadcast import AudienceRow
from tests.s3 import S3

CSV = (
    b"\xef\xbb\xbfemail;user_id;send_id;first_name;note\r\n"
    b'ann@example.com;;s1;"Ann ""A""";"two\r\nlines"\r\n'
    b";u2;;Bob;\r\n"
    b"\r\n"
    b"no address;;;x;y\r\n"
    b"c@example.com;;;a;b;too many\r\n"
    b"d@example.com;;;D"
)


async def read(audience: Audience, after: Position | None = None) -> list[ReadRow]:
    return [one async for one in audience.rows(after or await audience.begin())]


def told(rows: list[ReadRow]) -> list[Any]:
    return [one.row.data if isinstance(one.row, AudienceRow) else one.row for one in rows]


async def test_a_cell_of_csv_may_be_as_long_as_a_row() -> None:
    long = "x" * 200_000
    (one,) = await read(CsvAudience(Inline(f"email,note\np1@example.com,{long}\n".encode())))
    assert isinstance(one.row, AudienceRow)
    assert one.row.data == {"note": long}


async def test_csv_with_quotes_line_breaks_empty_cells_and_bad_rows() -> None:
    rows = await read(CsvAudience(Inline(CSV)))
    assert [one.number for one in rows] == [1, 2, 3, 4, 5]
    assert told(rows)[:2] == [{"first_name": 'Ann "A"', "note": "two\r\nlines"}, {"first_name": "Bob"}]
    assert told(rows)[3:] == ["6 cells where the header has 5", {"first_name": "D"}]
    assert "no address" not in str(told(rows)[2])
    assert isinstance(rows[0].row, AudienceRow)
    assert rows[0].row.send_id == "s1"


async def test_a_stray_quote_costs_nobody_else_their_row() -> None:
    lines = [
        b"email,note",
        b'a@example.com,6" pipe',  # text: the cell does not begin with it
        b"b@example.com,",
        b'c@example.com,5" pipe',
        b'd@example.com,"opened and never closed',
        b"e@example.com,",
        b'f@example.com,"two\nlines, ""quoted"""',
        b'g@example.com,"opened',
        b"h@example.com,",
    ]
    rows = await read(CsvAudience(Inline(b"\n".join(lines))))
    good = {one.row.recipient.email: one.row.data for one in rows if isinstance(one.row, AudienceRow)}
    assert [name[0] for name in good if name] == ["a", "b", "c", "e", "f", "h"]
    assert good["a@example.com"] == {"note": '6" pipe'}
    assert good["f@example.com"] == {"note": 'two\nlines, "quoted"'}
    assert [one.number for one in rows if isinstance(one.row, str)] == [4, 7]
    for one in rows:  # whoever goes on behind a row reads the rest
        again = await read(CsvAudience(Inline(b"\n".join(lines))), Position("inline", one.number, one.end))
        assert [(other.number, other.row) for other in again] == [
            (o.number, o.row) for o in rows if o.number > one.number
        ]


@given(st.lists(st.lists(st.text('ab",\n;é '), min_size=2, max_size=2), max_size=8))
async def test_what_a_csv_writer_wrote_is_read_as_it_was(cells: list[list[str]]) -> None:
    file = io.StringIO()
    people = [[f"p{n}@example.com", *two] for n, two in enumerate(cells)]
    csv.writer(file, lineterminator="\n").writerows([["email", "x", "y"], *people])
    rows = await read(CsvAudience(Inline(file.getvalue().encode())))
    assert told(rows) == [{name: cell for name, cell in zip("xy", two, strict=True) if cell} for two in cells]


@pytest.mark.parametrize("begins", [b"", b"\xef\xbb\xbf"])
async def test_json_lines_are_numbered_as_an_editor_does(begins: bytes) -> None:
    content = (
        begins
        + b'{"recipient": {"email": "a@example.com"}}\n\n[]\n{"recipient": {"email": "b@example.com"}, "typo": 1}\n'
    )
    rows = await read(LineAudience(Inline(content)))
    assert [(one.number, isinstance(one.row, str)) for one in rows] == [(1, False), (3, True), (4, True)]


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    path = tmp_path / "a.parquet"
    table = pa.table(
        {
            "email": [f"p{n}@example.com" for n in range(50)],
            "n": list(range(50)),
            "tags": [["x"], None] * 25,
        }
    )
    write_table(table, path, row_group_size=20)
    return path


async def test_every_position_leads_to_the_rows_behind_it(tmp_path: Path, parquet: Path) -> None:
    lines = inline([{"recipient": {"email": f"p{n}@example.com"}, "data": {"n": n}} for n in range(5)])
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "a.csv").write_bytes(CSV)
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        audience = open_audience(Wanted(uri=str(tmp_path / name)), None, Reading((tmp_path,)))
        rows = await read(audience)
        begin = await audience.begin()
        assert len(rows) >= 5
        for index in range(0, len(rows), 7 if name == "a.parquet" else 1):
            position = Position(begin.version, rows[index].number, rows[index].end)
            assert Position.read(position.text()) == position
            assert await read(audience, position) == rows[index + 1 :]


async def test_parquet_has_typed_columns(parquet: Path) -> None:
    audience = open_audience(Wanted(uri=f"file://{parquet}"), None, Reading((parquet.parent,)))
    assert told(await read(audience))[:2] == [{"n": 0, "tags": ["x"]}, {"n": 1}]
    assert await audience.size() == 50


async def test_a_cell_of_parquet_without_a_number_is_empty(tmp_path: Path) -> None:
    """Data frames write NaN where a number is missing."""
    path = tmp_path / "a.parquet"
    write_table(pa.table({"email": ["a@example.com"] * 2, "price": [float("nan"), 1.5]}), path)
    audience = open_audience(Wanted(uri=str(path)), None, Reading((tmp_path,)))
    assert told(await read(audience)) == [{}, {"price": 1.5}]


async def test_a_file_that_changed_is_not_read_on(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"recipient": {"email": "a@example.com"}}\n')
    audience = open_audience(Wanted(uri=str(path)), None, Reading((tmp_path,)))
    position = await audience.begin()
    path.write_bytes(b'{"recipient": {"email": "b@example.com"}}\n\n')
    with pytest.raises(Unreadable, match="has changed"):
        await read(audience, position)


@pytest.mark.parametrize("uri", ["/etc/hostname", "{root}/../secret.jsonl", "{root}/link.jsonl", "file:///etc/passwd"])
async def test_no_path_leads_out_of_the_allowed_folders(tmp_path: Path, uri: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.jsonl").write_text("x")
    (root / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    with pytest.raises(Unreadable):
        open_audience(Wanted(uri=uri.format(root=root), format="jsonl"), None, Reading((root,)))


async def test_a_bucket_is_read_from_any_position_and_a_change_is_noticed(s3: S3, tmp_path: Path) -> None:
    s3.make_bucket("audiences")
    people = [{"recipient": {"email": f"p{n}@example.com"}, "data": {"n": n}} for n in range(5)]
    table = pa.table({"email": [f"p{n}@example.com" for n in range(5)], "n": list(range(5))})
    write_table(table, tmp_path / "a.parquet", row_group_size=2)
    files = {
        "a.jsonl": inline(people),
        "a.csv": b"email,n\n" + b"".join(b"p%d@example.com,%d\n" % (n, n) for n in range(5)),
        "a.parquet": (tmp_path / "a.parquet").read_bytes(),
    }
    for name, content in files.items():
        s3.put("audiences", f"spring/{name}", content)
        audience = open_audience(Wanted(uri=f"s3://audiences/spring/{name}"), None, Reading())
        begin = await audience.begin()
        rows = await read(audience)
        assert [one.number for one in rows] == [1, 2, 3, 4, 5], name
        assert [one.row.recipient.email for one in rows if isinstance(one.row, AudienceRow)] == [
            f"p{n}@example.com" for n in range(5)
        ], name
        assert await read(audience, Position(begin.version, 3, rows[2].end)) == rows[3:], name
        assert await read(audience, Position(begin.version, 5, rows[4].end)) == [], name
        s3.put("audiences", f"spring/{name}", content + b"\n")
        with pytest.raises(Unreadable, match="has changed"):
            await read(audience, begin)
    with pytest.raises(Unreadable, match="not there"):
        await open_audience(Wanted(uri="s3://audiences/none.jsonl"), None, Reading()).begin()


@pytest.mark.parametrize("knows_ranges", [True, False])
async def test_a_url_is_read_from_an_offset(knows_ranges: bool) -> None:
    lines = inline([{"recipient": {"email": f"p{n}@example.com"}, "data": {"n": n}} for n in range(5)])

    def serve(request: httpx.Request) -> httpx.Response:
        headers = {"ETag": '"1"'}
        if not knows_ranges:
            return httpx.Response(200, content=lines, headers=headers)
        first = int(request.headers["Range"].removeprefix("bytes=").split("-")[0])
        headers["Content-Range"] = f"bytes {first}-{len(lines) - 1}/{len(lines)}"
        return httpx.Response(206, content=lines[first:], headers=headers)

    source = HttpsFile("https://example.com/a.jsonl", allow_private=True, transport=httpx.MockTransport(serve))
    audience = LineAudience(source)
    rows = await read(audience)
    begin = await audience.begin()
    assert len(rows) == 5
    assert await audience.size() == len(lines)
    assert await read(audience, Position(begin.version, 2, rows[1].end)) == rows[2:]


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_signature_that_is_not_taken_any_more_is_told_from_a_file_that_is_not_there(status: int) -> None:
    source = HttpsFile(
        "https://example.com/a.jsonl",
        allow_private=True,
        transport=httpx.MockTransport(lambda _: httpx.Response(status)),
    )
    with pytest.raises(Withheld):
        await source.stat()


@pytest.mark.parametrize("url", ["http://example.com/a.jsonl", "https://127.0.0.1/a.jsonl", "https://10.0.0.1/a.csv"])
async def test_a_url_is_no_way_into_this_network(url: str) -> None:
    with pytest.raises(Unreadable):
        await read(open_audience(Wanted(uri=url), None, Reading()))
