"""From what GenieOS calls an audience to something that can be read."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from activities.audience import Audience, CsvAudience, LineAudience
from activities.parquet import ParquetAudience
from activities.remote import HttpsFile, StoredObject
from activities.sources import Inline, LocalFile, Unreadable, local_path
from contracts.broadcast import Audience as Wanted
from contracts.broadcast import Format

STORED = "inline:"
"""The URI of recipients that stood in the request: they lie sealed in the store."""
_FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}


@dataclass(frozen=True)
class Reading:
    """What this worker may read: files below `roots`; http and private addresses only with `allow_private`."""

    roots: tuple[Path, ...] = ()
    allow_private: bool = False


def open_audience(wanted: Wanted, recipients: bytes | None, reading: Reading) -> Audience:
    """An audience that can be read. `recipients` are those that stood in the request, as JSON Lines. Raises
    `ConnectorError`."""
    if wanted.recipients is not None or wanted.uri == STORED:
        if recipients is None:
            raise Unreadable("The recipients that stood in the request are gone: the broadcast has ended")
        return LineAudience(Inline(recipients))
    uri = wanted.uri or ""
    source = _source(uri, reading)
    match wanted.format or format_of(uri):
        case "jsonl":
            return LineAudience(source)
        case "csv":
            return CsvAudience(source)
        case "parquet":
            if isinstance(source, HttpsFile):
                raise Unreadable("Parquet is read from files and object stores, not from URLs")
            return ParquetAudience(source, source.open)
        case _:
            raise Unreadable("The audience's format is not told by its name: give format (jsonl, csv or parquet)")


def format_of(uri: str) -> Format | None:
    """What the name's end tells."""
    return _FORMATS.get(PurePosixPath(urlsplit(uri).path).suffix.lower())


def _source(uri: str, reading: Reading) -> LocalFile | StoredObject | HttpsFile:
    match urlsplit(uri).scheme:
        case "" | "file":
            return LocalFile(local_path(uri, reading.roots))
        case "s3" | "gs" | "az":
            return StoredObject(uri)
        case "https" | "http":
            return HttpsFile(uri, allow_private=reading.allow_private)
        case _:
            raise Unreadable("The audience's URI is no path, and none of file, s3, gs, az and https")
