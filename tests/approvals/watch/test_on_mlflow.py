"""The whole room. The watch on a real MLflow server: every way round the gate that there is, and what can honestly be
seen of it."""

import threading
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import requests
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from approvals import watch
from approvals.models import Incident, Target, Tenure
from mirror import sync
from mirror.models import RefreshHint
from registry_ui.wsgi import application
from tests.approvals.watch.race import race
from tests.support.backstage import Backstage
from tests.support.factories import approve
from tests.support.mlflow_server import MlflowServer
from tests.support.waiting import within
from tests.support.world import answered_by, ask, deliver, ended, observe, only_incident, running

pytestmark = [pytest.mark.server, pytest.mark.further]  # what it asks the database it asks of the fake, too
_numbers = count(1)
FOUND, OUTSIDE = Tenure.Origin.FOUND, Tenure.Origin.OUTSIDE


@pytest.fixture
def engineer(mlflow_server: MlflowServer) -> Backstage:
    return Backstage(mlflow_server.url)


@pytest.fixture
def registry(mlflow_server: MlflowServer, engineer: Backstage) -> Any:
    engineer.delete_all_models()  # notes of the tests before tell of a ledger that is not this one's
    from mirror.mlflow.client import MlflowRegistry

    return MlflowRegistry(mlflow_server.url, timeout_seconds=15)


@pytest.fixture
def model(db: None, registry: Any, engineer: Backstage) -> str:
    """A model of its own with three versions, the first in Production and champion; known to the watch."""
    name = f"watched_{next(_numbers)}"
    for number in (1, 2, 3):
        engineer.create_version(name, run_id=engineer.log_run({"auc_roc": 0.9 + number / 100}))
    registry.set_stage(name, 1, "Production", archive_existing=True)
    registry.set_alias(name, "champion", 1)
    assert observe(registry) == 0
    assert observe(registry) == 0
    return name


@pytest.fixture
def client(mlflow_server: MlflowServer) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(mlflow_server.url, registry_uri=mlflow_server.url)


def ui(url: str, method: str, path: str, **values: Any) -> None:
    """What a click in MLflow's own pages sends."""
    answer = requests.request(method, f"{url}/ajax-api/2.0/mlflow/{path}", json=values, timeout=30)
    assert answer.status_code == 200, answer.text


def test_a_click_in_mlflows_own_pages(registry: Any, mlflow_server: MlflowServer, model: str) -> None:
    asked_at = timezone.now()
    ui(
        mlflow_server.url, "POST", "model-versions/transition-stage",
        name=model, version="2", stage="Production", archive_existing_versions=True,
    )  # fmt: skip
    sync.pull(registry)
    assert watch.look(registry).found == 1
    found = only_incident()
    assert (found.model_name, found.place, found.before, found.after) == (model, "Production", [1], [2])
    assert found.not_before is not None
    assert found.not_before <= asked_at <= found.seen_at
    assert "mlflow_updated_at" in found.details


def test_the_client_library(registry: Any, client: Any, model: str) -> None:
    client.transition_model_version_stage(model, "3", "Production", archive_existing_versions=False)
    sync.pull(registry)
    assert watch.look(registry).found == 1
    assert (only_incident().before, only_incident().after) == ([1], [1, 3])


def test_an_alias_set_and_deleted(registry: Any, client: Any, mlflow_server: MlflowServer, model: str) -> None:
    client.set_registered_model_alias(model, "champion", "2")
    sync.pull(registry)
    assert watch.look(registry).found == 0, "MLflow gives an alias no time: a pull cannot see it"
    assert observe(registry) == 1
    assert (only_incident().place, only_incident().before, only_incident().after) == ("@champion", [1], [2])
    ui(mlflow_server.url, "DELETE", "registered-models/alias", name=model, alias="champion")
    assert observe(registry) == 1
    assert Incident.objects.latest("pk").after == []


