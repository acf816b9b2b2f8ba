"""The MLflow from memory that the benchmark sweeps answers as a real one that holds the same."""

import json
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from bench import registry_data
from bench.stub_mlflow import CHANGED, StubMlflow
from tests.support.mlflow_server import MlflowServer

MODELS, EACH = 3, 8
BY_NAME = ["name ASC", "version_number ASC"]
ASKED = [
    ("model-versions/search", {"max_results": 10}),
    ("model-versions/search", {"max_results": 10, "order_by": BY_NAME}),
    ("model-versions/search", {"max_results": 100, "order_by": BY_NAME}),
    ("model-versions/search", {"max_results": 100, "filter": "name = 'model_00001'"}),
    ("registered-models/search", {"max_results": 2}),
    ("registered-models/get", {"name": "model_00002"}),
]


def pages(url: str, path: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        address = f"{url}/api/2.0/mlflow/{path}?{urllib.parse.urlencode(query, doseq=True)}"
        with urllib.request.urlopen(address) as answer:  # noqa: S310  its own
            found.append(json.load(answer))
        if model := found[-1].get("registered_model"):  # named by itself, it has them in no order
            model["latest_versions"].sort(key=lambda each: int(each["version"]))
        if not (token := found[-1].get("next_page_token")):
            return found
        query = query | {"page_token": token}


@pytest.mark.server
@pytest.mark.nodb
def test_it_answers_page_by_page_what_mlflow_answers(tmp_path: Path) -> None:
    now = int(time.time() * 1000)
    with MlflowServer(tmp_path) as server, StubMlflow(models=MODELS, versions_each=EACH, now=now) as stub:
        registry_data.fill(tmp_path / "mlflow.sqlite3", models=MODELS, versions_each=EACH, now=now)
        for path, query in ASKED:
            assert pages(stub.url, path, query) == pages(server.url, path, query), (path, query)


@pytest.mark.nodb
def test_what_changed_is_listed_first_and_once() -> None:
    with StubMlflow(models=MODELS, versions_each=EACH) as stub:
        stub.change(2)
        listed = pages(stub.url, "model-versions/search", {"max_results": 100})[0]["model_versions"]
        assert [(each["name"], each["version"], each["description"]) for each in listed[:2]] == [
            ("model_00001", "1", CHANGED),
            ("model_00000", "1", CHANGED),
        ]
        assert len({(each["name"], each["version"]) for each in listed}) == len(listed) == MODELS * EACH
        times = [each["last_updated_timestamp"] for each in listed]
        assert times == sorted(times, reverse=True)
