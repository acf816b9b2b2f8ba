"""What of Databricks' API is sent on to Countersign, what MLflow gets in its own words, and what is said while
Countersign is away."""

import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from mlflow_gate import databricks
from mlflow_gate.databricks import CALLS, Databricks

from api.databricks import urls
from tests.support.mlflow_server import free_port

CREATE = "/api/2.0/mlflow/transition-requests/create"
LIST = "/api/2.0/mlflow/transition-requests/list"


class Site:
    """Stands for Countersign: hears calls and answers as it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, dict[str, str], bytes]] = []
        self.status, self.body, self.headers = 200, b'{"ok": 1}', {"Content-Type": "application/json; charset=utf-8"}
        self.silent, self.hangs_up = threading.Event(), False
        self.silent.set()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                site.heard.append((self.command, self.path, dict(self.headers.items()), body))
                site.silent.wait(30)
                if site.hangs_up:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(site.status)
                for name, value in site.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(site.body)))
                self.end_headers()
                self.wfile.write(site.body)

            do_GET = do_POST = do_PATCH = do_DELETE = do  # noqa: N815  as the library calls them

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    threading.Thread(target=made.server.serve_forever, args=[0.01], daemon=True).start()
    yield made
    made.silent.set()
    made.server.shutdown()
    made.server.server_close()


class Mlflow:
    """What passes by, as MLflow's application gets it."""

    def __init__(self, site: str, prefix: str = "") -> None:
        self.got: list[tuple[str, str, str, bytes]] = []
        self.app = Databricks(self.inner, site, prefix)

    def inner(self, environ: Any, start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        self.got.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"], body))
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b'"mlflow"']

    def send(self, method: str, path: str, body: Any = None, **environ: str) -> tuple[int, dict[str, str], Any]:
        content = b"" if body is None else json.dumps(body).encode()
        path, _, query = path.partition("?")
        said: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": "application/json" if content else "",
            "CONTENT_LENGTH": str(len(content)),
            "REMOTE_ADDR": "203.0.113.7",
            "wsgi.input": io.BytesIO(content),
        }
        told: list[Any] = []
        found = b"".join(self.app(said | environ, lambda status, headers: told.extend((status, dict(headers)))))
        return int(told[0].split()[0]), told[1], json.loads(found)


# --- Sent on ----------------------------------------------------------------------------------------------------------


def test_the_calls_are_those_that_countersign_has() -> None:
    ours = {str(each.pattern).rstrip("/") for each in urls.CALLS} - {"<path:rest>", ""}
    assert ours == CALLS
    assert {f"/{path}" for path in urls.ME} == databricks.ME


@pytest.mark.parametrize("root", ["/api/2.0/mlflow", "/api/2.0/preview/mlflow"])
@pytest.mark.parametrize("end", ["", "/"])
def test_a_call_goes_on_with_its_token_and_little_else(site: Site, root: str, end: str) -> None:
    mlflow = Mlflow(site.url)
    status, headers, said = mlflow.send(
        "POST",
        f"{root}/transition-requests/create{end}?x=%20y",
        {"name": "churn"},
        HTTP_AUTHORIZATION="Bearer csn_x",
        HTTP_USER_AGENT="databricks-sdk-py/0.156.0",
        HTTP_X_COUNTERSIGN_RUN="https://ci.example/7",
        HTTP_COOKIE="session=secret",
        HTTP_X_COUNTERSIGN_GRANT="v1.x.y",
        HTTP_CONNECTION="upgrade",
        HTTP_X_FORWARDED_FOR="198.51.100.1",
    )
    assert (status, said, mlflow.got) == (200, {"ok": 1}, [])
    ((method, path, sent, body),) = site.heard
    assert (method, path) == ("POST", f"/databricks{root}/transition-requests/create?x=%20y")
    assert body == b'{"name": "churn"}'
    del sent["Host"], sent["Accept-Encoding"], sent["Content-Length"]
    assert sent == {
        "Authorization": "Bearer csn_x",
        "Content-Type": "application/json",
        "User-Agent": "databricks-sdk-py/0.156.0",
        "X-Countersign-Run": "https://ci.example/7",
        "X-Forwarded-For": "198.51.100.1, 203.0.113.7",
        "Connection": "close",
    }
    assert headers.keys() == {"Content-Type", "Content-Length"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 503])
