"""An MLflow that answers from memory, a process of its own: what `registry_data.fill` puts into a real one, at any
size, and at once. A test holds its pages against the real server's.

    with StubMlflow(models=2_000, versions_each=50) as stub: ... MlflowRegistry(stub.url) ... stub.change(101)
"""

import base64
import json
import re
import subprocess
import sys
import time
import urllib.request
from array import array
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bench.registry_data import STAGES

CHANGED = "Trained and described again."


class Registry:
    """What is there, and the JSON of it. Pages that were asked for are kept as they were sent."""

    def __init__(self, *, models: int, versions_each: int, now: int) -> None:
        self.models, self.each, self.now = models, versions_each, now
        self.span, self.changed = models * versions_each, 0
        self.newest: Sequence[int] = range(self.span - 1, -1, -1)
        """Places in the order of names, the newest change first."""

        self.pages: dict[tuple[Any, ...], bytes] = {}
        self.tags: list[dict[str, str]] = []

    def change(self, count: int) -> None:
        """The description of the first version of so many models."""
        self.changed = count
        kept = (place for place in reversed(range(self.span)) if place % self.each or place >= count * self.each)
        self.newest = array("I", [*(index * self.each for index in reversed(range(count))), *kept])
        self.pages.clear()

    def version(self, index: int, number: int) -> dict[str, Any]:
        name, at = f"model_{index:05}", self.now - self.span + index * self.each + number
        is_changed = number == 1 and index < self.changed
        return {
            "name": name,
            "version": str(number),
            "creation_timestamp": at,
            "last_updated_timestamp": self.now + 1 + index if is_changed else at,
            "current_stage": STAGES[number % len(STAGES)] if number > self.each - len(STAGES) else "Archived",
            "description": CHANGED if is_changed else f"Trained for the {number}th time.",
            "source": f"s3://models/{name}/{number}",
            "status": "READY",
            "tags": [{"key": "training_cutoff", "value": "2026-10-31"}, {"key": "team", "value": "retention"}],
        }

    def model(self, index: int) -> dict[str, Any]:
        newest: dict[str, int] = {}
        for number in range(max(1, self.each - 2 * len(STAGES)), self.each + 1):
            newest[self.version(index, number)["current_stage"]] = number
        return {
            "name": f"model_{index:05}",
            "creation_timestamp": self.now - self.span,
            "last_updated_timestamp": self.now,
            "latest_versions": [self.version(index, number) for _, number in sorted(newest.items())],
            "aliases": [{"alias": "champion", "version": str(self.each)}],
        }

    def at(self, place: int, *, by_name: bool) -> dict[str, Any]:
        index, before = divmod(place if by_name else self.newest[place], self.each)
        return self.version(index, before + 1)

    def versions(self, query: Mapping[str, list[str]]) -> bytes:
        size, start, by_name = int(query["max_results"][0]), _offset(query), "order_by" in query
        key = ("versions", size, start, by_name)
        if key not in self.pages:
            found = [self.at(place, by_name=by_name) for place in range(start, min(start + size, self.span))]
            self.pages[key] = _page("model_versions", found, start + size, self.span)
        return self.pages[key]

    def search(self, query: Mapping[str, list[str]]) -> bytes:
        size, start = int(query["max_results"][0]), _offset(query)
        key = ("models", size, start)
        if key not in self.pages:
            found = [self.model(index) for index in range(start, min(start + size, self.models))]
            self.pages[key] = _page("registered_models", found, start + size, self.models)
        return self.pages[key]


def _page(key: str, found: list[dict[str, Any]], end: int, of: int) -> bytes:
    answer: dict[str, Any] = {key: found}
    if end < of:
        answer["next_page_token"] = base64.b64encode(json.dumps({"offset": end}).encode()).decode()
    return json.dumps(answer, indent=2).encode()


def _offset(query: Mapping[str, list[str]]) -> int:
    token = query.get("page_token")
    return int(json.loads(base64.b64decode(token[0]))["offset"]) if token else 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    registry: Registry

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        path, query = address.path.removeprefix("/api/2.0/mlflow/"), parse_qs(address.query)
        registry = self.registry
        match path:
            case "/version":
                self._send(b"3.17.2")
            case "model-versions/search":
                self._send(self._of_one(query) if "filter" in query else registry.versions(query))
            case "registered-models/search":
                self._send(registry.search(query))
            case "registered-models/get":
                index = int(query["name"][0].rpartition("_")[2])
                self._send(json.dumps({"registered_model": registry.model(index)}, indent=2).encode())
            case "experiments/get-by-name":
                found = {"experiment_id": "0", "name": "Default", "creation_time": registry.now, "tags": registry.tags}
                self._send(json.dumps({"experiment": found}).encode())
            case "/change":
                registry.change(int(query["count"][0]))
                self._send(b"{}")
            case _:
                self._send(b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Not in memory."}', status=404)

    def do_POST(self) -> None:
        """Only the identity that Countersign leaves is written."""
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.registry.tags.append({"key": said["key"], "value": said["value"]})
        self._send(b"{}")

    def _of_one(self, query: Mapping[str, list[str]]) -> bytes:
        named = re.fullmatch(r"name = 'model_(\d+)'", query["filter"][0])
        index = int(named[1]) if named else self.registry.models
        numbers = range(self.registry.each, 0, -1) if index < self.registry.models else ()
        return _page("model_versions", [self.registry.version(index, number) for number in numbers], 0, 0)

    def _send(self, body: bytes, *, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class StubMlflow:
    """Ends with the block."""

    def __init__(self, *, models: int, versions_each: int, now: int | None = None) -> None:
        self.sizes = [str(models), str(versions_each), str(now or int(time.time() * 1000))]
        self.url = ""

    def __enter__(self) -> "StubMlflow":
        command = [sys.executable, "-m", "bench.stub_mlflow", *self.sizes]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def change(self, count: int) -> None:
        """Describes the first version of so many models anew."""
        urllib.request.urlopen(f"{self.url}/change?count={count}").read()  # noqa: S310  its own


def main() -> None:
    models, each, now = map(int, sys.argv[1:])
    Handler.registry = Registry(models=models, versions_each=each, now=now)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
