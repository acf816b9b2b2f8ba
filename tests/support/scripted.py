"""A small HTTP server in MLflow's place that says what it is told."""

import base64
import contextlib
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mirror.mlflow.client import MlflowRegistry
from mirror.port import RegistryError


class Scripted(ThreadingHTTPServer):
    """Answers every request with the same status and body; keeps the headers it was sent."""

    status, body, delay, location = 200, b"{}", 0.0, ""
    password = ""
    """Of `worker`. Where it is set, who comes without it is answered 401."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def says(self, status: int, body: str) -> MlflowRegistry:
        self.status, self.body = status, body.encode()
        return MlflowRegistry(self.url, timeout_seconds=5)


class Handler(BaseHTTPRequestHandler):
    def answer(self) -> None:
        server = self.server
        assert isinstance(server, Scripted)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server.seen.append(dict(self.headers))
        time.sleep(server.delay)
        known = "Basic " + base64.b64encode(f"worker:{server.password}".encode()).decode()
        self.send_response(401 if server.password and self.headers.get("Authorization") != known else server.status)
        if server.location:
            self.send_header("Location", server.location)
        self.send_header("Content-Length", str(len(server.body)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):  # the client has given up waiting
            self.wfile.write(server.body)

    do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815  the standard library's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the standard library's name
        pass


def error_of(call: Callable[[], object]) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        call()
    return caught.value
