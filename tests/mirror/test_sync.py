"""The mirror against the fake registry: what is seen, what is marked, what survives trouble and simultaneous
writers."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mirror import facts, port, rows, sync, tasks
from mirror.models import Alias, MirrorState, ModelVersion, RegisteredModel
from tests.support.fakes import FakeRegistry
from tests.support.world import version

pytestmark = [pytest.mark.django_db, pytest.mark.each_database]

WRITES = ("INSERT", "UPDATE", "DELETE")
NAN, INFINITY = float("nan"), float("inf")


def stages() -> dict[int, str]:
    return dict(ModelVersion.objects.filter(deleted_at=None).values_list("number", "stage"))


def aliases() -> dict[str, int]:
    return dict(Alias.objects.values_list("name", "number"))


def writes(queries: CaptureQueriesContext) -> list[str]:
    return [
        each["sql"]
        for each in queries.captured_queries
        if each["sql"].startswith(WRITES) and "mirror_mirrorstate" not in each["sql"].split("SET")[0]
    ]


# --- What is mirrored


def test_first_pull_mirrors_everything(registry: FakeRegistry) -> None:
    run_id = registry.log_run({"auc_roc": 0.93}, {"max_depth": "8"})
    registry.create_model("churn_predictor", description="Who leaves?", tags={"team": "growth"})
    registry.create_version("churn_predictor", run_id=run_id, description="First.", tags={"cutoff": "2026-10-01"})
    registry.set_alias("churn_predictor", "champion", 1)

    report = sync.pull(registry)

    row = version(1)
    assert (report.changed, report.facts, report.error) == (1, 1, "")
    assert (row.model.description, row.model.tags, aliases()) == ("Who leaves?", {"team": "growth"}, {"champion": 1})
    assert (row.stage, row.description, row.tags, row.run_id) == ("None", "First.", {"cutoff": "2026-10-01"}, run_id)
    assert (row.metrics, row.params) == ({"auc_roc": 0.93}, {"max_depth": "8"})
    assert (row.run["user"], row.run["status"], row.run["is_missing"]) == ("rita", "FINISHED", False)
    assert int(row.created_at.timestamp() * 1000) == registry.version("churn_predictor", 1).created_at


def test_prompts_are_left_out(registry: FakeRegistry) -> None:
    registry.create_model("greeting", is_prompt=True)
    registry.create_version("greeting")
    registry.create_version("churn_predictor")
    sync.sweep(registry)
    assert list(RegisteredModel.objects.values_list("name", flat=True)) == ["churn_predictor"]
    assert ModelVersion.objects.count() == 1


def test_logged_model_values_win_over_those_of_its_run(registry: FakeRegistry) -> None:
    run_id = registry.log_run({"auc_roc": 0.1, "loss": 2.0}, {"max_depth": "8"})
    logged = registry.log_model({"auc_roc": 0.9}, {"n_estimators": "50"})
    registry.create_version("churn_predictor", run_id=run_id, logged_model_id=logged)
    sync.sweep(registry)
    assert version(1).metrics == {"auc_roc": 0.9, "loss": 2.0}
    assert version(1).params == {"max_depth": "8", "n_estimators": "50"}
    assert version(1).fact_sources == {"metrics": {"auc_roc": {"run": 0.1}}}
    assert version(1).run["logged_model"]["name"] == "model"


def test_metrics_that_are_no_numbers_become_words(registry: FakeRegistry) -> None:
    run_id = registry.log_run()
    registry.create_version("churn_predictor", run_id=run_id)
    registry.change_run(run_id, metrics={"nan": NAN, "up": INFINITY, "down": -INFINITY, "zero": 0.0})
    sync.sweep(registry)
    assert version(1).metrics == {"nan": "NaN", "up": "Infinity", "down": "-Infinity", "zero": 0.0}


@pytest.mark.parametrize("name", ["with space", "100% sure", "it's", 'say "hi"', "naïve-模型", "back\\slash", "%s"])
def test_model_names_with_odd_characters_are_mirrored(registry: FakeRegistry, name: str) -> None:
    registry.create_version(name, description="100 % {done} %s")
    sync.sweep(registry)
    registry.create_version(name)
    sync.pull(registry)
    assert [row.number for row in ModelVersion.objects.filter(model__name=name).order_by("number")] == [1, 2]


# --- Pull


def test_pull_sees_new_version_stage_and_description(churn: FakeRegistry) -> None:
    churn.create_version("churn_predictor", run_id=churn.log_run({"auc_roc": 0.95}))
    churn.set_stage("churn_predictor", 2, "Production", archive_existing=True)
    churn.set_description("churn_predictor", 3, "Third.")

    assert sync.pull(churn).changed == 3

    assert stages() == {1: "Archived", 2: "Production", 3: "None"}
    assert (version(3).description, version(3).metrics) == ("Third.", {"auc_roc": 0.95})


def test_pull_refreshes_aliases_of_models_it_touches(churn: FakeRegistry) -> None:
    churn.set_alias("churn_predictor", "champion", 2)
    churn.set_alias("churn_predictor", "challenger", 1)
    assert sync.pull(churn).changed == 0
    assert aliases() == {"champion": 1}, "an alias moves no time: the pull cannot know"
    churn.set_description("churn_predictor", 2, "Now.")
    sync.pull(churn)
    assert aliases() == {"champion": 2, "challenger": 1}


def test_pull_asks_once_and_writes_no_row_when_nothing_changed(churn: FakeRegistry) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        report = sync.pull(churn)
    assert (report.changed, churn.calls) == (0, [("versions", 100)])
    assert writes(queries) == []
    assert len(queries) <= 7 + (connection.vendor == "postgresql")  # which is asked what time it is


def test_pull_queries_do_not_grow_with_unchanged_rows(churn: FakeRegistry) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            sync.pull(churn)
        return len(captured)

    before = queries()
    for number in range(40):
        churn.create_version(f"model_{number}")
    sync.pull(churn)
    assert queries() == before


def test_pull_reads_on_until_it_meets_what_it_has(churn: FakeRegistry) -> None:
    for number in range(250):
        churn.create_version(f"model_{number % 30}")
    churn.calls.clear()
    assert sync.pull(churn).changed == 250
    assert ModelVersion.objects.count() == 252
    assert churn.count("versions") <= 2
    assert churn.count("model") == 0, "many models are read by pages, not one by one"


def test_pull_with_many_changes_asks_for_the_digests_of_what_it_was_told_about(churn: FakeRegistry) -> None:
    for number in range(300):
        churn.create_version(f"old_{number}")
    sync.pull(churn)
    for number in range(101):
        churn.create_version(f"old_{number % 12}")
    churn.calls.clear()
    with CaptureQueriesContext(connection) as queries:
        assert sync.pull(churn).changed == 101
    assert [call for call in churn.calls if call[0] == "versions"] == [("versions", 100), ("versions", 1000)]
    assert churn.count("models") == 0, "twelve of three hundred models are asked for by name"
    read = [each["sql"] for each in queries if '"status_message"' in each["sql"] and each["sql"].startswith("SELECT")]
    digests = [sql for sql in read if '"facts_at" IS NULL' not in sql]
    assert digests
    assert all('"name" IN' in sql for sql in digests), "never the whole mirror"


def test_pull_sees_versions_of_the_same_millisecond_as_its_cursor() -> None:
    now = [1_750_000_000_000]
    registry = FakeRegistry(clock=lambda: now[0])
    for number in range(150):
        registry.create_version(f"a_{number:03}")
    sync.sweep(registry)
    registry.create_version("zz_late")
    assert sync.pull(registry).changed == 1
    assert version(1, "zz_late").stage == "None"


def test_pull_sees_a_version_committed_late_with_an_older_time(churn: FakeRegistry) -> None:
    cursor = MirrorState.objects.current().cursor
    churn.create_version("churn_predictor", last_updated_at=cursor - 1)
    assert sync.pull(churn).changed == 1


# --- Deletions


def test_sweep_marks_a_deleted_version_and_keeps_its_row(churn: FakeRegistry) -> None:
    churn.delete_version("churn_predictor", 2)
    assert sync.sweep(churn).deleted == 1
    assert version(2).deleted_at is not None
    assert (version(2).metrics, version(1).deleted_at) == ({"auc_roc": 0.93}, None)
    assert sync.sweep(churn).deleted == 0


def test_sweep_marks_a_deleted_model_with_all_its_versions(churn: FakeRegistry) -> None:
    churn.delete_model("churn_predictor")
    assert sync.sweep(churn).deleted == 2
    assert RegisteredModel.objects.get().deleted_at is not None
    assert (stages(), aliases()) == ({}, {})


def test_model_registered_anew_is_undeleted_without_the_old_facts(churn: FakeRegistry) -> None:
    churn.delete_model("churn_predictor")
    sync.sweep(churn)
    churn.create_version("churn_predictor")
    sync.sweep(churn)
    assert RegisteredModel.objects.get().deleted_at is None
    assert (version(1).deleted_at, version(1).stage, version(1).metrics, version(1).run) == (None, "None", {}, {})
    assert version(2).deleted_at is not None


def test_renamed_model_is_new_and_the_old_name_is_deleted(churn: FakeRegistry) -> None:
    churn.delete_model("churn_predictor")
    churn.create_version("churn_v2")
    report = sync.sweep(churn)
    assert (report.added, report.deleted) == (1, 2)


def test_failed_sweep_marks_nothing_as_deleted(churn: FakeRegistry) -> None:
    churn.delete_version("churn_predictor", 2)
    churn.create_version("other")
    churn.fail_next("versions")
    with pytest.raises(port.Unreachable):
        sync.sweep(churn)
    assert version(2).deleted_at is None
    assert MirrorState.objects.current().sweep_failing_since is not None


# --- Several writers


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of ten, so that things can happen between two of them."""
    whole = FakeRegistry.versions

    def versions(
        self: FakeRegistry, *, page_size: int = 10, model: str | None = None, by_name: bool = False
    ) -> Iterator[Any]:
        return whole(self, page_size=min(page_size, 10), model=model, by_name=by_name)

    monkeypatch.setattr(FakeRegistry, "versions", versions)


