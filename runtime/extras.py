"""What is imported only where it is wanted, because not everybody installs it."""

from typing import TYPE_CHECKING

from runtime.settings import Settings

if TYPE_CHECKING:
    from runtime.tracing import Tracing


def tracing(settings: Settings, service: str) -> "Tracing | None":
    """This process's traces, None where they are off. Raises `RuntimeError` where they cannot be."""
    if not settings.traces:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        from runtime.tracing import Tracing  # noqa: PLC0415
    except ImportError:
        raise RuntimeError("CONNECTOR_TRACES needs the extra: genieos-iterable-connector[tracing]") from None
    return Tracing(service, OTLPSpanExporter())
