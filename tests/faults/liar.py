"""A proxy before MLflow that passes everything on, but for the lies that it is told to tell."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

WRITES = ("PATCH", "POST", "DELETE")
READING_POSTS = ("/search",)
"""MLflow searches runs, experiments and LoggedModels by POST."""


@dataclass
class Lie:
    """What is answered in place of MLflow to requests of `method` ("" for all) whose path ends with `path` and whose
    query or body has the text `about`."""

    name: str
    path: str = ""
    method: str = ""
    about: str = ""
    status: int = 200
    body: bytes = b"{}"
    kind: str = "application/json"
    times: int | None = None
    """How often; None for as long as it is told."""

    is_stale: bool = False
    """Answers what MLflow answered to the same request before the lie began."""

    told: int = field(default=0, init=False)


@dataclass(frozen=True)
class Answer:
    status: int
    kind: str
    body: bytes


class Liar:
    """`with Liar(mlflow_port) as liar:`; `liar.url` is the address to give as MLFLOW_TRACKING_URI."""

    def __init__(self, mlflow_port: int) -> None:
        self.mlflow_port = mlflow_port
        self.writes = threading.Event()
        self._lies: list[Lie] = []
        self._before: dict[str, Answer] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), type("Passing", (_Handler,), {"liar": self}))
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Liar":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def telling(self, *lies: Lie) -> Iterator[None]:
        """A lie that nobody heard proves nothing: raises RuntimeError for it at the end."""
        with self._lock:
            self._lies += lies
        try:
            yield
        finally:
            with self._lock:
                self._lies = [each for each in self._lies if each not in lies]
        if unheard := [each.name for each in lies if not each.told]:
            raise RuntimeError(f"Nobody heard: {', '.join(unheard)}")

    def answer(self, method: str, address: str, headers: dict[str, str], body: bytes) -> Answer:
        path = urlsplit(address).path
        with self._lock:
            for lie in self._lies:
                if self._is_told(lie, method, path, f"{address} {body.decode(errors='replace')}"):
                    if lie.is_stale and address not in self._before:
                        break
                    lie.told += 1
                    return self._before[address] if lie.is_stale else Answer(lie.status, lie.kind, lie.body)
        passed = self._pass_on(method, address, headers, body)
        if method == "GET" and passed.status == 200:
            self._before[address] = passed
        if method in WRITES and not path.endswith(READING_POSTS):
            self.writes.set()
        return passed

    @staticmethod
    def _is_told(lie: Lie, method: str, path: str, words: str) -> bool:
        return (
            lie.method in ("", method)
            and path.endswith(lie.path)
            and lie.about in words
            and (lie.times is None or lie.told < lie.times)
        )

    def _pass_on(self, method: str, address: str, headers: dict[str, str], body: bytes) -> Answer:
        link = http.client.HTTPConnection("127.0.0.1", self.mlflow_port, timeout=60)
        try:
            link.request(method, address, body or None, headers | {"Host": f"127.0.0.1:{self.mlflow_port}"})
            response = link.getresponse()
            return Answer(response.status, response.getheader("Content-Type", ""), response.read())
        finally:
            link.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A killed worker hangs up in the middle."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    liar: Liar

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        dropped = {"host", "connection", "content-length", "accept-encoding"}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
        try:
            answer = self.liar.answer(self.command, self.path, headers, body)
        except OSError as error:  # MLflow does not run
            answer = Answer(502, "text/plain", str(error).encode())
        self.send_response(answer.status)
        if answer.kind:
            self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _handle  # noqa: N815 -- the base class names them so

    def log_message(self, *_: Any) -> None:
        pass
