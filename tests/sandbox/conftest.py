"""A sandbox in this process, on a clock that the test moves, with a receiver for its webhooks."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.app import create_app
from sandbox.clock import ManualClock
from sandbox.settings import SandboxSettings
from tests import swagger

HTML = "<p>Hi {{first_name}}</p><p><a href='https://shop.test/offer'>Offer</a></p>"


@dataclass
class Hook:
    """One webhook request, as it came in."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def name(self) -> str:
        return self.body["eventName"]

    @property
    def fields(self) -> dict[str, Any]:
        return self.body["dataFields"]


@dataclass
class Receiver:
    """Takes webhooks. `statuses` are answered in turn, then 204; a 0 stands for a host that cannot be reached."""

    hooks: list[Hook] = field(default_factory=list[Hook])
    statuses: list[int] = field(default_factory=list[int])

    @property
    def names(self) -> list[str]:
        return [hook.name for hook in self.hooks]

    def app(self) -> Starlette:
        async def take(request: Request) -> Response:
            body = orjson.loads(await request.body())
            self.hooks.append(Hook(request.url.path, dict(request.headers), body))
            status = self.statuses.pop(0) if self.statuses else 204
            if not status:
                raise httpx.ConnectError("refused")
            return Response(status_code=status)

        return Starlette(routes=[Route("/{path:path}", take, methods=["POST"])])


@dataclass
class Project:
    """A project, and its API as a client would call it. Every good call is checked against the API description."""

    sandbox: "Sandbox"
    made: dict[str, Any]

    @property
    def id(self) -> int:
        return self.made["project_id"]

    @property
    def keys(self) -> dict[str, str]:
        return self.made["keys"]

    def type_id(self, name: str) -> int:
        return next(one["id"] for one in self.made["message_types"] if one["name"] == name)

    def channel_id(self, name: str) -> int:
        return next(one["id"] for one in self.made["channels"] if one["name"].startswith(name))

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: Any = None,
        key: str | None = None,
        center: str | None = None,
        checked: bool = True,
    ) -> httpx.Response:
        """`checked=False` for a request that is wrong on purpose."""
        if checked and swagger.available():
            swagger.check_request(method, path, query, body)
        response = await self.sandbox.http.request(
            method,
            f"/{center or self.made['data_center']}{path}",
            params=query,
            json=body,
            headers={"Api-Key": self.keys["server"] if key is None else key},
        )
        if checked and swagger.available():
            is_json = response.headers.get("Content-Type", "").startswith("application/json")
            swagger.check_response(method, path, response.status_code, response.json() if is_json else response.text)
        return response

    async def get(self, path: str, **query: Any) -> Any:
        response = await self.call("GET", path, query=query)
        assert response.status_code == 200, response.text
        return response.json()

    async def post(self, path: str, **body: Any) -> Any:
        response = await self.call("POST", path, body=body)
        assert response.status_code == 200, response.text
        return response.json()

    async def refused(self, path: str, **body: Any) -> tuple[int, str, dict[str, Any]]:
        """Status, code and envelope of a POST that is refused."""
        response = await self.call("POST", path, body=body, checked=False)
        assert response.status_code >= 400, response.text
        return response.status_code, response.json()["code"], response.json()

    async def template(self, client_template_id: str = "welcome", **fields: Any) -> int:
        content = {
            "name": "Welcome",
            "subject": "Hi {{first_name}}",
            "fromEmail": "hello@acme.test",
            "html": HTML,
            "messageTypeId": self.type_id("Transactional"),
        }
        answer = await self.post(
            "/api/templates/email/upsert", clientTemplateId=client_template_id, **{**content, **fields}
        )
        return int(answer["msg"].rpartition(" ")[2])

    async def campaign(self, client_template_id: str = "welcome", *, name: str = "Welcome", **fields: Any) -> int:
        """A triggered campaign that runs."""
        template_id = await self.template(client_template_id, **fields)
        campaign_id = (await self.post("/api/campaigns/create", name=name, templateId=template_id))["campaignId"]
        await self.sandbox.clock.advance(1)
        await self.post("/api/campaigns/activateTriggered", campaignId=campaign_id)
        await self.sandbox.clock.advance(1)
        return campaign_id

    async def target(self, campaign_id: int, email: str = "ann@example.com", **fields: Any) -> Any:
        return await self.post("/api/email/target", campaignId=campaign_id, recipientEmail=email, **fields)

    async def outbox(self, **query: Any) -> list[dict[str, Any]]:
        answer = await self.sandbox.http.get("/_sandbox/outbox", params={"project_id": self.id, **query})
        return answer.json()["messages"]

    async def counts(self) -> dict[str, Any]:
        return (await self.sandbox.http.get("/_sandbox/counts", params={"project_id": self.id})).json()

    async def change(self, **settings: Any) -> dict[str, Any]:
        response = await self.sandbox.http.patch(f"/_sandbox/projects/{self.id}", json=settings)
        assert response.status_code == 200, response.text
        return response.json()

    async def hook(self, endpoint: str = "https://hooks.test/in", **spec: Any) -> int:
        response = await self.sandbox.http.post(
            f"/_sandbox/projects/{self.id}/webhooks", json={"endpoint": endpoint, **spec}
        )
        assert response.status_code == 201, response.text
        return response.json()["id"]


@dataclass
class Sandbox:
    http: httpx.AsyncClient
    clock: ManualClock
    receiver: Receiver

    async def project(self, **spec: Any) -> Project:
        response = await self.http.post("/_sandbox/projects", json={"name": "Acme", **spec})
        assert response.status_code == 201, response.text
        return Project(self, response.json())

    async def fault(self, path: str, kind: str, **spec: Any) -> int:
        response = await self.http.post("/_sandbox/faults", json={"path": path, "kind": kind, **spec})
        assert response.status_code == 201, response.text
        return response.json()["id"]


@pytest.fixture
async def sandbox() -> AsyncGenerator[Sandbox]:
    clock, receiver = ManualClock(), Receiver()
    transport = httpx.ASGITransport(receiver.app())
    app = create_app(SandboxSettings(clock=clock, seed=7, webhook_transport=transport))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sandbox.test") as http:
        yield Sandbox(http, clock, receiver)
    await app.state.world.close()


@pytest.fixture
async def project(sandbox: Sandbox) -> Project:
    """A hybrid project in the US."""
    return await sandbox.project()
