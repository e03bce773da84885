"""The embedded development stack: Temporal with its UI, sandbox, worker and endpoint, as child processes."""

import fcntl
import os
import shutil
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe
from typing import IO
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from cli.connection import Connection
from contracts.attributes import SEARCH_ATTRIBUTES
from contracts.connector import ConnectorSettings
from contracts.names import connector_workflow_id
from endpoint.administration import Administration, Installed
from endpoint.tokens import HEADER
from runtime.settings import Settings
from runtime.temporal import connect
from sandbox.stack import Stack, free_port
from store.keyring import create_key_file
from store.migrate import migrate
from store.store import Store

Tell = Callable[[str], None]
_PORTS = {"temporal": 7233, "temporal ui": 8233, "sandbox": 8800, "endpoint": 8700}


@dataclass(frozen=True)
class Addresses:
    """Where the parts listen, on this machine only."""

    temporal: str
    temporal_ui: str
    sandbox: str
    endpoint: str

    def run_url(self, workflow_id: str, run_id: str) -> str:
        """A run in the Temporal UI."""
        return f"{self.temporal_ui}/namespaces/default/workflows/{quote(workflow_id, safe='')}/{run_id}"


@dataclass(frozen=True)
class Development:
    """A running stack."""

    addresses: Addresses
    settings: Settings
    environment: dict[str, str]
    connection: Connection
    stack: Stack


@dataclass(frozen=True)
class Workspace:
    """A workspace that is installed against a project of the sandbox."""

    workspace_id: str
    project_id: str
    installed: Installed


@asynccontextmanager
async def development_stack(
    folder: Path, tell: Tell, temporal_database: Path | None = None, *, encrypt: bool = False
) -> AsyncGenerator[Development]:
    """Starts everything, fresh: what an earlier stack left in `folder` is removed. Ends every child on leaving.

    `temporal_database` keeps Temporal's state in a file, so that its server can be restarted; in memory it is faster.
    Such a stack takes ports of its own: on the usual ones another stack could answer while a child is restarted.
    Payloads are plain unless `encrypt` is set, so that `temporal workflow show` and clients in other languages just
    work; the Temporal UI shows both.
    """
    lock = _claim(folder)
    key_file = _fresh(folder)
    ports = {name: free_port(0 if temporal_database else preferred, name) for name, preferred in _PORTS.items()}
    for name, preferred in _PORTS.items():
        if ports[name] != preferred and not temporal_database:
            tell(f"port {preferred} ({name}) is taken; using {ports[name]}")
    addresses = Addresses(
        temporal=f"127.0.0.1:{ports['temporal']}",
        temporal_ui=f"http://127.0.0.1:{ports['temporal ui']}",
        sandbox=f"http://127.0.0.1:{ports['sandbox']}",
        endpoint=f"http://127.0.0.1:{ports['endpoint']}",
    )
    ours = {
        "CONNECTOR_DATABASE_URL": f"sqlite+aiosqlite:///{folder / 'connector.db'}",
        "CONNECTOR_MASTER_KEY_FILE": str(key_file),
        "CONNECTOR_ADMIN_TOKEN": token_urlsafe(24),
        "CONNECTOR_PUBLIC_URL": addresses.endpoint,
        "CONNECTOR_ASSETS_STORE": str(folder / "assets"),
        "CONNECTOR_ITERABLE_US_URL": f"{addresses.sandbox}/us",
        "CONNECTOR_ITERABLE_EU_URL": f"{addresses.sandbox}/eu",
        "CONNECTOR_AUDIENCE_ROOTS": str(Path.cwd()),
        "CONNECTOR_TEMPORAL_UI_URL": addresses.temporal_ui,
        "CONNECTOR_ENCRYPT_PAYLOADS": str(encrypt).lower(),
        "CONNECTOR_CODEC_OPEN": "true",  # this UI has nobody who could log in, and so no token to pass
        "TEMPORAL_ADDRESS": addresses.temporal,
        "TEMPORAL_NAMESPACE": "default",
    }
    if encrypt:  # for the `temporal` command
        ours |= {
            "TEMPORAL_CODEC_ENDPOINT": f"{addresses.endpoint}/codec",
            "TEMPORAL_CODEC_AUTH": f"Bearer {ours['CONNECTOR_ADMIN_TOKEN']}",
        }
    os.environ.update(ours)  # for this process's own client and settings
    environment = {**os.environ, **ours}
    settings = Settings()
    await migrate(settings.database_url)
    async with Stack(folder / "logs") as stack:
        tell("starting Temporal, the Iterable sandbox, the worker and the endpoint")
        await stack.start(
            "temporal", _temporal(ports, addresses, temporal_database), ready=_temporal_answers, env=environment
        )
        python = sys.executable
        await stack.start(
            "sandbox",
            [python, "-m", "sandbox", "--port", str(ports["sandbox"])],
            ready=f"{addresses.sandbox}/healthz",
            env=environment,
        )
        await stack.start(
            "endpoint",
            [python, "-m", "endpoint", "--port", str(ports["endpoint"])],
            ready=f"{addresses.endpoint}/readyz",
            env=environment,
        )
        await stack.start("worker", [python, "-m", "worker"], env=environment)
        store = await Store.open(settings.database_url, settings.keyring())
        try:
            connection = Connection(settings, store, await connect(settings))
            yield Development(addresses, settings, environment, connection, stack)
        finally:
            await store.close()
    lock.close()


