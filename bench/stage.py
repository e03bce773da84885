"""What the benches share: projects of the sandbox, and how a finding is told."""

import statistics
import uuid
from dataclasses import dataclass

import httpx
from pydantic import SecretStr
from rich.console import Console

from cli.connection import Connection
from contracts.connector import ConnectorSettings
from endpoint.administration import Administration

UNLIMITED = 10_000
"""Sends a second that no machine of ours reaches."""

console = Console(width=140, highlight=False, markup=False)


@dataclass(frozen=True)
class Project:
    """A workspace against a fresh project of the sandbox, without a webhook."""

    workspace_id: str
    project_id: str
    key: str


async def new_project(sandbox: httpx.AsyncClient, connection: Connection, settings: dict[str, object]) -> Project:
    """A project and its connector; it has `settings` besides the message types."""
    name = f"bench-{uuid.uuid4().hex[:6]}"
    answer = await sandbox.post("/_sandbox/projects", json={"name": name, "data_center": "us", "type": "hybrid"})
    made = answer.raise_for_status().json()
    kinds = {kind["name"].lower(): kind["id"] for kind in made["message_types"]}
    wanted = ConnectorSettings.model_validate(
        {
            "data_center": "us",
            "transactional_message_type_id": kinds["transactional"],
            "marketing_message_type_id": kinds["marketing"],
            **settings,
        }
    )
    admin = Administration(connection.store, connection.temporal, connection.settings.task_queue)
    await admin.install(name, wanted, SecretStr(made["keys"]["server"]))
    return Project(name, str(made["project_id"]), made["keys"]["server"])


def say(measure: str, found: str, goal: str = "") -> None:
    """A line as soon as it is known: a run takes minutes."""
    console.print(f"{measure:<46}{found:<56}{goal}")


def p95(values: list[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(values, n=20)[-1]


def quiet(text: str) -> None:
    """What a stack tells while it starts is not what was asked for."""
    del text
