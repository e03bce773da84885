"""A stage for whole stories: a real Temporal server, sandbox and endpoint on real ports, workers in this process.

What a story needs to see is at hand: the sandbox's outbox and counts (the judge), the store, a Temporal client.
"""

import asyncio
import socket
import sys
import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.converter import DataConverter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.connectors import InstalledConnectors
from contracts.attributes import SEARCH_ATTRIBUTES
from contracts.connector import ConnectorSettings
from contracts.send import Recipient, SendRequest
from contracts.shadow import Shadow
from contracts.target import Pace, PreparedSend
from contracts.template import Stream, Template
from endpoint.administration import Administration
from endpoint.app import create_app
from endpoint.tokens import HEADER
from runtime.clients import client_factory
from runtime.converter import data_converter
from runtime.metrics import WorkerMetrics
from runtime.serving import Server
from runtime.settings import Settings
from runtime.temporal import converter_of, make_runtime
from sandbox.app import create_app as create_sandbox
from sandbox.settings import SandboxSettings
from sandbox.stack import free_port
from store.keyring import Keyring, new_key_text, parse_keys
from store.migrate import migrate
from store.store import Store
from tests.histories import recording
from worker import at_work, make_workers

PATIENT = {"settle_for_seconds": 20}
"""For a send whose last event settles it: that ends its run at once, however slow the machine is before."""
TEMPLATE = Template(
    template_id="tpl_welcome",
    name="Welcome",
    subject="Hi {{first_name}}",
    html="<html><body><p>Hi {{first_name}}, order {{order.number}}</p></body></html>",
    text="Hi {{first_name}}",
    from_email="hello@acme.test",
    from_name="Acme",
)


def known_content(settings: ConnectorSettings, stream: Stream) -> PreparedSend:
    """What `fingerprint_template` answers where the content has its shadow."""
    return PreparedSend(
        fingerprint="f" * 64,
        template_ref="a" * 64,
        message_type_id=1,
        recipient_hash="hash",
        pace=Pace.of(settings, stream),
        shadow=Shadow(template_id=1, campaign_id=2),
    )


@asynccontextmanager
async def served(app: Starlette, **options: Any) -> AsyncGenerator[str]:
    """The app on a real port; its base URL."""
    listener = socket.socket(proto=socket.IPPROTO_TCP)  # asyncio switches Nagle's delay off only where it says TCP
    listener.bind(("127.0.0.1", 0))
    # The server's five seconds are the client's too: it would close idle connections on requests under way.
    options = {"timeout_graceful_shutdown": 3, "timeout_keep_alive": 75, **options}
    server = Server(uvicorn.Config(app, log_config=None, access_log=False, **options))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
        if task.done():
            task.result()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def temporal_server(
    metrics_address: str | None = None,
    converter: DataConverter = data_converter,
    database: Path | None = None,
) -> AsyncGenerator[Client]:
    """A dev server that knows our search attributes, in memory or in a file. Workers with its client answer `/metrics`
    at the address."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(Path(sys.executable).parent / "temporal"),
        search_attributes=[SearchAttributeKey.for_keyword(name) for name in SEARCH_ATTRIBUTES],
        data_converter=converter,
        runtime=make_runtime(metrics_address),
        dev_server_database_filename=None if database is None else str(database),
        dev_server_log_level="error",
        # A twentieth of the default: what continues as new does so while somebody watches.
        dev_server_extra_args=["--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=200"],
    ) as environment:
        yield environment.client


@dataclass
class Project:
    """A workspace installed against a project of the sandbox."""

    stage: "Stage"
    workspace_id: str
    project_id: str
    keys: dict[str, str]
    webhook_token: str
    message_types: dict[str, int]

    def request(self, email: str = "ann@example.com", **changes: Any) -> SendRequest:
        """A good request; `changes` replace its fields."""
        return SendRequest.model_validate(
            {
                "workspace_id": self.workspace_id,
                "send_id": f"snd_{uuid.uuid4().hex[:12]}",
                "template": TEMPLATE,
                "recipient": Recipient(email=email),
                "data": {"first_name": "Ann", "order": {"number": 7}},
                **changes,
            }
        )

    async def outbox(self) -> list[dict[str, Any]]:
        """Every message of the project, as rendered."""
        answer = await self.stage.sandbox_http.get("/_sandbox/outbox", params={"project_id": self.project_id})
        return answer.raise_for_status().json()["messages"]

    async def counts(self) -> dict[str, Any]:
        """What the project was asked for and what it made."""
        answer = await self.stage.sandbox_http.get("/_sandbox/counts", params={"project_id": self.project_id})
        return answer.raise_for_status().json()

    async def change(self, **settings: Any) -> None:
        """Changes the sandbox's project."""
        answer = await self.stage.sandbox_http.patch(f"/_sandbox/projects/{self.project_id}", json=settings)
        answer.raise_for_status()

    async def deliver(self, **settings: Any) -> None:
        """Changes how the project's webhooks are delivered."""
        answer = await self.stage.sandbox_http.put(f"/_sandbox/projects/{self.project_id}/delivery", json=settings)
        answer.raise_for_status()

    async def fault(self, path: str, kind: str, **options: Any) -> None:
        """Switches a fault on for this project."""
        answer = await self.stage.sandbox_http.post(
            "/_sandbox/faults", json={"project_id": self.project_id, "path": path, "kind": kind, **options}
        )
        answer.raise_for_status()