def test_a_version_deleted_and_the_model_registered_anew(registry: Any, engineer: Backstage, model: str) -> None:
    registry.set_stage(model, 1, "Archived", archive_existing=False)
    assert observe(registry) == 1
    registry.set_stage(model, 1, "Production", archive_existing=False)
    assert observe(registry) == 0
    engineer.delete_model(model)
    engineer.create_version(model, run_id=engineer.log_run({"auc_roc": 0.1}))
    registry.set_stage(model, 1, "Production", archive_existing=False)
    registry.set_alias(model, "champion", 1)
    assert observe(registry) == 2
    kinds = Incident.objects.filter(resolved_at=None).values_list("kind", "place")
    assert set(kinds) == {("exchanged", "Production"), ("exchanged", "@champion")}


def test_a_deleted_holder(registry: Any, client: Any, model: str) -> None:
    client.transition_model_version_stage(model, "1", "Archived")
    client.delete_model_version(model, "1")
    assert observe(registry) == 2
    assert {each.kind for each in Incident.objects.all()} == {"deleted"}
    assert ended("Production", model) == [(1, "deleted")]


@pytest.mark.parametrize("is_pulled_first", [True, False])
def test_a_renamed_model(registry: Any, client: Any, model: str, is_pulled_first: bool) -> None:
    client.rename_registered_model(model, f"{model}_new")
    if is_pulled_first:
        sync.pull(registry)
        assert watch.look(registry).found == 1
    observe(registry)
    found = only_incident()
    assert (found.kind, found.details["old_name"], found.model_name) == ("renamed", model, f"{model}_new")
    assert running("Production", f"{model}_new") == running("@champion", f"{model}_new") == {1: FOUND}


def test_what_was_changed_while_countersign_was_down(registry: Any, client: Any, model: str) -> None:
    """No pull in between: what is there at the end is found, the way there is not."""
    client.transition_model_version_stage(model, "2", "Production", archive_existing_versions=True)
    client.set_registered_model_alias(model, "champion", "2")
    client.transition_model_version_stage(model, "3", "Production", archive_existing_versions=True)
    client.set_registered_model_alias(model, "champion", "3")
    assert observe(registry) == 2
    assert {(each.place, *each.before, *each.after) for each in Incident.objects.all()} == {
        ("Production", 1, 3),
        ("@champion", 1, 3),
    }


def test_what_was_changed_and_undone_between_two_pulls_leaves_no_trace(registry: Any, client: Any, model: str) -> None:
    """MLflow keeps no history. docs/security.md says so."""
    client.transition_model_version_stage(model, "2", "Production", archive_existing_versions=True)
    client.transition_model_version_stage(model, "1", "Production", archive_existing_versions=True)
    client.transition_model_version_stage(model, "2", "None")
    client.delete_registered_model_alias(model, "champion")
    client.set_registered_model_alias(model, "champion", "1")
    assert observe(registry) == 0
    assert running("Production", model) == {1: FOUND}


def test_what_a_delivery_overwrote_is_told_by_its_plan(
    registry: Any, client: Any, model: str, production: Target, rita: User, remy: User, rosa: User
) -> None:
    request = approve(ask(registry, 2, production, by=rita, model=model), remy, rosa)
    client.set_registered_model_alias(model, "champion", "3")
    assert deliver(request, registry) == "applied"
    assert observe(registry) == 1
    incident = only_incident()
    assert (incident.place, incident.after, incident.resolution) == ("@champion", [3], "superseded")


def test_a_change_while_a_delivery_is_on_its_way_is_found_and_stops_it(
    registry: Any, client: Any, model: str, production: Target, rita: User, remy: User, rosa: User
) -> None:
    request = approve(ask(registry, 2, production, by=rita, model=model), remy, rosa)
    client.transition_model_version_stage(model, "3", "Production", archive_existing_versions=True)
    assert deliver(request, registry) == "reopened"
    assert watch.look(registry).found == 1
    assert only_incident().after == [3]


