"""Delivery against the fake registry: every row of the failure table. Kills are in `test_attempt_killed`."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals import assessment, delivery, ledger, workflow
from approvals.delivery import annotation
from approvals.evidence import approval_note
from approvals.models import Action, AuditEvent, OutboxEntry, PromotionRequest, Status, Target
from mirror import sync
from mirror.port import NotFound, Refused, Unreachable
from tests.support.factories import approve
from tests.support.fakes import FakeRegistry
from tests.support.world import MODEL, ask, deliver, make_registry, version

pytestmark = pytest.mark.django_db


@pytest.fixture
def registry() -> FakeRegistry:
    return make_registry(versions=7, production=6, staging=7)


@pytest.fixture
def approved(registry: FakeRegistry, rita: User, remy: User, rosa: User, production: Target) -> PromotionRequest:
    return approve(ask(registry, 7, production, by=rita), remy, rosa)


def counts() -> dict[str, int]:
    actions = AuditEvent.objects.values_list("action", flat=True)
    return {action: list(actions).count(action) for action in set(actions)}


def assert_promoted(registry: FakeRegistry, request: PromotionRequest) -> None:
    """The one right end state, in MLflow, the mirror, the request, the outbox and the ledger."""
    seven, six = registry.version(MODEL, 7), registry.version(MODEL, 6)
    assert (seven.stage, six.stage) == ("Production", "Archived")
    assert registry.model(MODEL).aliases == {"champion": 7}
    assert approval_note.without_notes(seven.description) == "Trained for the 7th time."
    assert approval_note.notes(seven.description) == [annotation.note_of(request).line]
    assert seven.tags["countersign.request"] == str(request.pk)
    assert seven.tags["countersign.approved_by"] == "Remy Ortiz <remy@example.com>, Rosa Lind <rosa@example.com>"
    assert six.description == "Trained for the 6th time."
    request.refresh_from_db()
    assert request.status == Status.APPLIED
    assert [(entry.outcome, entry.closed_at is not None) for entry in request.outbox_entries.order_by("pk")][-1] == (
        "applied",
        True,
    )
    assert (version(7).stage, version(6).stage) == ("Production", "Archived")
    assert version(7).model.aliases.get(name="champion").number == 7
    told = counts()
    assert told[Action.VERSION_PROMOTED] == 1
    assert told[Action.VERSION_REPLACED] == 1
    promoted = AuditEvent.objects.get(action=Action.VERSION_PROMOTED)
    assert promoted.allowed_by == "Remy Ortiz <remy@example.com>\nRosa Lind <rosa@example.com>"
    assert promoted.actor_label == "Countersign worker"
    assert promoted.data["replaced"] == 6
    replaced = AuditEvent.objects.get(action=Action.VERSION_REPLACED)
    assert (replaced.version_number, replaced.data) == (6, {"by": 7, "how": "archived"})
    assert ledger.verify().is_intact


def test_a_delivery_asks_for_each_thing_once(registry: FakeRegistry, approved: PromotionRequest) -> None:
    """In 0.5 these were 92; half of the time of a delivery is building and sending them."""
    with CaptureQueriesContext(connection) as queries:
        assert delivery.deliver(approved.outbox_entries.get().pk, registry) == "applied"
    assert len(queries) <= 60
    texts = [query["sql"] for query in queries]
    for table in ("approvals_review", "approvals_tenure", "approvals_chainhead"):
        asked = sum(f'FROM "{table}"' in text or f"FROM {table}" in text for text in texts)
        # Reviews for the note, and for the event.
        assert asked <= {"approvals_review": 2, "approvals_tenure": 3, "approvals_chainhead": 2}[table], table


def test_deliver_annotates_then_moves_then_settles(registry: FakeRegistry, approved: PromotionRequest) -> None:
    registry.calls.clear()
    assert deliver(approved, registry) == "applied"
    written = [call[0] for call in registry.calls if call[0].startswith(("set_", "delete_"))]
    assert written == ["set_description", *["set_tag"] * (len(annotation.TAGS) - 1), "set_stage", "set_alias"]
    assert_promoted(registry, approved)


def test_deliver_twice_does_nothing_more(registry: FakeRegistry, approved: PromotionRequest) -> None:
    deliver(approved, registry)
    before = len(registry.calls)
    assert deliver(approved, registry) == "skipped"
    assert len(registry.calls) == before
    assert_promoted(registry, approved)


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the product may catch it."""


