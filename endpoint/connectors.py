"""What an admin does with a connector, for GenieOS's own settings page: as the `connector` command does it."""

import asyncio
from collections.abc import Awaitable
from datetime import datetime
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from contracts.connector import ConnectorSettings, ConnectorStatus
from contracts.errors import ApiCode
from contracts.finding import Finding
from contracts.install import TestReport, TestRequest, UninstallRequest
from contracts.model import WorkspaceId
from contracts.names import WEBHOOK_TOKEN_HEADER, webhook_url
from endpoint.administration import Administration
from endpoint.problems import ADMIN_RESPONSES, NOT_INSTALLED, Problem
from store.store import Store

T = TypeVar("T")

_PATIENCE_SECONDS = 150
"""Longer than a check may take. A worker that is not there would keep the request for ever."""

ApiKey = Annotated[SecretStr, Field(min_length=1, max_length=200)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class InstallBody(_Body):
    """Settings that are to come into force, and the key that goes with them; without a key the one in force stays."""

    settings: ConnectorSettings
    api_key: ApiKey | None = None
    new_webhook_token: bool = False


class KeyBody(_Body):
    """A server-side key of the same Iterable project."""

    api_key: ApiKey


class InstalledBody(BaseModel):
    """`webhook_token` is there where a new one was made, and this once."""

    status: ConnectorStatus
    webhook_url: str | None
    webhook_header: str = WEBHOOK_TOKEN_HEADER
    webhook_token: str | None


class NewTokenBody(BaseModel):
    """`webhook_token` is there this once."""

    webhook_url: str | None
    webhook_header: str = WEBHOOK_TOKEN_HEADER
    webhook_token: str
    old_valid_until: datetime
    webhook: Finding


class StartedTest(BaseModel):
    """A test that runs: its report will be at `…/connector/test/{test_id}`."""

    test_id: str


def routes(store: Store, administration: Administration, public_url: str | None) -> APIRouter:
    """Everything about one connector."""
    router = APIRouter(prefix="/v1/workspaces/{workspace_id}/connector", tags=["connector"], responses=ADMIN_RESPONSES)

    @router.get("")
    async def status(workspace_id: WorkspaceId) -> ConnectorStatus:  # pyright: ignore[reportUnusedFunction]
        """Where it stands, what is in force, and what the last look at it found."""
        async with store.read() as tx:
            row = await tx.connectors.get(workspace_id)
        if row is None:
            raise NOT_INSTALLED
        return row.status()

    @router.put("")
    async def install(workspace_id: WorkspaceId, body: InstallBody) -> InstalledBody:  # pyright: ignore[reportUnusedFunction]
        """Installs the connector, or changes its settings. All is checked together; refused, all stays as it was."""
        done = await _soon(
            administration.install(workspace_id, body.settings, body.api_key, new_webhook_token=body.new_webhook_token)
        )
        return InstalledBody(
            status=done.status,
            webhook_url=webhook_url(public_url, workspace_id),
            webhook_token=done.webhook_token,
        )

    @router.delete("")
    async def uninstall(  # pyright: ignore[reportUnusedFunction]
        workspace_id: WorkspaceId, request: Annotated[UninstallRequest, Query()]
    ) -> ConnectorStatus:
        """Stops new sends, for good. The rest (sends under way, campaigns, the key) goes on by itself."""
        return await _soon(administration.uninstall(workspace_id, request))

    @router.post("/pause")
    async def pause(workspace_id: WorkspaceId) -> ConnectorStatus:  # pyright: ignore[reportUnusedFunction]
        """Refuses new sends with `connector_disabled` until it is resumed."""
        return await _soon(administration.pause(workspace_id))

    @router.post("/resume")
    async def resume(workspace_id: WorkspaceId) -> ConnectorStatus:  # pyright: ignore[reportUnusedFunction]
        """Takes new sends again."""
        return await _soon(administration.resume(workspace_id))

    @router.post("/api-key")
    async def rotate_api_key(workspace_id: WorkspaceId, body: KeyBody) -> ConnectorStatus:  # pyright: ignore[reportUnusedFunction]
        """Puts another key into force once it has passed the checks."""
        return await _soon(administration.rotate_api_key(workspace_id, body.api_key))

    @router.post("/webhook-token")
    async def rotate_webhook_token(workspace_id: WorkspaceId) -> NewTokenBody:  # pyright: ignore[reportUnusedFunction]
        """Makes another webhook token and tells Iterable; the old one stays valid for the time that is set."""
        done = await _soon(administration.rotate_webhook_token(workspace_id))
        return NewTokenBody(
            webhook_url=webhook_url(public_url, workspace_id),
            webhook_token=done.webhook_token,
            old_valid_until=done.rotated.old_valid_until,
            webhook=done.rotated.webhook,
        )

    @router.post("/test", status_code=202)
    async def test(workspace_id: WorkspaceId, request: TestRequest) -> StartedTest:  # pyright: ignore[reportUnusedFunction]
        """Starts a connector test. Iterable has no sandbox: with `send_to`, a real message goes out."""
        return StartedTest(test_id=await _soon(administration.start_test(workspace_id, request)))

    @router.get("/test/{test_id}", responses={202: {"model": StartedTest, "description": "It still runs."}})
    async def test_report(workspace_id: WorkspaceId, test_id: str, response: Response) -> TestReport | StartedTest:  # pyright: ignore[reportUnusedFunction]
        """The report of a test, once it is over."""
        report = await administration.test_report(workspace_id, test_id)
        if report is None:
            raise Problem(404, ApiCode.NOT_FOUND, "There is no such test, or it is too long ago.")
        if report == "running":
            response.status_code = 202
            return StartedTest(test_id=test_id)
        return report

    return router


async def _soon(step: Awaitable[T]) -> T:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        return await step
