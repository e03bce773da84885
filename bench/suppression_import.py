"""Importing a million suppressions: rows a second against a bare executemany of the same rows, and peak memory.

    python -m bench.suppression_import [rows]

The bare one inserts rows that are hashed and sealed already, through the driver itself, into a table of the same
columns and keys, in transactions of the same size. What the import does on top: read the file, check addresses, hash,
seal, recognise what is in. Memory is this process's own peak, taken before and after the import.
"""

import asyncio
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.stage import say
from cli.importing import ROWS_A_TRANSACTION, import_suppressions
from store.keyring import Keyring, new_key_text, parse_keys
from store.migrate import migrate
from store.store import Store


def peak_mb() -> float:
    """This process's largest resident set so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_csv(path: Path, rows: int) -> None:
    """Addresses in no order, with a reason, as an export from elsewhere has them."""
    with path.open("w") as file:
        file.write("email,reason\n")
        for number in range(rows):
            file.write(f"person{number * 7_919 % rows}.{number}@example{number % 977}.com,asked by letter\n")


def bare_insert(source: Path, goal: Path) -> float:
    """Seconds of inserting what the import wrote, row by row as it wrote it, into an empty copy of the table."""
    reading = sqlite3.connect(source)
    writing = sqlite3.connect(goal, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        writing.execute(f"PRAGMA {pragma}")
    (table,) = reading.execute("SELECT sql FROM sqlite_master WHERE name = 'suppression'").fetchone()
    writing.execute(table)
    columns = len(reading.execute("SELECT * FROM suppression LIMIT 1").fetchone())
    insert = f"INSERT INTO suppression VALUES ({','.join('?' * columns)})"  # noqa: S608 - a count of question marks
    seconds = 0.0
    for batch in batches(reading.execute("SELECT * FROM suppression ORDER BY cursor")):
        began = time.perf_counter()
        writing.execute("BEGIN IMMEDIATE")
        writing.executemany(insert, batch)
        writing.execute("COMMIT")
        seconds += time.perf_counter() - began
    reading.close()
    writing.close()
    return seconds


def batches(rows: sqlite3.Cursor) -> Iterator[list[Any]]:
    """As many as the import puts into a transaction."""
    while batch := rows.fetchmany(ROWS_A_TRANSACTION):
        yield batch


async def measure(rows: int, folder: Path) -> None:
    """Imports, inserts barely, imports again, and prints what that took."""
    csv, database = folder / "rows.csv", folder / "connector.db"
    write_csv(csv, rows)
    url = f"sqlite+aiosqlite:///{database}"
    await migrate(url)
    store = await Store.open(url, Keyring(parse_keys(new_key_text())))
    at_start = peak_mb()
    quarter: list[float] = []

    def watch(report: Any) -> None:
        if not quarter and report.added >= rows // 4:
            quarter.append(peak_mb())

    took: list[float] = []
    for _ in range(2):
        began = time.perf_counter()
        with csv.open("rb") as file:
            report = await import_suppressions(store, "bench", file, on_batch=watch)
        took.append(time.perf_counter() - began)
        print(f"{report.added:,} added, {report.skipped:,} skipped", file=sys.stderr)  # noqa: T201
    after = peak_mb()
    await store.close()
    bare = bare_insert(database, folder / "bare.db")

    say(f"bare executemany of {rows:,} rows", f"{rows / bare:,.0f} rows/s")
    say("import, and the same again", f"{rows / took[0]:,.0f} rows/s, {rows / took[1]:,.0f} rows/s")
    say("import / bare", f"{bare / took[0]:.2f}", "≥ 0.50")
    memory = f"{at_start:.0f} MB before, {quarter[0]:.0f} at a quarter, {after:.0f} after both"
    say("peak memory of the import", memory, "flat from a quarter on")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, Path(temporary)))