class Dying:
    """The registry, whose caller is killed before (or after) the n-th call, or the first one of the name `last`."""

    def __init__(self, registry: FakeRegistry, at: int, *, is_after: bool, last: str = "") -> None:
        self.registry, self.left, self.is_after, self.last = registry, at, is_after, last

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.registry, name)
        if not callable(call):
            return call  # such as the name of the workspace

        def dying(*args: Any, **kwargs: Any) -> Any:
            self.left = 0 if name == self.last else self.left - 1
            if self.left == 0 and not self.is_after:
                raise Killed
            result = call(*args, **kwargs)
            if self.left == 0:
                raise Killed
            return result

        return dying


def test_killed_between_our_move_and_settle_is_finished_even_if_the_evidence_changed_since(
    registry: FakeRegistry, approved: PromotionRequest
) -> None:
    dying: Any = Dying(registry, 100, is_after=True, last="set_alias")
    with pytest.raises(Killed):
        delivery.deliver(approved.outbox_entries.get().pk, dying)
    assert registry.model(MODEL).aliases["champion"] == 7
    registry.change_run(registry.version(MODEL, 7).run_id, metrics={"auc_roc": 0.1})
    assert deliver(approved, registry) == "applied"
    assert approved.status == Status.APPLIED


def test_mlflow_down_keeps_the_request_approved_and_backs_off(
    registry: FakeRegistry, approved: PromotionRequest, settings: Any
) -> None:
    settings.DELIVERY_BACKOFF_CAP_SECONDS = 8
    registry.is_down = True
    entry = approved.outbox_entries.get()
    pauses = []
    for _ in range(6):
        assert deliver(approved, registry) == "waiting"
        entry.refresh_from_db()
        pauses.append(round((entry.available_at - timezone.now()).total_seconds()))
    assert pauses == [1, 2, 4, 8, 8, 8]
    assert approved.status == Status.APPROVED
    assert entry.waiting_since is not None
    assert "Connection refused" in entry.last_error
    assert delivery.deliver(entry.pk, registry) == "skipped"
    registry.is_down = False
    assert deliver(approved, registry) == "applied"
    assert_promoted(registry, approved)


@pytest.mark.parametrize(
    "method", ["version", "versions_in_stage", "model", "set_description", "set_tag", "set_stage", "set_alias"]
)
def test_an_outage_in_the_middle_is_waited_out(registry: FakeRegistry, approved: PromotionRequest, method: str) -> None:
    registry.fail_next(method, Unreachable("MLflow answered 503."))
    assert deliver(approved, registry) == "waiting"
    assert deliver(approved, registry) == "applied"
    assert_promoted(registry, approved)


def test_a_refusal_fails_with_mlflows_words_and_can_be_retried(
    registry: FakeRegistry, approved: PromotionRequest, remy: User
) -> None:
    registry.fail_next("set_stage", Refused("Permission denied for churn_predictor."))
    assert deliver(approved, registry) == "failed"
    assert approved.status == Status.FAILED
    assert approved.status_reason == "MLflow refused: Permission denied for churn_predictor."
    seven = registry.version(MODEL, 7)
    assert seven.description == "Trained for the 7th time."
    assert not any(key.startswith("countersign.") for key in seven.tags)
    workflow.retry(approved, by=remy)
    assert deliver(approved, registry) == "applied"
    assert_promoted(registry, approved)


def test_a_deleted_version_fails_plainly(registry: FakeRegistry, approved: PromotionRequest) -> None:
    registry.delete_version(MODEL, 7)
    assert deliver(approved, registry) == "failed"
    assert approved.status_reason == "Version 7 of churn_predictor no longer exists in MLflow."
    assert version(7).deleted_at is not None


