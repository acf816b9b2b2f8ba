"""A small HTTP server in Countersign's place, for what the real one does not do on purpose: fail, be slow, be away.
What its answers look like is held against the real one in `tests/countersign/test_client_product.py`."""

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

OPEN = {"checking", "pending", "changes_requested", "approved", "failed"}
TOKEN = "csn_" + "t" * 46


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0
    """After which it comes."""


class StubApi:
    """`answers[(method, path)]` are given one after the other, the last one again and again; `calls` is what came."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], list[Answer]] = {}
        self.calls: list[Call] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self) -> None:
                parts = urlsplit(self.path)
                given = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                body = json.loads(given) if given else None
                stub.calls.append(Call(self.command, parts.path, query, dict(self.headers), body))
                waiting = stub.answers.get((self.command, parts.path), [problem(404, "not_found", "Nothing is here.")])
                answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                time.sleep(answer.seconds)
                content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client has given up
                    self.send_response(answer.status)
                    for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            do_GET = do_POST = do  # noqa: N815 -- the standard library's names

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the standard library's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def says(self, method: str, path: str, *answers: Answer) -> None:
        self.answers[method, path] = list(answers)

    def paths(self) -> list[str]:
        return [f"{call.method} {call.path}" for call in self.calls]

    def environment(self, **more: str) -> dict[str, str]:
        return {"COUNTERSIGN_URL": self.url, "COUNTERSIGN_TOKEN": TOKEN, **more}

    def wrap(self, certificate: Path, key: Path) -> None:
        """Speaks TLS from here on, as `localhost`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def problem(status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any) -> Answer:
    body = {"type": "about:blank", "title": "No", "status": status, "code": code, "detail": detail, **more}
    return Answer(status, body, {"Content-Type": "application/problem+json", **(headers or {})})


def request(number: int = 12, status: str = "pending", revision: str = "1", **more: Any) -> dict[str, Any]:
    """A request as the API gives it out."""
    two = {"approvals": 2, "group": None, "sentence": "2 approvals from any reviewer"}
    return {
        "registry": "default",
        "workspace": "",
        "kind": "model",
        "model": "churn_predictor",
        "id": number,
        "version": "7",
        "target": "Production",
        "status": status,
        "status_label": status.capitalize(),
        "status_reason": "",
        "is_open": status in OPEN,
        "missing": [two] if status == "pending" else [],
        "revision": revision,
        "justification": "AUC +2 points",
        "replaces": "6",
        "fingerprint": "f" * 64,
        "expires_at": "2026-05-31T12:00:00Z",
        "requested_by": {"name": "Rita Sanz", "email": "rita@example.com", "kind": "person"},
        "created_at": "2026-05-01T12:00:00Z",
        "url": f"https://countersign.example/requests/{number}/",
        **more,
    }


@contextlib.contextmanager
def serving() -> Iterator[StubApi]:
    stub = StubApi()
    try:
        yield stub
    finally:
        stub.close()
