"""Models and versions as programs read them."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals.models import Target
from mirror.models import Alias, MirrorState
from tests.support.api import Machine
from tests.support.factories import NOON, make_model, make_request, make_version
from tests.support.world import hold


@pytest.fixture
def machine(rita: User) -> Machine:
    return Machine(rita, "read")


def test_a_model_with_what_holds_its_targets(machine: Machine, rita: User, production: Target, settings: Any) -> None:
    settings.SITE_URL = "https://countersign.example.com"
    MirrorState.objects.record(pulled_at=NOON)
    one, two = make_version("churn_predictor", 1), make_version("churn_predictor", 2)
    hold(one, production)
    make_request(two, production, by=rita)
    found = machine.get("/models/churn_predictor").body
    assert {name: found[name] for name in ("registry", "workspace", "kind", "model", "newest_version")} == {
        "registry": "default", "workspace": "", "kind": "model", "model": "churn_predictor", "newest_version": "2",
    }  # fmt: skip
    assert found["holders"] == [{"target": "Production", "version": "1"}]
    assert found["open_requests"] == 1
    assert found["url"] == "https://countersign.example.com/models/churn_predictor/"
    assert found["mirrored_at"] == "2026-03-01T12:00:00.000000Z"
    assert machine.get("/models")["items"] == [{name: found[name] for name in found if name != "mirrored_at"}]


def test_a_version_with_its_facts(machine: Machine, rita: User, production: Target) -> None:
    version = make_version("churn_predictor", 3, description="Trained.", metrics={"auc": 0.9, "loss": "NaN"})
    hold(version, production)
    Alias.objects.create(model=version.model, name="best", number=3)
    request = make_request(make_version("churn_predictor", 4), production, by=rita)
    found = machine.get("/models/churn_predictor/versions/3").body
    assert (found["version"], found["metrics"], found["description"]) == ("3", {"auc": 0.9, "loss": "NaN"}, "Trained.")
    assert {"type": "stage", "name": "Production"} in found["places"]
    assert {"type": "alias", "name": "best"} in found["places"]
    listed = machine.get("/models/churn_predictor/versions")["items"]
    assert [each["version"] for each in listed] == ["4", "3"]
    assert [each["id"] for each in listed[0]["open_requests"]] == [request.pk]
    assert "params" not in listed[0]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/models/nothing", "no_such_model"),
        ("/models/nothing/versions", "no_such_model"),
        ("/models/nothing/versions/1", "no_such_model"),
        *((f"/models/churn_predictor/versions/{version}", "no_such_version")
          for version in ("9", "01", "1.0", "x", "-1", "٣", "9" * 30, "latest")),
    ],
)  # fmt: skip
def test_what_there_is_not(machine: Machine, path: str, code: str) -> None:
    make_version("churn_predictor", 1)
    found = machine.get(path)
    assert (found.status, found["code"]) == (404, code)


def test_what_mlflow_deleted_is_told_and_not_listed(machine: Machine) -> None:
    make_version(make_model("gone", deleted_at=timezone.now()), 1)
    assert machine.get("/models")["items"] == []
    assert machine.get("/models/gone")["deleted_at"] is not None


def test_a_person_without_a_role_reads_no_models_as_on_the_pages(remy: User) -> None:
    make_version("churn_predictor", 1)
    remy.groups.clear()
    assert Machine(remy, "read").get("/models/churn_predictor").status == 403


@pytest.mark.parametrize("path", ["/models", "/models/m0/versions", "/holders"])
def test_a_longer_page_asks_no_more_often(machine: Machine, rita: User, production: Target, path: str) -> None:
    def asked(first: int, last: int) -> int:
        for number in range(first, last):
            hold(make_version(f"m{number}", 1), production)
            make_request(make_version("m0", number + 2), production, by=rita)
        machine.get(f"{path}?limit=100")
        with CaptureQueriesContext(connection) as queries:
            assert len(machine.get(f"{path}?limit=100")["items"]) >= last
        return len(queries)

    assert asked(0, 2) == asked(2, 9)