def test_a_version_that_is_not_ready_fails(registry: FakeRegistry, approved: PromotionRequest) -> None:
    registry.change_version(MODEL, 7, status="FAILED_REGISTRATION", status_message="Disk full.")
    assert deliver(approved, registry) == "failed"
    assert "FAILED_REGISTRATION Disk full." in approved.status_reason
    assert registry.version(MODEL, 6).stage == "Production"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda fake: fake.set_description(MODEL, 7, "Other words."), "description"),
        (lambda fake: fake.set_tag(MODEL, 7, "team", "x"), "tag team"),
        (lambda fake: fake.change_run(fake.version(MODEL, 7).run_id, metrics={"auc_roc": 0.5}), "metric auc_roc"),
        (lambda fake: fake.change_version(MODEL, 7, source="s3://elsewhere"), "source"),
    ],
)
def test_what_changed_after_the_review_is_not_promoted(
    registry: FakeRegistry, approved: PromotionRequest, change: Callable[[FakeRegistry], None], named: str
) -> None:
    change(registry)
    assert deliver(approved, registry) == "reopened"
    if approved.status == Status.CHECKING:  # other files: the worker reads them first
        assert assessment.assess(approved.pk, registry) == "concluded"
        approved.refresh_from_db()
    assert approved.status == Status.PENDING
    assert f"changed after it was reviewed: {named}." in approved.status_reason
    assert not approved.reviews.live().exists()
    assert AuditEvent.objects.get(action=Action.REQUEST_REOPENED).data["changed"] == [named]
    assert registry.version(MODEL, 6).stage == "Production"
    assert registry.version(MODEL, 7).stage == "Staging"


def test_another_champion_sends_it_back_to_review_and_takes_the_note_back(
    registry: FakeRegistry, approved: PromotionRequest
) -> None:
    registry.fail_next("set_stage", Unreachable("MLflow answered 503."))
    assert deliver(approved, registry) == "waiting"
    assert approval_note.has_note(registry.version(MODEL, 7).description, approved.pk)
    registry.set_stage(MODEL, 5, "Production", archive_existing=True)
    assert deliver(approved, registry) == "reopened"
    assert (approved.status, approved.champion) == (Status.PENDING, version(5))
    assert "Reviewers compared with version 6, but version 5 holds Production now" in approved.status_reason
    seven = registry.version(MODEL, 7)
    assert (seven.stage, seven.description) == ("Staging", "Trained for the 7th time.")
    assert not any(key.startswith("countersign.") for key in seven.tags)
    event = AuditEvent.objects.get(action=Action.REQUEST_REOPENED)
    assert event.data["changed"] == ["champion (version 6 → version 5)"]
    assert event.data["voided"] == ["Remy Ortiz <remy@example.com>", "Rosa Lind <rosa@example.com>"]


def test_two_requests_for_one_target_go_oldest_first(
    registry: FakeRegistry, approved: PromotionRequest, rita: User, remy: User, rosa: User, production: Target
) -> None:
    second = approve(ask(registry, 5, production, by=rita), remy, rosa)
    assert deliver(second, registry) == "skipped"
    assert delivery.drain(registry) == 2
    approved.refresh_from_db()
    second.refresh_from_db()
    assert (approved.status, second.status) == (Status.APPLIED, Status.PENDING)
    assert second.champion == version(7)
    assert_promoted(registry, approved)


def test_a_request_for_staging_does_not_take_what_has_reached_production_meanwhile(
    registry: FakeRegistry, rita: User, remy: User, rosa: User, staging: Target, production: Target
) -> None:
    for_staging = ask(registry, 5, staging, by=rita)
    late = ask(registry, 4, staging, by=rita)
    approve(late, remy)
    assert deliver(approve(ask(registry, 5, production, by=rita), remy, rosa), registry) == "applied"
    with pytest.raises(workflow.NotAllowed, match="it would leave Production"):
        approve(for_staging, remy)
    registry.set_stage(MODEL, 4, "Production", archive_existing=True)
    assert deliver(late, registry) == "failed"
    assert "it would leave Production" in late.status_reason
    assert registry.version(MODEL, 4).stage == "Production"


