"""JSON Schemas of the contracts, for clients in other languages."""

from pathlib import Path
from typing import Annotated

import orjson
import typer
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from cli.output import FAILED, stop
from contracts.broadcast import (
    AudienceMove,
    AudienceRow,
    BroadcastProgress,
    BroadcastRequest,
    RateChange,
    RecipientPage,
)
from contracts.connector import ConnectorSettings, ConnectorStatus
from contracts.event import TimelinePage
from contracts.install import InstallRequest, RotatedToken, TestReport, TestRequest, TokenRequest, UninstallRequest
from contracts.preview import Preview
from contracts.push import PushedEvents
from contracts.send import CancelAnswer, SendRequest, SendResult
from contracts.shadow import ShadowPage
from contracts.suppression import SuppressionPage, SyncProgress, SyncRequest
from contracts.template import Template

app = typer.Typer()

FOLDER = Path(__file__).parent.parent / "docs" / "contracts"
_GIVEN: tuple[type[BaseModel], ...] = (
    SendRequest,
    Template,
    BroadcastRequest,
    AudienceRow,
    AudienceMove,
    RateChange,
    InstallRequest,
    ConnectorSettings,
    TokenRequest,
    TestRequest,
    UninstallRequest,
    SyncRequest,
)
_TAKEN: tuple[type[BaseModel], ...] = (
    SendResult,
    CancelAnswer,
    TimelinePage,
    PushedEvents,
    ConnectorStatus,
    RotatedToken,
    TestReport,
    SuppressionPage,
    SyncProgress,
    ShadowPage,
    Preview,
    BroadcastProgress,
    RecipientPage,
)


def generate() -> dict[Path, bytes]:
    """Path → content of every schema file."""
    found: dict[Path, bytes] = {}
    sides: tuple[tuple[tuple[type[BaseModel], ...], JsonSchemaMode], ...] = (
        (_GIVEN, "validation"),
        (_TAKEN, "serialization"),
    )
    for models, mode in sides:
        for model in models:
            schema = model.model_json_schema(mode=mode)
            found[FOLDER / f"{model.__name__}.json"] = orjson.dumps(schema, option=orjson.OPT_INDENT_2) + b"\n"
    return found


def drift() -> list[str]:
    """Names of files that are not what the contracts say, and of files that no contract stands behind."""
    wanted = generate()
    stale = [path.name for path, content in wanted.items() if not path.exists() or path.read_bytes() != content]
    return stale + [path.name for path in FOLDER.glob("*.json") if path not in wanted]


def write() -> None:
    """Writes all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, content in generate().items():
        path.write_bytes(content)


@app.command()
def contracts(*, check: Annotated[bool, typer.Option("--check", help="Only report drift.")] = False) -> None:
    """Write the JSON Schemas of the contracts to docs/contracts."""
    if not check:
        write()
        return
    stale = drift()
    if stale:
        stop(FAILED, f"not what the contracts say: {', '.join(stale)}. Run `connector contracts`")