def once(action: Any) -> Any:
    done: list[bool] = []

    def run() -> None:
        if not done:
            done.append(True)
            action()

    return run


@pytest.mark.usefixtures("small_pages")
def test_version_registered_and_pulled_while_the_sweep_runs_is_kept(registry: FakeRegistry) -> None:
    for number in range(35):
        registry.create_version(f"model_{number}")
    sync.sweep(registry)
    registry.between_pages = once(lambda: registry.create_version("brand_new"))
    seen: list[int] = []

    def pull_between(report: sync.SweepReport) -> None:
        if report.versions and not seen:
            seen.append(sync.pull(registry).changed)

    sync.sweep(registry, on_progress=pull_between)
    assert version(1, "brand_new").deleted_at is None
    assert ModelVersion.objects.filter(deleted_at=None).count() == 36


@pytest.mark.usefixtures("small_pages")
def test_versions_that_slip_between_pages_are_not_taken_for_deleted(registry: FakeRegistry) -> None:
    for number in range(35):
        registry.create_version(f"model_{number:02}")
    sync.sweep(registry)
    # Offsets shift up by one: the first version of the next page is never listed.
    registry.between_pages = once(lambda: registry.delete_version("model_34", 1))
    sync.sweep(registry)
    registry.between_pages = lambda: None
    sync.sweep(registry)
    gone = ModelVersion.objects.exclude(deleted_at=None).values_list("model__name", flat=True)
    assert list(gone) == ["model_34"]