def test_what_countersign_refuses_comes_back_as_it_says_it(site: Site, status: int) -> None:
    site.status, site.body = status, b'{"error_code": "X", "message": "No."}'
    site.headers |= {"Retry-After": "7", "WWW-Authenticate": "Bearer", "Set-Cookie": "a=b", "Server": "x"}
    found, headers, said = Mlflow(site.url).send("GET", LIST)
    assert (found, said) == (status, {"error_code": "X", "message": "No."})
    assert headers.keys() == {"Content-Type", "Content-Length", "Retry-After", "WWW-Authenticate"}


def test_discovery_is_answered_here(site: Site) -> None:
    assert Mlflow(site.url).send("GET", "/.well-known/databricks-config")[::2] == (200, {})
    assert site.heard == []


@pytest.mark.parametrize(
    "path",
    [
        "/api/2.0/mlflow/transition-requests/other",
        "/api/2.0/mlflow/transition-requests/../../../gate/policy",
        "/api/2.0/mlflow/comments/create/more",
        "/api/3.0/mlflow/comments/create",
        "/gate/policy",
        "/api/v1/me",
        "/api/2.0/mlflow/runs/create",
        "/",
    ],
)
def test_nothing_else_is_sent_on(site: Site, path: str) -> None:
    mlflow = Mlflow(site.url)
    assert mlflow.send("POST", path, {})[2] == "mlflow"
    assert site.heard == []
    assert [each[1] for each in mlflow.got] == [path]


def test_what_is_too_large_stays_here(site: Site) -> None:
    for length in (str(databricks.LARGEST_REQUEST + 1), "9" * 5000):
        status, _, said = Mlflow(site.url).send("POST", CREATE, {}, CONTENT_LENGTH=length)
        assert (status, said["error_code"], site.heard) == (413, "BAD_REQUEST", [])


# --- As MLflow reads it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/behind/a-proxy"])
@pytest.mark.parametrize(
    ("method", "call", "path", "query", "body"),
    [
        ("GET", "2.0/mlflow/registered-models/list?max_results=2", "registered-models/search", "max_results=2", b""),
        ("GET", "2.0/preview/mlflow/registered-models/list", "registered-models/search", "", b""),
        ("POST", "2.0/preview/mlflow/registered-models/create", "registered-models/create", "", b'{"name": "x"}'),
        ("GET", "2.0/preview/mlflow/model-versions/get?a=b", "model-versions/get", "a=b", b""),
        (
            "DELETE",
            "2.0/mlflow/registered-models/delete?name=a%20b",
            "registered-models/delete",
            None,
            b'{"name": "a b"}',
        ),
        ("DELETE", "2.0/mlflow/model-versions/delete", "model-versions/delete", "", b'{"name": "x"}'),
    ],
)
def test_mlflow_gets_calls_in_its_own_words(
    site: Site, prefix: str, method: str, call: str, path: str, query: str | None, body: bytes
) -> None:
    mlflow = Mlflow(site.url, prefix)
    has_body = body == b'{"name": "x"}'
    mlflow.send(method, f"{prefix}/api/{call}", {"name": "x"} if has_body else None)
    ((got_method, got_path, got_query, got_body),) = mlflow.got
    assert (got_method, got_path, got_body) == (method, f"{prefix}/api/2.0/mlflow/{path}", body)
    assert query is None or got_query == query


def test_mlflows_own_words_pass_by_as_they_came(site: Site) -> None:
    mlflow = Mlflow(site.url)
    mlflow.send("DELETE", "/api/2.0/mlflow/registered-models/alias?x=y")
    mlflow.send("GET", "/api/2.0/preview/mlflow/runs/get?x=y")
    assert mlflow.got == [
        ("DELETE", "/api/2.0/mlflow/registered-models/alias", "x=y", b""),
        ("GET", "/api/2.0/preview/mlflow/runs/get", "x=y", b""),
    ]


