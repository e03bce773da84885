"""Traces: one tree for what an admin or GenieOS asks for, with nothing personal in it."""

import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_span_id, format_trace_id
from temporalio.client import Client, WorkflowFailureError

from activities.connectors import InstalledConnectors
from cli.sending import start_send
from contracts.send import SendStatus
from endpoint.app import create_app
from runtime.clients import client_factory
from runtime.converter import data_converter
from runtime.extras import tracing
from runtime.settings import Settings
from runtime.tracing import Tracing
from tests.stage import Project, served
from worker import make_workers

pytestmark = pytest.mark.scenario


@asynccontextmanager
async def _traced(project: Project) -> AsyncGenerator[tuple[Client, str, str, InMemorySpanExporter]]:
    """Workers and an endpoint of their own over the stage's Temporal and store, all traced."""
    stage = project.stage
    exporter = InMemorySpanExporter()
    traced = Tracing("test", exporter)
    queue = f"traced-{uuid.uuid4().hex[:8]}"
    settings = stage.settings.model_copy(update={"task_queue": queue})
    async with AsyncExitStack() as stack:
        client = await Client.connect(
            stage.client.service_client.config.target_host,
            data_converter=data_converter,
            interceptors=[traced.interceptor],
        )
        connectors = InstalledConnectors(stage.store, client_factory(settings, traced.call))
        stack.push_async_callback(connectors.close)
        for worker in make_workers(client, stage.store, connectors, settings):
            await stack.enter_async_context(worker)
        url = await stack.enter_async_context(served(create_app(stage.store, client, settings, [traced.middleware])))
        yield client, queue, url, exporter
    traced.close()


def _tree(spans: tuple[ReadableSpan, ...], name: str) -> set[str]:
    """Names of all spans of the trace that the named one belongs to."""
    (trace,) = {span.context.trace_id for span in spans if span.name.startswith(name) and span.context}
    return {span.name for span in spans if span.context and span.context.trace_id == trace}


def _text(spans: tuple[ReadableSpan, ...]) -> str:
    return "".join(span.to_json() for span in spans)


async def test_a_send_is_one_tree_from_its_start_to_the_calls_of_iterable(project: Project) -> None:
    async with _traced(project) as (client, queue, _, exporter):
        handle = await start_send(client, queue, project.request("secret.person@example.com"))
        assert (await handle.result()).status is SendStatus.SENT
    spans = exporter.get_finished_spans()
    names = _tree(spans, "StartWorkflow:SendWorkflow")
    assert {"RunWorkflow:SendWorkflow", "RunActivity:target_recipient", "POST /api/email/target"} <= names
    assert "secret.person" not in _text(spans)


async def test_a_request_to_the_endpoint_continues_the_callers_trace(project: Project) -> None:
    trace, parent = uuid.uuid4().int, uuid.uuid4().int >> 64
    async with _traced(project) as (_, _, url, exporter), httpx.AsyncClient(base_url=url) as http:
        answer = await http.get(
            f"/v1/workspaces/{project.workspace_id}/connector?address=secret.person@example.com",
            headers={
                "Authorization": "Bearer admin-token",
                "traceparent": f"00-{format_trace_id(trace)}-{format_span_id(parent)}-01",
            },
        )
    (span,) = [span for span in exporter.get_finished_spans() if span.kind.name == "SERVER"]
    assert span.context is not None
    assert span.context.trace_id == trace
    assert span.name.startswith("GET /v1/")
    assert project.workspace_id not in span.name
    assert (span.attributes or {})["http.response.status_code"] == answer.status_code
    assert "secret.person" not in span.to_json()


async def test_what_is_said_of_an_error_has_no_address(project: Project) -> None:
    async with _traced(project) as (client, queue, _, exporter):
        bad = project.request("secret.person@example.com", template_ref="0" * 64, template=None)
        handle = await start_send(client, queue, bad)
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    spans = exporter.get_finished_spans()
    assert any(span.status.description for span in spans)
    assert "secret.person" not in _text(spans)
    assert all(not span.events for span in spans)


def test_the_switch_gives_an_exporter_for_opentelemetrys_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    assert tracing(Settings(), "test") is None
    on: Any = tracing(Settings(traces=True), "test")
    assert isinstance(on, Tracing)
    on.close()
