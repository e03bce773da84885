"""Traces by OpenTelemetry: requests, the runs they start, activities and calls of Iterable in one tree.

Where traces go is OpenTelemetry's own configuration (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_RESOURCE_ATTRIBUTES` …). A
span has ids and path templates. The libraries' own instrumentations of HTTP note whole URLs, and errors with their
tracebacks: there are addresses in those, so requests and calls are noted here, and exceptions are left out.
"""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager

from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from temporalio.contrib.opentelemetry import TracingInterceptor

from iterable.calls import CallRecord
from runtime.logging import scrub

_NAME = "genieos.iterable"


class Tracing:
    """Of one process. Close it at the end, or the last spans are lost."""

    def __init__(self, service: str, exporter: SpanExporter) -> None:
        self._provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}))
        self._provider.add_span_processor(BatchSpanProcessor(Scrubbing(exporter)))
        self._tracer = self._provider.get_tracer(_NAME)
        self.interceptor = TracingInterceptor(self._tracer, always_create_workflow_spans=True)
        """For the client of Temporal. Runs that somebody without traces started have some too."""
        self.middleware = Middleware(TracedRequests, self)
        """For the endpoint."""

    def call(self, record: CallRecord) -> None:
        """One call of the Iterable API, once it is over."""
        end = time.time_ns()
        span = self._tracer.start_span(
            record.operation,
            kind=SpanKind.CLIENT,
            start_time=end - int(record.duration_ms * 1_000_000),
            attributes={
                "outcome": record.outcome,
                "http.response.status_code": record.status or 0,
                "iterable.code": record.code or "",
                "iterable.request_id": record.request_id or "",
            },
        )
        if record.outcome != "taken":
            span.set_status(Status(StatusCode.ERROR, record.outcome))
        span.end(end)

    def request(self, scope: Scope) -> AbstractContextManager[Span]:
        """A span around one request to the endpoint, below the caller's where it sent a `traceparent`."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        return self._tracer.start_as_current_span(
            scope["method"], context=extract(headers), kind=SpanKind.SERVER, record_exception=False
        )

    def close(self) -> None:
        """Sends what is left."""
        self._provider.shutdown()


class TracedRequests:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; the span is named by the route, not by the path."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._tracing.request(scope) as span:

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            await self._app(scope, receive, noting)
            route = getattr(scope.get("route"), "path", None)
            if route:
                span.update_name(f"{scope['method']} {route}")


class Scrubbing(SpanExporter):
    """Passes spans on without exceptions, and without what looks like an address in what is said of an error."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """OpenTelemetry's hook."""
        return self._exporter.export([_scrubbed(span) for span in spans])

    def shutdown(self) -> None:
        """OpenTelemetry's hook."""
        self._exporter.shutdown()


def _scrubbed(span: ReadableSpan) -> ReadableSpan:
    described = span.status.description
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes,
        links=span.links,
        kind=span.kind,
        instrumentation_scope=span.instrumentation_scope,
        status=Status(span.status.status_code, None if described is None else scrub(described)),
        start_time=span.start_time,
        end_time=span.end_time,
    )
