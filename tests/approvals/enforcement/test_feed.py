"""What MLflow's gate is told: which rules, which folders, signed by whom, and when anew."""

import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.cache import cache
from django.utils import timezone
from mlflow_gate import grants
from mlflow_gate import policy as gate_policy
from pytest_django import Settings

from accounts.models import User
from approvals import administration, policy
from approvals.enforcement import feed
from approvals.models import Enforcement, PolicyFeed, SealedFolder, Target
from mirror.models import Alias, ModelVersion
from mirror.port import Refused, Unreachable
from tests.support.factories import approve, make_policy, make_request, make_version
from tests.support.fakes import FakeRegistry

pytestmark = pytest.mark.django_db
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
DOCTOR = {
    "workspace": "",
    "models": ["countersign-doctor-*"],
    "except": [],
    "target": "Production",
    "stages": ["Production"],
    "aliases": ["champion"],
    "mode": "enforce",
    "words": "it needs 2 approvals from any reviewer",
}


@pytest.fixture(autouse=True)
def key(settings: Settings) -> None:
    settings.GATE_KEY = KEY.private_bytes_raw()


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def enforced(production: Target) -> Target:
    Target.objects.filter(pk=production.pk).update(enforcement=Enforcement.ENFORCE)
    production.refresh_from_db()
    return production


def said() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(PolicyFeed.objects.get().text)
    return found


def older(seconds: int) -> None:
    PolicyFeed.objects.update(issued_at=timezone.now() - timedelta(seconds=seconds))


def test_the_rules_are_for_the_workspace_that_is_mirrored(registry: FakeRegistry, enforced: Target) -> None:
    registry.workspace = "risk"
    feed.sign_if_due(registry)
    assert {rule["workspace"] for rule in said()["rules"]} == {"risk"}


def test_the_signed_text_says_which_places_are_enforced(registry: FakeRegistry, enforced: Target) -> None:
    make_policy("fraud_*", enforced, (1, None), (1, None))
    serial = feed.sign_if_due(registry)
    row = PolicyFeed.objects.get()
    grants.check_text([KEY.public_key()], "policy", row.text.encode(), row.signature)
    found = said()
    assert found["serial"] == serial == row.serial >= int(timezone.now().timestamp()) - 5
    assert (found["audience"], found["site"]) == ("mlflow", "http://127.0.0.1:8000")
    place = {"target": "Production", "stages": ["Production"], "aliases": ["champion"], "mode": "enforce"}
    words = "it needs 2 approvals: 1 from any reviewer and 1 from any reviewer"
    assert found["rules"] == [
        DOCTOR,
        DOCTOR | place | {"models": ["fraud_*"], "words": words},
        DOCTOR | place | {"models": ["*"]},
    ]  # fmt: skip
    assert found["sealed"] == []


def test_mlflows_gate_reads_what_is_written(registry: FakeRegistry, enforced: Target, ada: User) -> None:
    make_policy("fraud_*", enforced, (3, None))
    administration.save_target(Target(name="UAT", alias="uat", enforcement=Enforcement.OBSERVE), by=ada)
    version = holder("a", "mlflow-artifacts:/0/run1/artifacts/model", stage="Production")
    feed.sign_if_due(registry)
    found = gate_policy.parse(PolicyFeed.objects.get().text.encode(), "mlflow")
    fraud = found.guarded("default", "fraud_eu")
    assert fraud["stage:production"].rule.words == "it needs 3 approvals from any reviewer"
    assert {key: each.rule.mode for key, each in found.guarded("default", "churn").items()} == {
        "stage:production": "enforce",
        "alias:champion": "enforce",
        "alias:uat": "observe",
    }
    assert [(each.folder, each.model, each.version) for each in found.sealed] == [
        ("0/run1/artifacts/model", "a", version.number)
    ]
    with pytest.raises(ValueError, match="another MLflow"):
        gate_policy.parse(PolicyFeed.objects.get().text.encode(), "other")


@pytest.mark.parametrize("pattern", ["*", "churn_*", "?hurn*", "a*b?c", "[x]", "CHURN", ""])
@pytest.mark.parametrize("name", ["churn", "churn_eu", "aXbYc", "[x]", "Churn", "", "a*b?c"])
def test_patterns_mean_the_same_in_mlflow_as_here(pattern: str, name: str) -> None:
    assert gate_policy.matches(pattern, name) == policy.matches(pattern, name)


def test_a_target_that_is_off_is_not_in_it_and_an_alias_alone_may_be_observed(
    registry: FakeRegistry, ada: User
) -> None:
    administration.save_target(Target(name="UAT", alias="uat", enforcement=Enforcement.OBSERVE), by=ada)
    feed.sign_if_due(registry)
    doctor, uat = said()["rules"]
    assert doctor == DOCTOR
    assert (uat["stages"], uat["aliases"], uat["mode"], uat["models"]) == ([], ["uat"], "observe", ["*"])


def test_it_is_signed_anew_when_something_changed_or_a_minute_is_over(registry: FakeRegistry, enforced: Target) -> None:
    first = feed.sign_if_due(registry)
    assert first is not None
    assert feed.sign_if_due(registry) is None
    older(60)
    assert feed.sign_if_due(registry) == first  # the same policy, only younger
    Target.objects.filter(pk=enforced.pk).update(enforcement=Enforcement.OBSERVE)
    second = feed.sign_if_due(registry)
    assert second is not None
    assert second > first
    assert [rule["mode"] for rule in said()["rules"]] == ["enforce", "observe"]


