"""Few rows go to the database in a statement, many by way of a table of their own: what is stored is the same."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mirror import facts, rows
from mirror.models import ModelVersion
from mirror.port import VersionSnapshot
from tests.mirror.test_unchanged import ODD
from tests.support.fakes import FakeRegistry

pytestmark = [pytest.mark.django_db, pytest.mark.each_database]

COLUMNS = ("number", *rows.VERSION_TEXTS, "tags", "metrics", "run", *rows.MOMENTS, "read_at", "facts_at")


@pytest.fixture(params=["few", "many"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On SQLite there is one way, with more statements or fewer."""
    monkeypatch.setattr(rows, "PER_STATEMENT", 400 if request.param == "few" else 2)


@pytest.fixture
def listed(registry: FakeRegistry) -> list[VersionSnapshot]:
    for number, text in enumerate(ODD, start=1):
        registry.create_version("churn_predictor", run_id=f"{number}" * 32 if number < 5 else "")
        registry.set_description("churn_predictor", number, f"{text}\\N \\. \\t")
        registry.set_tag("churn_predictor", number, text or "none", text)
    rows.put_models([registry.model("churn_predictor")], timezone.now())
    return [each for page in registry.versions(by_name=True) for each in page]


def stored() -> list[tuple[Any, ...]]:
    return list(ModelVersion.objects.order_by("number").values_list(*COLUMNS))


@pytest.mark.usefixtures("way")
def test_what_is_written_is_what_was_listed_and_facts_stay_with_their_run(listed: list[VersionSnapshot]) -> None:
    first = timezone.now()
    rows.put_versions(listed, first)
    assert [
        each for each in listed if rows.known_versions(listed)[each.model, each.number] != rows.version_digest(each)
    ] == []
    assert {row[-2] for row in stored()} == {first}
    assert [row[-1] is None for row in stored()] == [bool(each.run_id) for each in listed], "what has facts to be read"

    ModelVersion.objects.update(metrics={"auc": 0.9}, facts_at=first)
    ModelVersion.objects.filter(number=6).update(deleted_at=first)
    changed = [
        replace(each, description="New.", run_id="f" * 32 if each.number == 2 else each.run_id) for each in listed
    ]
    rows.put_versions(changed, first + timedelta(seconds=1))
    assert {row.description for row in ModelVersion.objects.all()} == {"New."}
    assert [row.number for row in ModelVersion.objects.filter(metrics={})] == [2], "another run"
    assert not ModelVersion.objects.exclude(deleted_at=None).exists(), "what is listed is back"

    before = stored()
    rows.put_versions(listed, first)
    assert stored() == before, "an older answer"


def test_both_ways_store_the_same(listed: list[VersionSnapshot], monkeypatch: pytest.MonkeyPatch) -> None:
    at = timezone.now()
    found = []
    for per_statement in (400, 2):
        monkeypatch.setattr(rows, "PER_STATEMENT", per_statement)
        ModelVersion.objects.all().delete()
        rows.put_versions(listed, at)
        found.append(stored())
    assert found[0] == found[1]
    assert len(found[0]) == len(ODD)


ON_POSTGRESQL = pytest.mark.skipif(connection.vendor != "postgresql", reason="On SQLite the transaction is the lock.")


@ON_POSTGRESQL
def test_many_models_are_locked_in_the_order_in_which_few_are(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the collation of the database, `a` would come before `B`, and two that write could wait for each other."""
    monkeypatch.setattr(rows, "PER_STATEMENT", 2)
    for name in ("a", "B", "c"):
        registry.create_version(name)
    with CaptureQueriesContext(connection) as queries:
        rows.put_models([registry.model(name) for name in ("a", "B", "c")], timezone.now())
    (written,) = (each["sql"] for each in queries if "FROM coming" in each["sql"])
    assert 'ORDER BY name COLLATE "C" ON CONFLICT' in written


@ON_POSTGRESQL
def test_facts_lock_their_versions_in_the_order_of_keys_before_any_is_written(
    listed: list[VersionSnapshot], registry: FakeRegistry
) -> None:
    rows.put_versions(listed, timezone.now())
    versions = list(ModelVersion.objects.select_related("model").order_by("model_id", "number"))
    with CaptureQueriesContext(connection) as queries:
        facts.read_batch(registry, versions)
    touching = [each["sql"] for each in queries if "UPDATE" in each["sql"]]
    assert touching[0].endswith('"mirror_modelversion"."number" ASC FOR NO KEY UPDATE')
    assert all(each.startswith("UPDATE") for each in touching[1:])
    with CaptureQueriesContext(connection) as queries:
        facts.read_batch(registry, versions[:1])
    assert not any("FOR NO KEY UPDATE" in each["sql"] for each in queries), "one waits for no second"


@pytest.mark.each_database
@ON_POSTGRESQL
@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("wrong", [{"description": "a\x00b"}, {"tags": {"a": "\x00"}}, {"stage": "x" * 500}], ids=str)
def test_what_postgresql_does_not_take_is_refused_in_the_same_words_either_way(
    listed: list[VersionSnapshot], wrong: dict[str, Any]
) -> None:
    with pytest.raises(DataError), transaction.atomic():
        rows.put_versions([replace(each, **wrong) for each in listed], timezone.now())
    rows.put_versions(listed, timezone.now())
    assert len(stored()) == len(listed), "and the connection is of use"