@dataclass
class Stage:
    """Everything that runs."""

    client: Client
    store: Store
    settings: Settings
    sandbox_url: str
    endpoint_url: str
    sandbox_http: httpx.AsyncClient
    endpoint_http: httpx.AsyncClient
    keyring: Keyring
    folder: Path
    worker_metrics_url: str
    stories: dict[str, str] = field(default_factory=dict)
    """Which test each workspace belongs to."""

    @property
    def admin(self) -> Administration:
        """What the command line and the API do through."""
        return Administration(self.store, self.client, self.settings.task_queue)

    async def new_project(
        self, *, data_center: str = "us", type_: str = "hybrid", settings: dict[str, Any] | None = None, **sandbox: Any
    ) -> Project:
        """A fresh workspace on a fresh project, installed, with its webhook set up."""
        workspace_id = f"ws-{uuid.uuid4().hex[:8]}"
        self.stories[workspace_id] = recording.current_story()
        body = {"name": workspace_id, "data_center": data_center, "type": type_, **sandbox}
        answer = await self.sandbox_http.post("/_sandbox/projects", json=body)
        made = answer.raise_for_status().json()
        kinds = {kind["name"].lower(): kind["id"] for kind in made["message_types"]}
        wanted = {
            "data_center": data_center,
            "project_type": type_,
            "transactional_message_type_id": kinds["transactional"],
            "marketing_message_type_id": kinds["marketing"],
            "settle_for_seconds": 1,
            "confirm_within_seconds": 15,
            "profile_wait_seconds": 1,
            "reconcile_within_seconds": 10,
            "evidence_every_seconds": 1,
            "evidence_after_seconds": 2,
            "give_up_after_seconds": 60,
            "activation_wait_seconds": 0,
            "default_from_email": "hello@acme.test",
            **(settings or {}),
        }
        installed = await self.admin.install(
            workspace_id, ConnectorSettings.model_validate(wanted), SecretStr(made["keys"]["server"])
        )
        token = installed.webhook_token or ""
        answer = await self.sandbox_http.post(
            f"/_sandbox/projects/{made['project_id']}/webhooks",
            json={
                "endpoint": f"{self.endpoint_url}/webhooks/iterable/{workspace_id}",
                "headers": [{"key": HEADER, "value": token}],
            },
        )
        answer.raise_for_status()
        return Project(self, workspace_id, str(made["project_id"]), made["keys"], token, kinds)


@asynccontextmanager
async def stage(
    folder: Path,
    sandbox: SandboxSettings | None = None,
    *,
    encrypt: bool = False,
    temporal_database: Path | None = None,
    database_url: str | None = None,
) -> AsyncGenerator[Stage]:
    """Builds everything, and takes it down in reverse."""
    async with AsyncExitStack() as stack:
        metrics_address = f"127.0.0.1:{free_port(0, 'metrics')}"
        keys = new_key_text()
        sandbox_url = await stack.enter_async_context(served(create_sandbox(sandbox)))
        keyring = Keyring(parse_keys(keys))
        settings = Settings(
            master_key=SecretStr(keys),
            encrypt_payloads=encrypt,
            database_url=database_url or f"sqlite+aiosqlite:///{folder / 'connector.db'}",
            admin_token=SecretStr("admin-token"),
            iterable_us_url=f"{sandbox_url}/us",
            iterable_eu_url=f"{sandbox_url}/eu",
            push_allow_private=True,
            audience_allow_private=True,
            least_evidence_after_seconds=0,
            assets_store=str(folder / "assets"),
            audience_roots=[folder],
            broadcast_page_seconds=2,
        )
        await migrate(settings.database_url)
        store = await Store.open(settings.database_url, keyring)
        stack.push_async_callback(store.close)
        client = await stack.enter_async_context(
            temporal_server(metrics_address, converter_of(settings, store), temporal_database)
        )
        endpoint_url = await stack.enter_async_context(served(create_app(store, client, settings)))
        settings.public_url = endpoint_url
        metrics = WorkerMetrics(make_runtime(metrics_address).metric_meter)
        connectors = InstalledConnectors(store, client_factory(settings, metrics.call))
        stack.push_async_callback(connectors.close)
        workers = make_workers(client, store, connectors, settings, metrics, SandboxedWorkflowRunner())
        await stack.enter_async_context(at_work(workers))
        sandbox_http = await stack.enter_async_context(httpx.AsyncClient(base_url=sandbox_url, timeout=30))
        endpoint_http = await stack.enter_async_context(httpx.AsyncClient(base_url=endpoint_url, timeout=30))
        metrics_url = f"http://{metrics_address}/metrics"
        built = Stage(
            client,
            store,
            settings,
            sandbox_url,
            endpoint_url,
            sandbox_http,
            endpoint_http,
            keyring,
            folder,
            metrics_url,
        )
        yield built
        if recording.wanted() and not encrypt:
            await recording.record(client, built.stories)