# --- While Countersign is away ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), [("GET", LIST), ("POST", CREATE)])
def test_what_cannot_have_been_heard_may_be_sent_again(method: str, path: str) -> None:
    status, headers, said = Mlflow(f"http://127.0.0.1:{free_port()}").send(method, path, {})
    assert (status, said["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert int(headers["Retry-After"]) > 0
    assert said["message"] == databricks.AWAY


@pytest.mark.parametrize("how", ["silent", "hangs up", "HTML"])
@pytest.mark.parametrize(("method", "path", "status"), [("GET", LIST, 503), ("POST", CREATE, 500)])
def test_what_may_have_been_done_is_not_to_be_sent_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, how: str, method: str, path: str, status: int
) -> None:
    if how == "silent":
        monkeypatch.setattr(databricks, "TIMEOUT", 0.2)
        site.silent.clear()
    site.hangs_up = how == "hangs up"
    if how == "HTML":
        site.status, site.headers = 502, {"Content-Type": "text/html"}
    found, headers, said = Mlflow(site.url).send(method, path, {})
    assert (found, "Retry-After" in headers) == (status, status == 503)
    assert said["error_code"] == {503: "TEMPORARILY_UNAVAILABLE", 500: "INTERNAL_ERROR"}[status]
    assert "Unexpected error" not in said["message"]  # by which clients would send it again
    assert len(site.heard) == 1


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (302, {"Location": "https://login.example", "Content-Type": "application/json"}, b"{}"),
        (200, {"Content-Type": "text/html"}, b"<html>"),
        (200, {"Content-Type": "application/json"}, b'"' + b"x" * 100 + b'"'),
    ],
)
def test_what_is_not_countersign_is_not_passed_back(
    site: Site, monkeypatch: pytest.MonkeyPatch, status: int, headers: dict[str, str], body: bytes
) -> None:
    monkeypatch.setattr(databricks, "LARGEST_ANSWER", 50)
    site.status, site.headers, site.body = status, headers, body
    found, _, said = Mlflow(site.url).send("GET", LIST)
    assert (found, said["error_code"]) == (500, "INTERNAL_ERROR")
    assert len(site.heard) == 1


def test_mlflows_threads_are_not_all_kept_waiting(site: Site) -> None:
    mlflow = Mlflow(site.url)
    site.silent.clear()
    waiting = [threading.Thread(target=mlflow.send, args=["POST", CREATE, {}]) for _ in range(databricks.AT_ONCE)]
    for each in waiting:
        each.start()
    while len(site.heard) < databricks.AT_ONCE:
        threading.Event().wait(0.01)
    status, _, said = mlflow.send("POST", CREATE, {})
    assert (status, said["message"]) == (503, databricks.BUSY)
    assert mlflow.send("POST", "/api/2.0/mlflow/runs/create", {})[2] == "mlflow"
    site.silent.set()
    for each in waiting:
        each.join(30)
    assert mlflow.send("POST", CREATE, {})[0] == 200


class Slow(io.BytesIO):
    """A body that is sent while others call."""

    def __init__(self, meanwhile: Callable[[], Any]) -> None:
        super().__init__(b"{}")
        self.meanwhile, self.came = meanwhile, list[Any]()

    def read(self, size: int | None = -1) -> bytes:
        self.came.append(self.meanwhile())
        return super().read(size)


def test_who_sends_slowly_takes_no_ones_place(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databricks, "AT_ONCE", 1)
    mlflow = Mlflow(site.url)
    slow = Slow(lambda: mlflow.send("GET", LIST)[0])
    said: Any = {"CONTENT_LENGTH": "2", "wsgi.input": slow}
    assert mlflow.send("POST", CREATE, None, **said)[0] == 200
    assert slow.came == [200]


@pytest.mark.parametrize(
    "environ",
    [
        {"QUERY_STRING": "name=\xe9"},
        {"QUERY_STRING": "name=a b"},
        {"QUERY_STRING": "name=a\r\nX-Evil: 1"},
        {"HTTP_AUTHORIZATION": "Bearer x\r\nX-Evil: 1"},
        {"HTTP_AUTHORIZATION": "Bearer \u2603"},
    ],
)
def test_what_no_address_and_no_header_can_have_is_refused(site: Site, environ: dict[str, str]) -> None:
    status, _, said = Mlflow(site.url).send("GET", LIST, **environ)
    assert (status, said["error_code"], site.heard) == (400, "BAD_REQUEST", [])
