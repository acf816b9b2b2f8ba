"""Spans of OpenTelemetry, where an installation has a collector (`registry_ui.metrics.tracing`); elsewhere nothing is
imported and nothing happens. Spans carry numbers and what came of things, never names of models or people."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Tracing:
    tracer: Any = None


def use(tracer: Any) -> None:
    """From here on spans go there; None: nowhere."""
    _Tracing.tracer = tracer


@contextmanager
def span(name: str, *, parent: str = "", **attributes: Any) -> Iterator[Any]:
    """One span, the current one meanwhile; None where there is no tracing. `parent` is a `traceparent`, where the span
    continues what another process began."""
    if _Tracing.tracer is None:
        yield None
        return
    context = _propagator().extract({"traceparent": parent}) if parent else None
    # What an error says may name anything.
    silent = {"record_exception": False, "set_status_on_exception": False}
    with _Tracing.tracer.start_as_current_span(name, context=context, attributes=_told(attributes), **silent) as found:
        yield found


def past(name: str, seconds: float, **attributes: Any) -> None:
    """A span that has just ended, below the current one."""
    if _Tracing.tracer is None:
        return
    end = time.time_ns()
    began = _Tracing.tracer.start_span(name, start_time=end - int(seconds * 1e9), attributes=_told(attributes))
    began.end(end)


def note(**attributes: Any) -> None:
    """On the current span."""
    if _Tracing.tracer is not None:
        from opentelemetry import trace  # noqa: PLC0415 -- where it is used alone

        trace.get_current_span().set_attributes(_told(attributes))


def traceparent() -> str:
    """By which what follows from the current span continues its trace; "" where there is none."""
    carrier: dict[str, str] = {}
    if _Tracing.tracer is not None:
        _propagator().inject(carrier)
    return carrier.get("traceparent", "")


def _told(attributes: dict[str, Any]) -> dict[str, Any]:
    return {f"countersign.{name}": value for name, value in attributes.items()}


def _propagator() -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    return TraceContextTextMapPropagator()
