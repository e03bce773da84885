"""`connector suppressions …` as an admin types it."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from cli.main import app
from cli.output import FAILED, NOT_FOUND, OK, USAGE
from contracts.channel import Catalog, Channel, MessageType
from contracts.connector import ConnectorSettings, ConnectorState
from contracts.suppression import WORKSPACE, Cause
from store.person import Person
from store.store import Store
from store.suppressions import Report
from tests.cli.conftest import InStore

Cli = Callable[..., Result]
SETTINGS = ConnectorSettings(data_center="us", transactional_message_type_id=10, marketing_message_type_id=20)
CATALOG = Catalog(
    channels=[
        Channel(id=1, name="receipts", medium="Email", kind="Transactional"),
        Channel(id=2, name="news", medium="Email", kind="Marketing"),
    ],
    message_types=[MessageType(id=10, name="", channel_id=1), MessageType(id=20, name="", channel_id=2)],
)


@pytest.fixture
def cli(in_store: InStore[None]) -> Cli:
    """The command, against a database with one connector and one complaint and one unsubscribe."""

    async def prepare(store: Store) -> None:
        async with store.begin() as tx:
            await tx.connectors.offer("acme", SETTINGS, SecretStr("key"))
            await tx.connectors.adopt("acme", SETTINGS, ConnectorState.ACTIVE)
            await tx.connectors.keep_catalog("acme", CATALOG)
            moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
            cross = Person.by_email(store.hasher, "cross@example.com")
            away = Person.by_email(store.hasher, "away@example.com")
            await tx.suppressions.record(
                "acme",
                [
                    Report(cross, Cause.COMPLAINT, WORKSPACE, moment, source="webhook", reason="Complaint"),
                    Report(away, Cause.UNSUBSCRIBE, "channel:2", moment, source="webhook", reason="EmailLink"),
                ],
            )

    in_store(prepare)

    def call(*args: str, exits: int = OK) -> Result:
        result = CliRunner().invoke(app, ["suppressions", *args])
        assert result.exit_code == exits, result.output
        return result

    return call


def test_check_tells_which_rule_blocks_which_stream_and_since_when(cli: Cli) -> None:
    told = json.loads(cli("check", "acme", "Away@example.com", "--json").stdout)
    assert told["streams"]["transactional"] is None
    assert told["streams"]["marketing"] == {
        "cause": "unsubscribe",
        "scope": "channel:2",
        "since": "2026-01-02T03:04:05+00:00",
        "reason": "EmailLink",
    }
    shown = cli("check", "acme", "away@example.com").stdout
    assert "a•••@example.com" in shown
    assert "2026-01-02 03:04:05" in shown
    assert cli("check", "acme", "fine@example.com").stdout.count("open") == 2
    cli("check", "nobody", "fine@example.com", exits=NOT_FOUND)
    cli("check", "acme", "no address", exits=USAGE)


def test_what_is_added_is_removed_again_and_nothing_else(cli: Cli) -> None:
    cli("add", "acme", "cross@example.com", "--reason", "asked [/by] telephone")
    assert "[/by]" in cli("list", "acme").stdout  # a reason is text, not a style
    assert "complaint" in cli("remove", "acme", "cross@example.com").stdout
    told = json.loads(cli("check", "acme", "cross@example.com", "--json").stdout)
    assert {stream: rule["cause"] for stream, rule in told["streams"].items()} == {
        "transactional": "complaint",
        "marketing": "complaint",
    }
    assert "lifted" in cli("check", "acme", "cross@example.com").stdout
    cli("remove", "acme", "cross@example.com", exits=NOT_FOUND)
    cli("remove", "acme", "cross@example.com", "--cause", "complaint", exits=USAGE)
    cli("remove", "acme", "away@example.com", "--cause", "unsubscribe")
    cli("add", "acme", "U1", "--user-id", "--scope", "marketing")
    assert json.loads(cli("check", "acme", "U1", "--user-id", "--json").stdout)["streams"]["transactional"] is None


def test_list_masks_addresses_and_json_does_not(cli: Cli) -> None:
    shown = cli("list", "acme").stdout
    assert "cross@example.com" not in shown
    assert "c•••" in shown
    entries = json.loads(cli("list", "acme", "--json").stdout)
    assert [(one["email"], one["blocks"]) for one in entries] == [
        ("cross@example.com", ["transactional", "marketing"]),
        ("away@example.com", ["marketing"]),
    ]
    assert len(json.loads(cli("list", "acme", "--json", "--cause", "complaint").stdout)) == 1
    assert "--after 1" in cli("list", "acme", "--limit", "1").stdout


def test_an_export_can_be_imported(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    assert "2 written" in cli("export", "acme", str(file)).stdout
    rows = list(csv.DictReader(io.StringIO(cli("export", "acme").stdout)))
    assert [(row["email"], row["cause"]) for row in rows] == [
        ("cross@example.com", "complaint"),
        ("away@example.com", "unsubscribe"),
    ]
    told = json.loads(cli("import", "acme", str(file), "--json").stdout)
    assert told == {"added": 2, "skipped": 0, "bad": 0}
    (imported,) = json.loads(cli("list", "acme", "--json", "--cause", "import", "--limit", "1").stdout)
    assert imported["first_seen_at"] == "2026-01-02T03:04:05Z"
    scopes = [one["scope"] for one in json.loads(cli("list", "acme", "--json", "--cause", "import").stdout)]
    assert sorted(scopes) == sorted(row["scope"] for row in rows)  # none blocks more than it did


def test_an_import_tells_of_bad_lines_and_fails_softly(cli: Cli, tmp_path: Path) -> None:
    file, bad = tmp_path / "in.csv", tmp_path / "bad.txt"
    file.write_text("email\nann@example.com\nnobody\n" * 2)
    result = cli("import", "acme", str(file), "--bad-lines", str(bad), exits=FAILED)
    assert "1 added, 1 were in already, 3 bad lines" in result.stdout
    assert bad.read_text() == "3: not an address\n4: not an address\n6: not an address\n"
    assert "line 3: not an address" in result.stderr
    cli("import", "acme", str(tmp_path / "none.csv"), exits=USAGE)
    for nothing in ("", "email\n"):
        file.write_text(nothing)
        assert "has no row" in cli("import", "acme", str(file), exits=FAILED).stderr