@pytest.mark.parametrize("change", ["stage", "alias", "no alias"])
def test_it_is_put_back(registry: Any, client: Any, model: str, production: Target, change: str) -> None:
    answered_by("put_back", production)
    if change == "stage":
        client.transition_model_version_stage(model, "2", "Production", archive_existing_versions=True)
    elif change == "alias":
        client.set_registered_model_alias(model, "champion", "2")
    else:
        client.delete_registered_model_alias(model, "champion")
    sync.sweep(registry)
    assert watch.run(registry) == 1
    assert registry.version(model, 1).stage == "Production"
    assert registry.version(model, 2).stage == ("Archived" if change == "stage" else "None")
    assert registry.model(model).aliases == {"champion": 1}
    assert only_incident().resolution == "put_back"
    assert observe(registry) == 0


def test_an_alias_that_nobody_approved_is_deleted(
    registry: Any, engineer: Backstage, model: str, production: Target
) -> None:
    answered_by("put_back", production)
    engineer.create_version(f"{model}_new", run_id=engineer.log_run())
    registry.set_alias(f"{model}_new", "champion", 1)
    sync.sweep(registry)
    assert watch.run(registry) == 1
    assert registry.model(f"{model}_new").aliases == {}
    assert observe(registry) == 0


def test_other_bytes_under_an_approval(registry: Any, engineer: Backstage, model: str) -> None:
    watch.check_files(registry)
    assert Tenure.objects.open().filter(model_name=model).exclude(files_digest="").count() == 2
    engineer.put_file(registry.version_root(model, 1), "model.skops", b"other weights")
    Tenure.objects.update(files_checked_at=None)
    watch.check_files(registry)
    assert (only_incident().kind, only_incident().model_name) == ("files", model)


# --- Everything at once


@pytest.mark.usefixtures("committed")
def test_deliveries_that_race_pulls_sweeps_and_looks_open_no_incident(registry: Any, engineer: Backstage) -> None:
    race(registry, engineer, [f"raced_{next(_numbers)}" for _ in range(2)], versions=4)


# --- MLflow calls us


@pytest.fixture
def site(committed: None) -> Iterator[str]:
    """Countersign's web process, in a thread, on the loopback."""
    server = ThreadedWSGIServer(("127.0.0.1", 0), QuietHandler)
    server.set_app(application)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class QuietHandler(WSGIRequestHandler):
    def handle(self) -> None:
        """One request a connection: MLflow keeps its own open, and a thread that waits there keeps a session of the
        database."""
        self.close_connection = True
        self.handle_one_request()

    def log_message(self, *_: Any) -> None:  # type: ignore[override]
        pass


def test_a_webhook_of_mlflow_brings_an_alias_that_no_pull_can_see(
    site: str, registry: Any, engineer: Backstage, client: Any, settings: Settings
) -> None:
    settings.MLFLOW_WEBHOOK_SECRET = "a-secret-of-mlflow"
    name = f"called_{next(_numbers)}"
    for _ in range(2):
        engineer.create_version(name)
    registry.set_alias(name, "champion", 1)
    assert observe(registry) == 0
    assert observe(registry) == 0
    events = ["model_version_alias.created", "model_version_alias.deleted", "model_version.created"]
    hook = client.create_webhook("countersign", f"{site}/callbacks/mlflow/", events, secret="a-secret-of-mlflow")
    time.sleep(1.5)  # MLflow's own cache of webhooks
    try:
        client.set_registered_model_alias(name, "champion", "2")
        assert within(20, RefreshHint.objects.filter(model_name=name).exists)
        sync.follow_hints(registry)
        assert watch.run(registry) == 1
        assert (only_incident().place, only_incident().after) == ("@champion", [2])
    finally:
        client.delete_webhook(hook.webhook_id)


def test_a_webhook_with_another_secret_is_not_heard(site: str, client: Any, settings: Settings) -> None:
    settings.MLFLOW_WEBHOOK_SECRET = "a-secret-of-mlflow"
    hook = client.create_webhook("wrong", f"{site}/callbacks/mlflow/", ["model_version.created"], secret="another")
    try:
        answer = client.test_webhook(hook.webhook_id)
        assert answer.response_status == 401
        assert "does not fit" in str(answer.response_body)
        assert RefreshHint.objects.count() == 0
    finally:
        client.delete_webhook(hook.webhook_id)