class StackInUse(Exception):
    """Another stack lives in this folder."""


def _claim(folder: Path) -> IO[str]:
    """Keeps the folder for this process; the kernel gives it back however the process ends."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_suffix(".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StackInUse(f"another stack runs in {folder}: stop it first, or use another clone") from None
    return lock


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    key_file = folder / "master.key"
    create_key_file(key_file)
    return key_file


def _temporal(ports: dict[str, int], addresses: Addresses, database: Path | None) -> list[str]:
    command = [
        str(Path(sys.executable).parent / "temporal"),
        *("server", "start-dev", "--ip", "127.0.0.1", "--log-level", "error"),
        *("--port", str(ports["temporal"]), "--ui-port", str(ports["temporal ui"])),
        *("--ui-codec-endpoint", f"{addresses.endpoint}/codec"),
        # One shard serves this whole server: at the default of 20 reads a second every step of a run waits for 50 ms.
        *("--dynamic-config-value", "history.transferProcessorMaxPollRPS=500"),
        *("--dynamic-config-value", "matching.enableFairness=true"),  # workspaces take turns; priority is on by default
    ]
    for name in SEARCH_ATTRIBUTES:
        command += ["--search-attribute", f"{name}=Keyword"]
    return command if database is None else [*command, "--db-filename", str(database)]


async def _temporal_answers() -> bool:
    try:
        client = await connect()
        return await client.service_client.check_health()
    except RuntimeError:
        return False


async def install_against_sandbox(
    development: Development, workspace_id: str, *, settings: dict[str, object] | None = None
) -> Workspace:
    """A project in the sandbox, a connector for it with all that any command needs, and the project's webhook pointed
    at the endpoint."""
    base = f"{development.addresses.sandbox}/_sandbox"
    async with httpx.AsyncClient(timeout=10) as sandbox:
        answer = await sandbox.post(
            f"{base}/projects", json={"name": workspace_id, "data_center": "us", "type": "hybrid"}
        )
        project = answer.raise_for_status().json()
        kinds = {kind["name"].lower(): kind["id"] for kind in project["message_types"]}
        everybody = await sandbox.post(
            f"{development.addresses.sandbox}/us/api/lists",
            headers={"Api-Key": project["keys"]["server"]},
            json={"name": "Everybody"},
        )
        wanted = ConnectorSettings.model_validate(
            {
                "data_center": "us",
                "project_type": "hybrid",
                "transactional_message_type_id": kinds["transactional"],
                "marketing_message_type_id": kinds["marketing"],
                "all_list_id": everybody.raise_for_status().json()["listId"],
                "default_from_email": "hello@acme.test",
                **(settings or {}),
            }
        )
        connection = development.connection
        admin = Administration(connection.store, connection.temporal, connection.settings.task_queue)
        installed = await admin.install(workspace_id, wanted, SecretStr(project["keys"]["server"]))
        webhook = await sandbox.post(
            f"{base}/projects/{project['project_id']}/webhooks",
            json={
                "endpoint": f"{development.addresses.endpoint}/webhooks/iterable/{workspace_id}",
                "headers": [{"key": HEADER, "value": installed.webhook_token}],
            },
        )
        webhook.raise_for_status()
        await connection.temporal.get_workflow_handle(connector_workflow_id(workspace_id)).signal("look")
    return Workspace(workspace_id, str(project["project_id"]), installed)