@pytest.mark.usefixtures("small_pages")
def test_version_changed_between_pages_is_seen_by_the_next_pull(registry: FakeRegistry) -> None:
    for number in range(35):
        registry.create_version(f"model_{number:02}")
    sync.sweep(registry)
    registry.between_pages = once(lambda: registry.set_stage("model_00", 1, "Staging", archive_existing=False))
    sync.sweep(registry)
    sync.pull(registry)
    assert version(1, "model_00").stage == "Staging"


def test_older_answer_never_overwrites_a_newer_one(churn: FakeRegistry) -> None:
    asked_at = timezone.now()
    old_version, old_model = churn.version("churn_predictor", 2), churn.model("churn_predictor")
    churn.set_tag("churn_predictor", 2, "countersign.request", "12")
    churn.set_alias("churn_predictor", "champion", 2)
    sync.refresh_version(churn, "churn_predictor", 2)
    sync.store_alias("churn_predictor", "champion", 2)

    rows.put_versions([old_version], asked_at)
    rows.put_models([old_model], asked_at)

    assert version(2).tags == {"countersign.request": "12"}
    assert aliases() == {"champion": 2}


def test_deletion_seen_before_a_newer_answer_is_not_marked(churn: FakeRegistry) -> None:
    asked_at = timezone.now()
    churn.set_description("churn_predictor", 2, "Still here.")
    sync.refresh_version(churn, "churn_predictor", 2)
    assert rows.mark_deleted("churn_predictor", asked_at, {2}) == 0
    assert version(2).deleted_at is None


