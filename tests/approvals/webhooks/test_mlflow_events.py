"""MLflow's webhook: who is believed, what is taken from it, and that nothing else is."""

import json
import time
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from approvals import watch
from approvals.models import Incident
from approvals.webhooks.mlflow_events import MOST_BYTES, signature
from mirror import sync
from mirror.models import RefreshHint
from mirror.port import Unreachable
from tests.support.fakes import FakeRegistry
from tests.support.world import MODEL, watched_registry

pytestmark = pytest.mark.django_db
SECRET = "a-secret-of-mlflow"
EVENT = {"entity": "model_version_alias", "action": "created", "data": {"name": MODEL, "alias": "champion"}}


@pytest.fixture
def registry(db: None) -> FakeRegistry:
    return watched_registry()


@pytest.fixture(autouse=True)
def secret(settings: Settings) -> None:
    settings.MLFLOW_WEBHOOK_SECRET = SECRET


def post(body: bytes, *, off: float = 0, secret: str = SECRET, **headers: str) -> Any:
    """`off`: seconds between the sender's clock and ours."""
    timestamp = str(int(time.time() + off))
    sent = {
        "X-MLflow-Signature": signature(secret, "d1", timestamp, body),
        "X-MLflow-Timestamp": timestamp,
        "X-MLflow-Delivery-Id": "d1",
    } | headers
    return Client(enforce_csrf_checks=True).post(
        "/callbacks/mlflow/", body, content_type="application/json", headers=sent
    )


def test_a_signed_event_is_a_hint_and_the_model_is_read_anew(registry: FakeRegistry) -> None:
    registry.set_alias(MODEL, "champion", 5)
    assert post(json.dumps(EVENT).encode()).status_code == 200
    assert post(json.dumps(EVENT).encode()).status_code == 200
    assert list(RefreshHint.objects.values_list("model_name", flat=True)) == [MODEL]
    assert sync.follow_hints(registry) == 1
    assert watch.look(registry).found == 1
    assert Incident.objects.get().place == "@champion"
    assert RefreshHint.objects.count() == 0


def test_nothing_but_the_name_is_believed(registry: FakeRegistry) -> None:
    lie = {"data": {"name": MODEL, "alias": "champion", "version": "3", "stage": "Production"}}
    assert post(json.dumps(lie).encode()).status_code == 200
    sync.follow_hints(registry)
    assert watch.look(registry).found == 0


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"secret": "another-secret"}, "does not fit"),
        ({"off": -600}, "five minutes"),
        ({"off": 600}, "five minutes"),
        ({"X-MLflow-Signature": ""}, "not signed"),
        ({"X-MLflow-Signature": "v1,ünïcode"}, "does not fit"),
        ({"X-MLflow-Delivery-Id": "d2"}, "does not fit"),
        ({"X-MLflow-Timestamp": "soon"}, "not signed"),
    ],
)
def test_what_is_not_signed_or_old_is_refused(sent: dict[str, Any], words: str) -> None:
    answer = post(json.dumps(EVENT).encode(), **sent)
    assert answer.status_code == 401
    assert words in answer.json()["detail"]
    assert RefreshHint.objects.count() == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"no json", b'"text"', b"\xff"])
def test_what_is_no_event_is_refused(body: bytes) -> None:
    assert post(body).status_code == 400


@pytest.mark.parametrize("data", [None, [], {}, {"name": 7}, {"name": ""}, {"name": "x" * 300}, {"name": "a\0b"}])
def test_an_event_without_a_model_is_taken_and_leads_nowhere(data: Any) -> None:
    assert post(json.dumps({"data": data}).encode()).status_code == 200
    assert RefreshHint.objects.count() == 0


def test_it_is_bounded_and_for_posts_alone() -> None:
    assert post(b"x" * (MOST_BYTES + 1)).status_code == 413
    assert Client().get("/callbacks/mlflow/").status_code == 405


def test_without_a_secret_it_says_so(settings: Settings) -> None:
    settings.MLFLOW_WEBHOOK_SECRET = ""
    answer = post(json.dumps(EVENT).encode())
    assert answer.status_code == 501
    assert "COUNTERSIGN_MLFLOW_WEBHOOK_SECRET" in answer.json()["detail"]


def test_hints_stay_while_mlflow_is_away_and_go_where_there_is_no_model(registry: FakeRegistry) -> None:
    sync.hint("no_such_model")
    sync.hint(MODEL)
    registry.fail_next("model", Unreachable("Away."))
    assert sync.follow_hints(registry) == 0
    assert RefreshHint.objects.count() == 2
    assert sync.follow_hints(registry) == 2
    assert RefreshHint.objects.count() == 0
