"""The files of what holds a place are read again: other bytes under an approval are an incident."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals import watch
from approvals.models import Incident, Target, Tenure
from approvals.watch import file_checks
from tests.support.fakes import FakeRegistry
from tests.support.world import MODEL, answered_by, approved, deliver, observe, only_incident

pytestmark = pytest.mark.django_db


def check(registry: FakeRegistry) -> int:
    """A day later."""
    Tenure.objects.open().filter(files_checked_at__isnull=False).update(
        files_checked_at=timezone.now() - timedelta(days=2)
    )
    return watch.check_files(registry)


def test_what_was_found_is_held_to_the_first_files_seen(registry: FakeRegistry) -> None:
    assert watch.check_files(registry) == 2  # v6 once for its two places, and v7
    assert Tenure.objects.open().filter(files_digest="").count() == 0
    assert watch.check_files(registry) == 0, "not due again"
    assert check(registry) == 2
    assert Incident.objects.count() == 0
    registry.change_file(MODEL, 6, "model.skops", b"other weights")
    check(registry)
    found = only_incident()
    assert (found.kind, found.before, found.after, found.details["version"]) == ("files", [6], [6], 6)
    assert found.not_before is not None
    assert found.not_before < found.seen_at
    check(registry)
    assert Incident.objects.count() == 1
    registry.change_file(MODEL, 6, "model.skops", b"weights")
    check(registry)
    assert only_incident().resolution == "undone"


def test_who_is_due_is_asked_once_and_the_same_bytes_hold_no_one_up(registry: FakeRegistry) -> None:
    watch.check_files(registry)
    with CaptureQueriesContext(connection) as queries:
        assert check(registry) == 2
    texts = [query["sql"] for query in queries]
    assert sum('"files_checked_at" ASC' in text for text in texts) == 1
    assert not [text for text in texts if "approvals_chainhead" in text], "settlements would wait for its lock"
    with CaptureQueriesContext(connection) as queries:
        assert watch.check_files(registry) == 0
    assert len(queries) == 2


def test_a_turn_ends_in_time_and_the_next_continues(registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    assert watch.check_files(registry, seconds=0) == 0
    monkeypatch.setattr(file_checks, "PER_TURN", 1)
    assert [watch.check_files(registry) for _ in range(3)] == [1, 1, 0]


def test_a_promoted_version_is_held_to_the_files_that_were_approved(
    registry: FakeRegistry, production: Target, rita: User, remy: User, rosa: User
) -> None:
    request = approved(registry, 8, production, by=rita, approvers=(remy, rosa))
    deliver(request, registry)
    registry.change_file(MODEL, 8, "model.skops", b"other weights")
    check(registry)
    assert only_incident().details["approved_digest"] != only_incident().details["digest"]
    registry.set_stage(MODEL, 5, "Production", archive_existing=True)
    registry.set_alias(MODEL, "champion", 5)
    observe(registry)
    assert Incident.objects.get(kind="files").resolution == "superseded"


def test_bytes_that_somebody_explained_are_not_told_again(registry: FakeRegistry, ada: User) -> None:
    watch.check_files(registry)
    registry.change_file(MODEL, 6, "model.skops", b"other weights")
    check(registry)
    watch.resolve(only_incident(), by=ada, reason="Re-saved by the platform team.")
    check(registry)
    assert Incident.objects.count() == 1
    registry.change_file(MODEL, 6, "model.skops", b"yet others")
    check(registry)
    assert Incident.objects.count() == 2


def test_a_policy_that_asks_for_no_hashes_is_respected(registry: FakeRegistry, production: Target) -> None:
    answered_by("report", production, files_limit_mb=0)
    watch.check_files(registry)
    assert set(Tenure.objects.open().filter(version_number=6).values_list("files_digest", flat=True)) == {""}
    assert registry.count("read_artifact") > 0, "Staging's policy asks for them"


def test_mlflow_away_says_nothing_about_the_files(registry: FakeRegistry) -> None:
    registry.is_down = True
    assert watch.check_files(registry) == 0
    assert Tenure.objects.filter(files_checked_at__isnull=False).count() == 0
