"""A CI service that external checks call, and a request that waits for one."""

import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from accounts.models import User
from approvals.checks import signing
from approvals.models import Action, AuditEvent, CheckResult, PromotionRequest, Target
from approvals.policy import CheckRule
from tests.support.factories import make_policy, make_request, make_version

SECRET = signing.secret_for("ci")
PASS = {"result": "pass", "reason": "All 214 tests passed."}
FAIL = {"result": "fail", "reason": "3 tests failed."}
Behaviour = Callable[[BaseHTTPRequestHandler, bytes], None]
CI = {"name": "ci", "timeout_seconds": 1, "deadline_minutes": 30, "attempts": 3}


class Service:
    """A CI service on loopback. `behave` is what it does with a call; `calls` are the headers and bodies it got."""

    def __init__(self) -> None:
        self.calls: list[tuple[dict[str, str], bytes]] = []
        self.behave: Behaviour = says(200, PASS)
        self.is_over = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.calls.append(({name.lower(): value for name, value in self.headers.items()}, body))
                service.behave(self, body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/check?branch=main"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def wrap(self, context: ssl.SSLContext) -> None:
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def close(self) -> None:
        self.is_over.set()
        self._server.shutdown()
        self._server.server_close()


def says(status: int, said: Any, **headers: str) -> Behaviour:
    def behave(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def hangs(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    time.sleep(3)


def ask_for(service: Service, rita: User, staging: Target, effect: str = "block") -> PromotionRequest:
    make_policy("*", staging, (1, None), checks=(CheckRule("external", effect, {**CI, "url": service.url}),))
    return make_request(make_version("churn_predictor"), staging, by=rita)


def result_of(request: PromotionRequest) -> CheckResult:
    return request.checks.live().get(kind="external")


def status_of(request: PromotionRequest) -> str:
    return PromotionRequest.objects.get(pk=request.pk).status


def answers_to(request: PromotionRequest) -> list[dict[str, Any]]:
    events = AuditEvent.objects.filter(request=request, action=Action.CHECK_ANSWERED).order_by("sequence")
    return [event.data for event in events]