def test_the_drain_delivers_what_no_hint_came_for(registry: FakeRegistry, approved: PromotionRequest) -> None:
    assert delivery.drain(registry) == 1
    assert delivery.drain(registry) == 0
    assert_promoted(registry, approved)


def test_a_lost_lease_stops_the_slow_worker_before_it_writes(
    registry: FakeRegistry, approved: PromotionRequest
) -> None:
    entry = approved.outbox_entries.get()

    class Slow:
        """While the first worker reads the champion, its lease runs out and another delivers."""

        def __getattr__(self, name: str) -> Any:
            if name == "versions_in_stage":
                OutboxEntry.objects.filter(pk=entry.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
                assert delivery.deliver(entry.pk, registry) == "applied"
            return getattr(registry, name)

    slow: Any = Slow()
    assert delivery.deliver(entry.pk, slow) == "skipped"
    assert_promoted(registry, approved)


def test_a_full_description_keeps_the_engineers_text(
    registry: FakeRegistry, rita: User, remy: User, rosa: User, production: Target
) -> None:
    registry.set_description(MODEL, 7, "x" * 4990)
    sync.pull(registry)
    request = approve(ask(registry, 7, production, by=rita), remy, rosa)
    assert deliver(request, registry) == "applied"
    seven = registry.version(MODEL, 7)
    assert seven.description == "x" * 4990
    assert seven.tags["countersign.request"] == str(request.pk)


def test_an_alias_only_target_moves_the_alias_and_nothing_else(
    registry: FakeRegistry, rita: User, remy: User, rosa: User
) -> None:
    uat = Target.objects.create(name="UAT", alias="uat")
    request = approve(ask(registry, 7, uat, by=rita), remy, rosa)
    assert deliver(request, registry) == "applied"
    assert registry.model(MODEL).aliases == {"champion": 6, "uat": 7}
    assert (registry.version(MODEL, 7).stage, registry.version(MODEL, 6).stage) == ("Staging", "Production")


def test_a_target_that_does_not_archive_leaves_the_holder_in_its_stage(
    registry: FakeRegistry, rita: User, remy: User, staging: Target
) -> None:
    request = approve(ask(registry, 5, staging, by=rita), remy)
    assert deliver(request, registry) == "applied"
    assert (registry.version(MODEL, 5).stage, registry.version(MODEL, 7).stage) == ("Staging", "Staging")
    assert Action.VERSION_REPLACED not in counts()


def test_a_failure_leaves_the_tags_of_the_promotion_before(
    registry: FakeRegistry, approved: PromotionRequest, rita: User, remy: User, rosa: User
) -> None:
    deliver(approved, registry)
    tags = dict(registry.version(MODEL, 7).tags)
    uat = Target.objects.create(name="UAT", alias="uat")
    failing = approve(ask(registry, 7, uat, by=rita), remy, rosa)
    registry.fail_next("set_alias", Refused("No aliases today."))
    assert deliver(failing, registry) == "failed"
    assert dict(registry.version(MODEL, 7).tags) == tags


@pytest.mark.parametrize("alias", ["latest", "Latest", "LATEST", "v1", "V2"])
def test_an_alias_that_mlflow_reserves_is_no_target(alias: str) -> None:
    with pytest.raises(ValidationError, match="reserves"):
        Target(name="Odd", alias=alias).full_clean()


def test_the_note_is_taken_back_only_if_mlflow_answers(registry: FakeRegistry, approved: PromotionRequest) -> None:
    registry.fail_next("set_stage", Refused("No."))
    registry.fail_next("delete_tag", NotFound("Gone."))
    assert deliver(approved, registry) == "failed"
    assert approved.status == Status.FAILED
