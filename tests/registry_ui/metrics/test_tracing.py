"""One trace from the click that approves to the delivery, as a collector on loopback gets it."""

import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.test import Client
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from accounts.models import User
from approvals import delivery
from approvals.models import OutboxEntry, Target
from mirror import calls, tracing
from registry_ui.metrics import tracing as started
from tests.support import world

pytestmark = pytest.mark.django_db


class Collector:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self.flush: Callable[[], bool] = bool
        raw = self.raw

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                raw.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def spans(self) -> list[Any]:
        found = []
        for each in self.raw:
            for resource in ExportTraceServiceRequest.FromString(each).resource_spans:
                assert {"service.name"} <= {item.key for item in resource.resource.attributes}
                found += [span for scope in resource.scope_spans for span in scope.spans]
        return found


@pytest.fixture
def collector(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    found = Collector()
    settings.TRACES_ENDPOINT = f"http://127.0.0.1:{found.server.server_port}"
    provider = started.start()
    found.flush = provider.force_flush
    yield found
    tracing.use(None)
    provider.shutdown()
    found.server.shutdown()
    found.server.server_close()


def attributes(span: Any) -> dict[str, Any]:
    return {item.key: item.value.string_value or item.value.int_value for item in span.attributes}


def test_the_delivery_continues_the_trace_of_the_approving_click(
    collector: Collector, client: Client, rita: User, remy: User, staging: Target
) -> None:
    registry = world.make_registry()
    asked = world.ask(registry, 1, staging, by=rita)
    client.force_login(remy)
    page = client.get(f"/requests/{asked.pk}/").content.decode()
    [fingerprint] = set(re.findall(r'name="fingerprint" value="([^"]+)"', page))
    fields = {"verdict": "approve", "comment": "Better on every segment.", "fingerprint": fingerprint}
    assert client.post(f"/requests/{asked.pk}/review/", fields).status_code == 302
    entry = OutboxEntry.objects.get()
    assert delivery.deliver(entry.pk, calls.told(registry)) == "applied"
    collector.flush()

    by_name = {span.name: span for span in collector.spans}
    click, delivered = by_name["POST approvals:request_review"], by_name["delivery"]
    moved = next(span for span in collector.spans if span.name in ("mlflow set_stage", "mlflow set_alias"))
    assert delivered.trace_id == click.trace_id == moved.trace_id
    assert delivered.parent_span_id == click.span_id
    assert moved.parent_span_id == delivered.span_id
    assert not click.parent_span_id
    assert by_name["GET approvals:request"].trace_id != click.trace_id
    for span in (click, delivered):
        told = attributes(span)
        assert told["countersign.request"] == asked.pk
        assert told["countersign.correlation_id"] == str(asked.correlation_id)
    assert attributes(delivered)["countersign.outcome"] == "applied"
    names = [remy.email, remy.get_full_name(), asked.version.model.name, staging.name]
    assert [name for name in names if any(name.encode() in each for each in collector.raw)] == []


def test_without_a_collector_nothing_is_kept_or_sent(
    settings: Any, rita: User, remy: User, staging: Target, client: Client
) -> None:
    settings.TRACES_ENDPOINT = ""
    assert started.start() is None
    with tracing.span("nothing") as none:
        assert (none, tracing.traceparent()) == (None, "")
    tracing.note(request=1)
    tracing.past("nothing", 1.0)