def test_next_page_is_fetched_while_the_caller_works() -> None:
    fetched = threading.Event()

    def pages() -> Iterator[list[int]]:
        yield [1]
        fetched.set()
        yield [2]

    from mirror.sweep import read_ahead

    ahead = read_ahead(pages())
    assert next(ahead)[1] == [1]
    assert fetched.wait(5), "the second page must be on its way before the caller asks for it"
    assert [page for _, page in ahead] == [[2]]


# --- Sweep


def test_second_sweep_writes_no_row(churn: FakeRegistry) -> None:
    ModelVersion.objects.update(facts_at=timezone.now() + timedelta(hours=1))
    with CaptureQueriesContext(connection) as queries:
        report = sync.sweep(churn)
    assert (report.added, report.changed, report.deleted, report.facts) == (0, 0, 0, 0)
    assert writes(queries) == []


def test_sweep_sees_tags_and_aliases_that_moved_alone(churn: FakeRegistry) -> None:
    churn.set_tag("churn_predictor", 2, "checked", "yes")
    churn.set_alias("churn_predictor", "champion", 2)
    churn.set_alias("churn_predictor", "uat", 1)
    sync.sweep(churn)
    assert (version(2).tags, aliases()) == ({"checked": "yes"}, {"champion": 2, "uat": 1})
    churn.delete_alias("churn_predictor", "uat")
    churn.delete_tag("churn_predictor", 2, "checked")
    sync.sweep(churn)
    assert (version(2).tags, aliases()) == ({}, {"champion": 2})


def test_dry_run_says_what_would_change_and_writes_nothing(churn: FakeRegistry) -> None:
    churn.create_version("churn_predictor")
    churn.set_stage("churn_predictor", 1, "Archived", archive_existing=False)
    churn.set_tag("churn_predictor", 1, "why", "old")
    churn.delete_version("churn_predictor", 2)
    churn.create_version("brand_new")
    before = MirrorState.objects.values().get()

    with CaptureQueriesContext(connection) as queries:
        report = sync.sweep(churn, dry_run=True)

    assert [each["sql"] for each in queries.captured_queries if each["sql"].startswith(WRITES)] == []
    assert (report.added, report.changed, report.deleted) == (2, 1, 1)
    assert sorted(report.changes) == [
        "brand_new version 1: added",
        "brand_new: added",
        "churn_predictor version 1: stage Production → Archived",
        "churn_predictor version 2: deleted",
        "churn_predictor version 3: added",
        "churn_predictor: changed",
    ]
    assert (stages(), MirrorState.objects.values().get()) == ({1: "Production", 2: "None"}, before)


def test_sweep_reports_progress_and_clears_it(churn: FakeRegistry) -> None:
    lines: list[tuple[int, int]] = []
    sync.sweep(churn, on_progress=lambda report: lines.append((report.models, report.versions)))
    assert lines[0] == (1, 0)
    assert lines[-1] == (1, 2)
    state = MirrorState.objects.current()
    assert (state.sweep_progress, state.sweeping_until) == ({}, None)


# --- Facts


def test_metrics_logged_after_registration_are_seen_by_the_sweep(churn: FakeRegistry) -> None:
    churn.change_run(version(2).run_id, metrics={"auc_roc": 0.93, "ndcg": 0.7})
    ModelVersion.objects.update(created_at=timezone.now())
    sync.sweep(churn)
    assert version(2).metrics == {"auc_roc": 0.93, "ndcg": 0.7}


def test_run_that_disappeared_keeps_its_facts_and_is_marked(churn: FakeRegistry) -> None:
    churn.purge_run(version(2).run_id)
    ModelVersion.objects.update(facts_at=timezone.now() - timedelta(days=2))
    sync.sweep(churn)
    assert version(2).metrics == {"auc_roc": 0.93}
    assert (version(2).run["is_missing"], version(2).run["tags"]) == (True, {"mlflow.source.git.commit": "abc"})


def test_run_in_the_bin_is_marked_as_deleted(churn: FakeRegistry) -> None:
    churn.delete_run(version(2).run_id)
    ModelVersion.objects.update(facts_at=timezone.now() - timedelta(days=2))
    sync.sweep(churn)
    assert (version(2).run["is_deleted"], version(2).metrics) == (True, {"auc_roc": 0.93})


def test_old_settled_versions_are_read_again_once_a_day_and_not_more(churn: FakeRegistry) -> None:
    ModelVersion.objects.update(stage="Archived", created_at=timezone.now() - timedelta(days=30))
    assert facts.due(timezone.now()).count() == 0
    assert facts.due(timezone.now() + timedelta(hours=25)).count() == 2


