"""Traces for an OpenTelemetry collector, on when OTEL_EXPORTER_OTLP_ENDPOINT is set.

The spans are our own: those of OpenTelemetry's instrumentations have addresses in them, and so names of models.
"""

from typing import Any

import structlog
from django.conf import settings

from components.version import VERSION
from mirror import tracing

logger = structlog.get_logger(__name__)


def start() -> Any:
    """For each process, when Django is set up. Returns the provider, or None where no traces are wanted."""
    if not settings.TRACES_ENDPOINT:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        logger.warning("tracing.not_installed", error=str(error))
        return None
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before it.
    resource = Resource({"service.name": "countersign", "service.version": VERSION}).merge(Resource.create())
    if resource.attributes.get("service.name") == "unknown_service":
        resource = resource.merge(Resource({"service.name": "countersign"}))
    provider = TracerProvider(resource=resource)
    # In the background: no one waits for the collector. It survives gunicorn's forks.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{settings.TRACES_ENDPOINT}/v1/traces")))
    tracing.use(provider.get_tracer("countersign", VERSION))
    return provider
