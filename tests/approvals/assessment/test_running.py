"""Checks before people are asked, and back to review when the content changed, and only then; on the fake registry."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals import assessment, workflow
from approvals.models import Action, Assessment, AuditEvent, PromotionRequest, Status, Target
from approvals.policy import CheckRule
from approvals.selectors import inbox, request_state
from approvals.workflow import Invalid, NotAllowed
from mirror import inspection, sync
from mirror.port import Refused, Unreachable
from tests.support.factories import approve, make_person, make_policy, make_request
from tests.support.fakes import FakeRegistry
from tests.support.world import MODEL, ask, deliver, version

pytestmark = pytest.mark.django_db


@pytest.fixture
def registry() -> FakeRegistry:
    """v1 in Production and champion, v2 asked for; mirrored."""
    fake = FakeRegistry()
    for auc in (0.90, 0.93):
        run_id = fake.log_run({"auc_roc": auc}, {"max_depth": "8"}, tags={})
        fake.create_version(MODEL, run_id=run_id, description="Trained.", tags={"team": "growth"})
    fake.set_stage(MODEL, 1, "Production", archive_existing=False)
    fake.set_alias(MODEL, "champion", 1)
    sync.sweep(fake)
    return fake


def assess(request: PromotionRequest, registry: FakeRegistry) -> PromotionRequest:
    assert assessment.assess(request.pk, registry) == "concluded"
    return fresh(request)


def fresh(request: PromotionRequest) -> PromotionRequest:
    return PromotionRequest.objects.with_subject().get(pk=request.pk)


def pulled(registry: FakeRegistry) -> int:
    """What a sweep and the watch after it do."""
    sync.refresh_model(registry, MODEL)
    return assessment.watch()


def last(action: Action) -> AuditEvent:
    return AuditEvent.objects.filter(action=action).latest("sequence")


# --- Before people are asked ------------------------------------------------------------------------------------------


def test_nobody_is_asked_before_the_checks_are_done(
    registry: FakeRegistry, rita: User, remy: User, production: Target
) -> None:
    request = make_request(version(2), production, by=rita, is_checked=False)
    assert request.status == Status.CHECKING
    assert not inbox.tab("waiting", remy).exists()
    with pytest.raises(NotAllowed, match="are still running"):
        workflow.review(request, by=remy, verdict="approve")
    request = assess(request, registry)
    assert request.status == Status.PENDING
    assert list(inbox.tab("waiting", remy)) == [request]
    (files,) = request.checks.live()
    assert (files.outcome, files.title) == ("pass", "Model files are hashed")
    assert last(Action.REQUEST_CHECKED).data["fingerprint"] == request.fingerprint


def test_a_failed_check_that_blocks_asks_nobody_and_goes_on_when_it_is_put_right(
    registry: FakeRegistry, rita: User, remy: User, production: Target
) -> None:
    make_policy(MODEL, production, (1, None), checks=(CheckRule("provenance", settings={"keys": ["owner"]}),))
    request = ask(registry, 2, production, by=rita)
    assert request.status == Status.CHECKING
    assert request.status_reason == "Blocked by checks: Provenance (Nothing says owner: no parameter and no tag)."
    with pytest.raises(NotAllowed, match="Automatic checks block this request: Provenance"):
        workflow.review(request, by=remy, verdict="approve")
    assert pulled(registry) == 0
    registry.set_tag(MODEL, 2, "owner", "growth")
    assert pulled(registry) == 1
    request = fresh(request)
    assert (request.status, request.status_reason) == (Status.PENDING, "")
    assert last(Action.REQUEST_CHECKED).data["changed"] == ["tag owner"]
    assert approve(request, remy).status == Status.APPROVED


def test_a_blocked_request_waits_for_its_requester(
    registry: FakeRegistry, rita: User, remy: User, production: Target
) -> None:
    make_policy(MODEL, production, (1, None), checks=(CheckRule("provenance"),))
    request = make_request(version(2), production, by=rita, is_checked=False)
    assert not inbox.tab("waiting", rita).exists()
    assess(request, registry)
    assert list(inbox.tab("waiting", rita)) == [request]
    assert not inbox.tab("waiting", remy).exists()


@pytest.mark.parametrize("effect", ["warn", "inform"])
def test_a_failed_check_that_does_not_block_is_seen(
    registry: FakeRegistry, rita: User, production: Target, effect: str
) -> None:
    make_policy(MODEL, production, (1, None), checks=(CheckRule("provenance", effect),))
    request = ask(registry, 2, production, by=rita)
    assert request.status == Status.PENDING
    assert request.checks.live().get(kind="provenance").outcome == ("warn" if effect == "warn" else "fail")


def test_overriding_takes_the_permission_and_a_reason_and_is_seen_ever_after(
    registry: FakeRegistry, rita: User, remy: User, ada: User, production: Target
) -> None:
    make_policy(MODEL, production, (1, None), checks=(CheckRule("provenance"),))
    request = ask(registry, 2, production, by=rita)
    result = request.checks.blocking().get()
    for person in (rita, remy):
        with pytest.raises(NotAllowed):
            workflow.override(request, result, by=person, reason="I know.")
    with pytest.raises(Invalid, match="Enter"):
        workflow.override(request, result, by=ada, reason=" ")
    workflow.override(request, result, by=ada, reason="Trained before we logged it.")
    assert fresh(request).status == Status.PENDING
    event = last(Action.CHECK_OVERRIDDEN)
    assert (event.actor, event.data["reason"]) == (ada, "Trained before we logged it.")
    registry.set_description(MODEL, 2, "Other words.")
    assert pulled(registry) == 1
    kept = request.checks.live().get(kind="provenance")
    assert (kept.overridden_by, fresh(request).status) == (ada, Status.PENDING)


def test_an_override_does_not_outlive_another_failure(
    registry: FakeRegistry, rita: User, ada: User, production: Target
) -> None:
    rule = CheckRule("metric_threshold", settings={"metric": "auc_roc", "at_least": 0.95})
    make_policy(MODEL, production, (1, None), checks=(rule,))
    request = ask(registry, 2, production, by=rita)
    workflow.override(request, request.checks.blocking().get(), by=ada, reason="Close enough.")
    registry.change_run(registry.version(MODEL, 2).run_id, metrics={"auc_roc": 0.5})
    assert pulled(registry) == 1
    assert fresh(request).status == Status.CHECKING
    assert request.checks.blocking().get().reason == "auc_roc is 0.5; at least 0.95 is asked."
    assert request.checks.filter(overridden_by=ada).count() == 1


def test_an_outage_is_waited_out_and_said(registry: FakeRegistry, rita: User, production: Target) -> None:
    request = make_request(version(2), production, by=rita, is_checked=False)
    registry.is_down = True
    assert assessment.assess(request.pk, registry) == "waiting"
    row = Assessment.objects.get(request=request)
    assert row.waiting_since is not None
    assert "cannot be reached" in row.last_error
    assert assessment.assess(request.pk, registry) == "skipped"  # not due yet
    registry.is_down = False
    Assessment.objects.update(due_at=row.waiting_since)
    assert assessment.drain(registry) == 1
    assert fresh(request).status == Status.PENDING


@pytest.mark.parametrize(
    ("trouble", "words"),
    [(Refused("Access denied."), "Access denied"), (inspection.TookTooLong("Not within 1 second."), "Not within 1")],
)
def test_files_that_cannot_be_read_block_with_the_reason(
    registry: FakeRegistry, rita: User, production: Target, trouble: Exception, words: str
) -> None:
    registry.fail_next("artifacts", trouble)  # type: ignore[arg-type]
    request = ask(registry, 2, production, by=rita)
    assert request.status == Status.CHECKING
    assert words in request.status_reason
    workflow.resubmit(request, by=rita)
    assert assess(request, registry).status == Status.PENDING


def test_inspection_that_keeps_failing_ends_with_a_reason(
    registry: FakeRegistry, rita: User, production: Target
) -> None:
    request = make_request(version(2), production, by=rita, is_checked=False)
    registry.fail_next("version_root", RuntimeError("A bug."), times=6)  # type: ignore[arg-type]
    for _ in range(assessment.MOST_FAILURES):
        Assessment.objects.update(due_at=timezone.now(), lease_expires_at=None)
        with pytest.raises(RuntimeError):
            assessment.assess(request.pk, registry)
    Assessment.objects.update(due_at=timezone.now())
    assert assessment.assess(request.pk, registry) == "concluded"
    request = fresh(request)
    assert request.status == Status.CHECKING
    assert "The inspection ended 5 times without a result, so it is not retried automatically." in request.status_reason
    registry._failures.clear()
    workflow.resubmit(request, by=rita)
    assert assess(request, registry).status == Status.PENDING


def test_outages_never_count_as_failures(registry: FakeRegistry, rita: User, production: Target) -> None:
    request = make_request(version(2), production, by=rita, is_checked=False)
    registry.is_down = True
    for _ in range(assessment.MOST_FAILURES + 2):
        Assessment.objects.update(due_at=timezone.now())
        assert assessment.assess(request.pk, registry) == "waiting"
    registry.is_down = False
    Assessment.objects.update(due_at=timezone.now())
    assert assess(request, registry).status == Status.PENDING


def test_worker_that_dies_over_a_file_again_and_again_ends_with_a_reason(
    registry: FakeRegistry, rita: User, production: Target
) -> None:
    request = make_request(version(2), production, by=rita, is_checked=False)
    for number in range(assessment.MOST_FAILURES):
        lease = timedelta(seconds=60)
        assert Assessment.objects.claim(request.pk, by=f"worker {number}", lease=lease) is not None
        Assessment.objects.update(lease_expires_at=timezone.now())
    assert assessment.assess(request.pk, registry) == "concluded"
    assert "not retried automatically" in fresh(request).status_reason


def test_what_only_decorates_blocks_nobody_and_is_said(
    registry: FakeRegistry, rita: User, production: Target, client: Client
) -> None:
    registry.fail_next("stepped_metrics", Unreachable("There is no MLflow registry at http://mlflow (answer 404)."))
    request = ask(registry, 2, production, by=rita)
    assert request.status == Status.PENDING
    client.force_login(rita)
    for url in (
        request.get_absolute_url(),
        f"{request.get_absolute_url()}compare/",
        request.version.get_absolute_url(),
    ):
        text = client.get(url).content.decode()
        assert "Curves of metrics are not available: There is no MLflow registry" in text, url


def test_files_that_could_not_be_read_are_read_again_when_something_changes(
    registry: FakeRegistry, rita: User, staging: Target, production: Target
) -> None:
    """Not taken from another look at the same version, which succeeded before."""
    ask(registry, 2, staging, by=rita)
    registry.change_file(MODEL, 2, "model.skops", b"other weights")
    registry.fail_next("artifacts", Refused("Access denied."))
    request = ask(registry, 2, production, by=rita)
    assert request.status == Status.CHECKING
    registry.set_description(MODEL, 2, "Mended.")
    pulled(registry)
    assert fresh(request).status == Status.CHECKING
    assert assessment.drain(registry) == 1
    request = fresh(request)
    assert request.status == Status.PENDING
    files = json.loads(request.evidence)["version"]["files"]
    assert [size for path, size, _ in files["manifest"] if path == "model.skops"] == [len(b"other weights")]


def test_watching_reads_no_curves_and_takes_no_lock(registry: FakeRegistry, rita: User, production: Target) -> None:
    request = ask(registry, 2, production, by=rita)
    with CaptureQueriesContext(connection) as queries:
        assert assessment.watch() == 0
    text = " ".join(query["sql"] for query in queries)
    assert request.status == Status.PENDING
    assert "mirror_inspection" in text
    assert "curves" not in text
    assert "SAVEPOINT" not in text
    assert "FOR UPDATE" not in text


def test_a_version_deleted_meanwhile_blocks(registry: FakeRegistry, rita: User, production: Target) -> None:
    request = make_request(version(2), production, by=rita, is_checked=False)
    registry.delete_version(MODEL, 2)
    assert "no longer exists in MLflow" in assess(request, registry).status_reason


def test_a_killed_worker_is_resumed_when_its_lease_is_over(
    registry: FakeRegistry, rita: User, production: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    request = make_request(version(2), production, by=rita, is_checked=False)
    with monkeypatch.context() as patched:
        patched.setattr(inspection, "inspect", die)
        with pytest.raises(Killed):
            assessment.assess(request.pk, registry)
    assert assessment.assess(request.pk, registry) == "skipped"
    Assessment.objects.update(lease_expires_at=None)
    assert assess(request, registry).status == Status.PENDING


# --- Back to review when the content changed, and only then -----------------------------------------------------------


@pytest.fixture
def risk() -> User:
    return make_person("Rik Risk", "reviewer", "risk")


CHANGES: dict[str, tuple[Callable[[FakeRegistry], Any], str]] = {
    "metrics": (lambda f: f.change_run(f.version(MODEL, 2).run_id, metrics={"auc_roc": 0.93, "f1": 0.8}), "metric f1"),
    "params": (lambda f: f.change_run(f.version(MODEL, 2).run_id, params={"max_depth": "9"}), "param max_depth"),
    "tags": (lambda f: f.set_tag(MODEL, 2, "team", "risk"), "tag team"),
    "description": (lambda f: f.set_description(MODEL, 2, "Other."), "description"),
    "data": (
        lambda f: f.change_run(f.version(MODEL, 2).run_id, tags={"training_cutoff": "2026-10-31"}),
        "provenance training_cutoff",
    ),
    "champion": (lambda f: f.change_run(f.version(MODEL, 1).run_id, metrics={"auc_roc": 0.99}),
                 "the champion's metric auc_roc"),
}  # fmt: skip


@pytest.mark.parametrize("part", CHANGES)
def test_only_those_who_looked_at_what_changed_sign_again(
    registry: FakeRegistry, rita: User, remy: User, risk: User, production: Target, part: str
) -> None:
    others = [each for each in CHANGES if each != part]
    make_policy(MODEL, production, (1, "risk", *others), (2, None))
    request = approve(ask(registry, 2, production, by=rita), risk, remy)
    assert request.status == Status.PENDING
    change, named = CHANGES[part]
    change(registry)
    assert pulled(registry) == 1
    event = last(Action.REQUEST_REOPENED)
    assert (event.data["changed"], event.data["parts"]) == ([named], [part])
    assert (event.data["voided"], event.data["kept"]) == ([remy.label], [risk.label])
    request = fresh(request)
    assert request.status == Status.PENDING
    assert [review.reviewer for review in request.reviews.live()] == [risk]
    assert inbox.tab("waiting", remy).exists()
    assert not inbox.tab("waiting", risk).exists()


def test_approvals_that_look_at_nothing_that_changed_complete_it_again(
    registry: FakeRegistry, rita: User, remy: User, production: Target
) -> None:
    make_policy(MODEL, production, (1, None, "metrics"))
    request = approve(ask(registry, 2, production, by=rita), remy)
    assert request.status == Status.APPROVED
    signed = request.fingerprint
    registry.set_description(MODEL, 2, "Typo mended.")
    assert deliver(request, registry) == "reopened"
    assert request.status == Status.APPROVED
    assert deliver(request, registry) == "applied"
    promoted = last(Action.VERSION_PROMOTED)
    assert promoted.data["fingerprint"] == request.fingerprint != signed


@pytest.mark.parametrize(
    "change",
    [
        lambda fake: fake.set_tag(MODEL, 2, "note", "x"),
        lambda fake: fake.set_tag(MODEL, 2, "countersign.url", "x"),
        lambda fake: fake.set_stage(MODEL, 2, "Staging", archive_existing=False),
        lambda fake: fake.set_alias(MODEL, "candidate", 2),
        lambda fake: fake.change_run(fake.version(MODEL, 2).run_id, ended_at=5),
        lambda fake: fake.change_run(fake.version(MODEL, 2).run_id, metrics={"auc_roc": 0.93, "system/cpu": 3.0}),
    ],
)
def test_what_means_nothing_changes_nothing(
    registry: FakeRegistry, rita: User, remy: User, production: Target, change: Callable[[FakeRegistry], None]
) -> None:
    make_policy(MODEL, production, (2, None), watched_tags=("team",))
    request = approve(ask(registry, 2, production, by=rita), remy)
    change(registry)
    assert pulled(registry) == 0
    assert fresh(request).fingerprint == request.fingerprint
    assert request.reviews.live().count() == 1


def test_another_champion_sends_it_back(registry: FakeRegistry, rita: User, remy: User, production: Target) -> None:
    make_policy(MODEL, production, (2, None))
    request = approve(ask(registry, 2, production, by=rita), remy)
    registry.create_version(MODEL, run_id=registry.log_run({"auc_roc": 0.95}))
    registry.set_stage(MODEL, 3, "Production", archive_existing=True)
    assert pulled(registry) == 1
    request = fresh(request)
    assert request.champion is not None
    assert request.champion.number == 3
    assert last(Action.REQUEST_REOPENED).data["changed"] == ["champion (version 1 → version 3)"]
    assert not request.reviews.live().exists()


def test_bytes_changed_between_approval_and_delivery(
    registry: FakeRegistry, rita: User, remy: User, production: Target
) -> None:
    make_policy(MODEL, production, (1, None, "metrics"))  # files count for every slot
    request = approve(ask(registry, 2, production, by=rita), remy)
    registry.change_file(MODEL, 2, "model.skops", b"other weights")
    assert deliver(request, registry) == "reopened"
    request = fresh(request)
    assert request.status == Status.PENDING
    assert request.status_reason.startswith("The model's files changed after it was reviewed.")
    assert last(Action.REQUEST_REOPENED).data["changed"] == ["file model.skops"]
    assert not request.reviews.live().exists()
    assert registry.version(MODEL, 1).stage == "Production"
    assert registry.version(MODEL, 2).description == "Trained."
    assert deliver(approve(request, remy), registry) == "applied"


def test_files_that_are_all_gone_are_changed_files_and_block(
    registry: FakeRegistry, rita: User, remy: User, production: Target
) -> None:
    make_policy(MODEL, production, (1, None))
    request = approve(ask(registry, 2, production, by=rita), remy)
    registry.files_of(f"fake:/{MODEL}/2").clear()
    assert deliver(request, registry) == "reopened"
    request = fresh(request)
    assert request.status == Status.CHECKING
    assert "MLflow lists no files for this version" in request.status_reason
    assert not request.reviews.live().exists()
    assert registry.version(MODEL, 1).stage == "Production"


def test_a_policy_edited_while_a_request_is_open_changes_nothing_for_it(
    registry: FakeRegistry, rita: User, remy: User, production: Target
) -> None:
    make_policy(MODEL, production, (1, None))
    request = ask(registry, 2, production, by=rita)
    make_policy(MODEL, production, (3, "risk"), checks=(CheckRule("provenance"),))
    assert pulled(registry) == 0
    assert approve(request, remy).status == Status.APPROVED


def test_contributors_have_no_say_where_the_policy_says_so(
    registry: FakeRegistry, rita: User, remy: User, rosa: User, production: Target
) -> None:
    make_policy(MODEL, production, (1, None), excludes_contributors=True, contributor_tags=("trained_by",))
    registry.set_tag(MODEL, 2, "trained_by", "someone, REMY@example.com")
    sync.refresh_model(registry, MODEL)
    request = ask(registry, 2, production, by=rita)
    answer = request_state.of(request, remy).actions["approve"]
    assert answer.reason == (
        "You contributed to this version (REMY@example.com in MLflow), so another person must review it."
    )
    with pytest.raises(NotAllowed):
        approve(request, remy)
    assert approve(request, rosa).status == Status.APPROVED


@pytest.mark.parametrize("value", ["NaN", "Infinity", 1.7976931348623157e308, -0.0])
def test_metrics_that_are_no_numbers_are_frozen_and_judged(
    registry: FakeRegistry, rita: User, production: Target, value: Any
) -> None:
    rule = CheckRule("metric_regression", "warn", {"metric": "auc_roc"})
    make_policy(MODEL, production, (1, None), checks=(rule,))
    registry.change_run(registry.version(MODEL, 2).run_id, metrics={"auc_roc": float(value)})
    sync.refresh_model(registry, MODEL)
    request = ask(registry, 2, production, by=rita)
    assert request.status == Status.PENDING
    assert request.checks.live().get(kind="metric_regression").outcome == "warn"
    assert pulled(registry) == 0


def test_much_is_frozen_too(registry: FakeRegistry, rita: User, remy: User, production: Target) -> None:
    """2,000 parameters, and a description of 5 MB in the run."""
    registry.change_run(
        registry.version(MODEL, 2).run_id,
        params={f"p{number}": str(number) for number in range(2000)},
        tags={"mlflow.note.content": "long " * 1_000_000},
    )
    sync.refresh_model(registry, MODEL)
    request = ask(registry, 2, production, by=rita)
    assert request.status == Status.PENDING
    assert len(request.evidence) < 200_000
    assert "5,000,000 characters in all" in request.evidence
    assert pulled(registry) == 0
    registry.change_run(registry.version(MODEL, 2).run_id, tags={"mlflow.note.content": "long " * 999_999 + "short"})
    assert pulled(registry) == 1
    assert last(Action.REQUEST_REOPENED).data["parts"] == ["description"]