def test_failing_facts_are_read_by_a_later_pull(churn: FakeRegistry) -> None:
    churn.create_version("churn_predictor", run_id=churn.log_run({"auc_roc": 0.99}))
    churn.fail_next("runs")
    assert sync.pull(churn).error != ""
    assert version(3).metrics == {}
    assert sync.pull(churn).facts == 1
    assert version(3).metrics == {"auc_roc": 0.99}


# --- Outage


def test_outage_is_recorded_and_forgotten_on_recovery(churn: FakeRegistry) -> None:
    churn.is_down = True
    assert sync.pull(churn).error == "MLflow cannot be reached: Connection refused."
    first = MirrorState.objects.current()
    sync.pull(churn)
    second = MirrorState.objects.current()
    assert (second.failing_since, second.error) == (first.failing_since, first.error)
    assert second.failed_at is not None
    assert first.failed_at is not None
    assert second.failed_at > first.failed_at
    churn.is_down = False
    churn.create_version("churn_predictor")
    assert sync.pull(churn).changed == 1
    state = MirrorState.objects.current()
    assert (state.failing_since, state.error, state.is_failing) == (None, "", False)


def test_sweep_notes_server_and_times(churn: FakeRegistry) -> None:
    state = MirrorState.objects.current()
    assert (state.server_version, state.cursor) == ("3.17.2", churn.version("churn_predictor", 1).last_updated_at)
    assert state.age_seconds is not None
    assert state.age_seconds < 60


# --- Targeted


def test_refresh_version_returns_and_stores_what_mlflow_says_now(churn: FakeRegistry) -> None:
    churn.set_description("churn_predictor", 2, "Fresh.")
    churn.change_run(version(2).run_id, metrics={"auc_roc": 0.5})
    assert sync.refresh_version(churn, "churn_predictor", 2).description == "Fresh."
    assert (version(2).description, version(2).metrics) == ("Fresh.", {"auc_roc": 0.5})


def test_refresh_version_that_is_gone_marks_it(churn: FakeRegistry) -> None:
    churn.delete_version("churn_predictor", 2)
    with pytest.raises(port.NotFound, match="not found"):
        sync.refresh_version(churn, "churn_predictor", 2)
    assert version(2).deleted_at is not None


def test_refresh_version_of_a_model_not_yet_mirrored(churn: FakeRegistry) -> None:
    churn.create_version("brand_new")
    sync.refresh_version(churn, "brand_new", 1)
    assert version(1, "brand_new").stage == "None"


def test_refresh_model_sees_aliases_tags_and_deletions(churn: FakeRegistry) -> None:
    churn.delete_version("churn_predictor", 1)
    churn.set_alias("churn_predictor", "champion", 2)
    churn.set_tag("churn_predictor", 2, "checked", "yes")
    sync.refresh_model(churn, "churn_predictor")
    assert (stages(), aliases(), version(2).tags) == ({2: "None"}, {"champion": 2}, {"checked": "yes"})


def test_refresh_model_that_is_gone_marks_all_of_it(churn: FakeRegistry) -> None:
    churn.delete_model("churn_predictor")
    with pytest.raises(port.NotFound):
        sync.refresh_model(churn, "churn_predictor")
    assert stages() == {}


def test_store_versions_takes_what_the_caller_read(churn: FakeRegistry) -> None:
    churn.set_stage("churn_predictor", 2, "Production", archive_existing=True)
    sync.store_versions([churn.version("churn_predictor", number) for number in (1, 2)])
    assert stages() == {1: "Archived", 2: "Production"}
    assert version(1).metrics == {"auc_roc": 0.90}


# --- Tasks


def test_pull_task_gives_way_to_a_running_pull(churn: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "connect", lambda: churn)
    assert MirrorState.objects.claim("pulling_until", seconds=60)
    tasks.pull()
    assert churn.calls == []
    MirrorState.objects.record(pulling_until=timezone.now() - timedelta(seconds=1))
    tasks.pull()
    assert churn.count("versions") == 1
    assert MirrorState.objects.current().pulling_until is None


def test_sweep_task_gives_way_and_survives_an_outage(churn: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "connect", lambda: churn)
    MirrorState.objects.record(sweep_due_at=None)
    assert MirrorState.objects.claim("sweeping_until", seconds=60)
    tasks.sweep()
    assert churn.calls == []
    MirrorState.objects.record(sweeping_until=None, sweep_due_at=None)
    churn.is_down = True
    tasks.sweep()
    state = MirrorState.objects.current()
    assert (state.sweep_failing_since is not None, state.sweeping_until) == (True, None)