def test_the_serial_never_falls_whatever_was_restored(registry: FakeRegistry, enforced: Target) -> None:
    first = feed.sign_if_due(registry)
    assert first is not None
    PolicyFeed.objects.all().delete()
    make_policy("fraud_*", enforced, (1, None))
    again = feed.sign_if_due(registry)
    assert again is not None
    assert again >= first
    ahead = first + 10_000
    PolicyFeed.objects.update(serial=ahead, text="{}")
    assert feed.sign_if_due(registry) == ahead + 1


def test_another_key_signs_anew_at_once(registry: FakeRegistry, settings: Settings, enforced: Target) -> None:
    feed.sign_if_due(registry)
    settings.GATE_KEY = b"o" * 32
    assert feed.sign_if_due(registry) is not None
    other = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
    row = PolicyFeed.objects.get()
    assert row.key == grants.public_key_of(other)
    grants.check_text([other.public_key()], "policy", row.text.encode(), row.signature)


def test_without_a_key_the_row_says_so_where_a_target_asks_for_it(
    registry: FakeRegistry, settings: Settings, enforced: Target
) -> None:
    feed.sign_if_due(registry)
    settings.GATE_KEY = b""
    assert feed.sign_if_due(registry) is None
    row = PolicyFeed.objects.get()
    assert "COUNTERSIGN_GATE_KEY" in row.problem
    assert row.text  # MLflow keeps what it has
    settings.GATE_KEY = KEY.private_bytes_raw()
    feed.sign_if_due(registry)
    assert PolicyFeed.objects.get().problem == ""


# --- Sealed folders


def holder(model: str, source: str, **fields: Any) -> ModelVersion:
    return make_version(model, source=source, **fields)


def test_the_folders_of_holders_are_sealed(registry: FakeRegistry, enforced: Target) -> None:
    staged = holder("a", "mlflow-artifacts:/0/run1/artifacts/model", stage="Production")
    named = holder("b", "mlflow-artifacts://mlflow:5000/1/models/m-1/artifacts")
    Alias.objects.create(model=named.model, name="champion", number=named.number)
    there = holder("ba", "mlflow-artifacts:/workspaces/risk/1/run7/artifacts/model", stage="Production")
    holder("c", "mlflow-artifacts:/0/run3/artifacts/model", stage="Staging")
    holder("d", "s3://bucket/0/run4/artifacts/model", stage="Production")
    holder("e", "mlflow-artifacts:/0", stage="Production")  # would seal all that others log
    registry.is_down = True
    feed.sign_if_due(registry)
    assert said()["sealed"] == [
        {"folder": "0/run1/artifacts/model", "model": "a", "version": staged.number},
        {"folder": "1/models/m-1/artifacts", "model": "b", "version": named.number},
        {"folder": "workspaces/risk/1/run7/artifacts/model", "model": "ba", "version": there.number},
    ]


def test_all_of_an_experiment_is_not_sealed_in_a_workspace_either(registry: FakeRegistry, enforced: Target) -> None:
    holder("a", "mlflow-artifacts:/workspaces/risk/1", stage="Production")
    registry.is_down = True
    feed.sign_if_due(registry)
    assert said()["sealed"] == []


def test_mlflow_is_asked_once_where_the_files_of_a_logged_model_lie(
    registry: FakeRegistry, enforced: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []

    def root(model: str, number: int) -> str:
        asked.append((model, number))
        if len(asked) == 1:
            raise Unreachable("MLflow does not answer.")
        return "mlflow-artifacts:/1/models/m-7e81/artifacts"

    monkeypatch.setattr(registry, "version_root", root)
    version = holder("a", "models:/m-7e81", stage="Production")
    feed.sign_if_due(registry)
    assert said()["sealed"] == []
    for _ in range(3):
        feed.sign_if_due(registry)
    assert said()["sealed"] == [{"folder": "1/models/m-7e81/artifacts", "model": "a", "version": version.number}]
    assert len(asked) == 2
    # Another version under the same number lies elsewhere.
    ModelVersion.objects.update(source="mlflow-artifacts:/2/run/artifacts/model")
    feed.sign_if_due(registry)
    assert said()["sealed"][0]["folder"] == "2/run/artifacts/model"
    assert SealedFolder.objects.count() == 1


def test_what_mlflow_does_not_say_is_not_asked_at_each_look(
    registry: FakeRegistry, enforced: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def root(model: str, number: int) -> str:
        asked.append(number)
        raise Refused("This account may not read the version.")

    monkeypatch.setattr(registry, "version_root", root)
    holder("a", "models:/m-7e81", stage="Production")
    for _ in range(3):
        feed.sign_if_due(registry)
    assert len(asked) == 1
    cache.clear()  # ten minutes later
    feed.sign_if_due(registry)
    assert len(asked) == 2


def test_what_is_approved_and_on_its_way_is_sealed(
    registry: FakeRegistry, enforced: Target, rita: User, remy: User, rosa: User
) -> None:
    version = holder("a", "mlflow-artifacts:/0/run1/artifacts/model")
    request = make_request(version, enforced, by=rita)
    feed.sign_if_due(registry)
    assert said()["sealed"] == []
    approve(request, remy, rosa)
    feed.sign_if_due(registry)
    assert [each["folder"] for each in said()["sealed"]] == ["0/run1/artifacts/model"]


def test_the_number_of_queries_does_not_grow(
    registry: FakeRegistry, enforced: Target, django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        holder(f"model{number}", f"mlflow-artifacts:/0/run{number}/artifacts/model", stage="Production")
        make_policy(f"model{number}", enforced, (1, None))
    feed.sign_if_due(registry)
    with django_assert_max_num_queries(6):
        assert feed.sign_if_due(registry) is None
