"""The proxy of the trials passes on what it is not told to lie about."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import requests

from tests.faults.liar import Liar, Lie

COUNTED: list[str] = []


class Honest(BaseHTTPRequestHandler):
    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        COUNTED.append(body.decode())
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.command} {len(COUNTED)}".encode())

    do_GET = do_POST = _handle  # noqa: N815 -- the base class names them so

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def liar() -> Iterator[Liar]:
    COUNTED.clear()
    server = HTTPServer(("127.0.0.1", 0), Honest)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with Liar(server.server_port) as made:
        yield made
    server.shutdown()
    server.server_close()


def test_it_lies_as_often_as_told_and_about_nothing_else(liar: Liar) -> None:
    alias = f"{liar.url}/api/2.0/mlflow/registered-models/alias"
    with liar.telling(Lie("refused", "registered-models/alias", "POST", "churn", 403, b"no", times=1)):
        assert requests.post(alias, json={"name": "fraud"}, timeout=5).text == "POST 1"
        assert requests.get(alias, params={"name": "churn"}, timeout=5).text == "GET 2"
        refused = requests.post(alias, json={"name": "churn"}, timeout=5)
        assert (refused.status_code, refused.text) == (403, "no")
        assert requests.post(alias, json={"name": "churn"}, timeout=5).text == "POST 3"
    assert COUNTED == ['{"name": "fraud"}', "", '{"name": "churn"}']


def test_a_stale_answer_is_that_of_before_the_lie(liar: Liar) -> None:
    listing = f"{liar.url}/api/2.0/mlflow/model-versions/search"
    assert requests.get(listing, timeout=5).text == "GET 1"
    with liar.telling(Lie("stale", "/search", is_stale=True)):
        assert [requests.get(listing, timeout=5).text for _ in range(2)] == ["GET 1", "GET 1"]
        assert requests.get(listing, params={"page_token": "2"}, timeout=5).text == "GET 2", "never asked before"
    assert requests.get(listing, timeout=5).text == "GET 3"


def test_a_write_is_noticed_and_a_search_by_post_is_none(liar: Liar) -> None:
    requests.post(f"{liar.url}/api/2.0/mlflow/runs/search", json={}, timeout=5)
    assert not liar.writes.is_set()
    requests.post(f"{liar.url}/api/2.0/mlflow/model-versions/set-tag", json={}, timeout=5)
    assert liar.writes.is_set()


def test_a_lie_that_nobody_heard_is_told(liar: Liar) -> None:
    with pytest.raises(RuntimeError, match="Nobody heard: refused"), liar.telling(Lie("refused", "/alias")):
        requests.get(f"{liar.url}/version", timeout=5)
