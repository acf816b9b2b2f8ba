"""Verbs judge by what the database says when they act, not by what their caller read before."""

import inspect
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from django.contrib.auth.models import Group
from django.db import transaction

from accounts.models import User
from approvals import administration, delivery, ledger, watch, workflow
from approvals.models import Action, AuditEvent, OutboxEntry, Policy, PromotionRequest, Status, Target
from approvals.selectors import reviewers
from approvals.workflow import NotAllowed, WorkflowError, reviews, undoing
from mirror.models import ModelVersion
from tests.support import world
from tests.support.factories import approve, make_person, make_policy, make_request, make_rule, make_version
from tests.support.fakes import FakeRegistry
from tests.support.threads import at_once

committed = pytest.mark.usefixtures("committed")

NOT_VERBS = {
    "answer_check": "an external check answers, or a service account through `report_check`, which is a verb",
    "mark_opened": "notes that a page was read, and decides nothing",
    "reconsider": "in the transaction of a change of roles, which is a verb",
    "record_reading": "notes through a verb, once a day, that the history is read",
    "take_checkpoint": "reads the ledger before its transaction, and the person in it",
}
PARTS = {"review": reviews.sign, "approve_together": reviews.sign, "undo_together": undoing.undo_review}
"""Verbs whose first part stays even where the second is refused, with that second part."""


def test_everything_that_a_person_does_reads_again() -> None:
    found = {
        name: PARTS.get(name, function)
        for room in (workflow, administration, watch)
        for name, function in vars(room).items()
        if inspect.isfunction(function) and "by" in inspect.signature(function).parameters
    }
    assert len(found) > 30
    asked = {name for name in found if name.startswith("may_")}  # for pages; the verbs ask once more
    done = {name for name, each in found.items() if not hasattr(each, "is_verb")} - asked
    assert done == NOT_VERBS.keys()


# --- Versions and requests --------------------------------------------------------------------------------------------


@pytest.fixture
def production() -> Target:
    return Target.objects.get(name="Production")


def delivered(number: int, target: Target, registry: FakeRegistry) -> None:
    """Version `number` reaches the target through the gate."""
    rita, remy = make_person("Rita Sanz", "requester"), make_person("Remy Ortiz", "reviewer")
    make_policy("*", target, (1, None))
    world.promote(registry, number, target, by=rita, approvers=(remy,))


@pytest.mark.django_db
def test_a_page_that_is_old_breaks_the_glass_once(production: Target, registry: FakeRegistry) -> None:
    otto, read_before = make_person("Otto Reyes", "responder"), world.version(2)
    terms = {"by": otto, "reason": world.REASON, "proof": world.proof()}
    assert world.deliver(workflow.break_glass(read_before, production, **terms), registry) == "applied"
    with pytest.raises(workflow.Invalid, match=r"^Version 2 is already in Production\.$"):
        workflow.break_glass(read_before, production, **terms)
    assert PromotionRequest.objects.count() == 1


@committed
def test_ten_break_glass_posts_at_once_apply_once(production: Target, registry: FakeRegistry) -> None:
    people = [make_person(f"Otto{number} Reyes", "responder") for number in range(5)]
    read_before, ended = world.version(2), threading.Event()

    def work() -> None:
        """A worker that delivers between the posts."""
        while not ended.is_set():
            delivery.drain(registry)
            time.sleep(0.002)

    def post(person: User) -> None:
        try:
            workflow.break_glass(read_before, production, by=person, reason=world.REASON, proof=world.proof())
        finally:
            with suppress(threading.BrokenBarrierError):
                done.wait()

    done = threading.Barrier(10, action=ended.set, timeout=60)
    at_once(work, *[lambda person=person: post(person) for person in people * 2])
    delivery.drain(registry)
    assert PromotionRequest.objects.values_list("status", flat=True).get() == Status.APPLIED
    assert AuditEvent.objects.filter(action=Action.VERSION_PROMOTED).count() == 1
    assert ledger.verify().is_intact


@pytest.mark.django_db
def test_a_page_that_is_old_rolls_back_once(production: Target, registry: FakeRegistry) -> None:
    delivered(1, production, registry)
    world.promote(registry, 2, production, by=person("Rita"), approvers=(person("Remy"),))
    model, terms = world.model(), {"by": person("Remy"), "reason": "Broken.", "to": 1}
    assert world.deliver(workflow.roll_back(model, production, **terms), registry) == "applied"
    with pytest.raises(workflow.Invalid):
        workflow.roll_back(model, production, **terms)
    assert PromotionRequest.objects.filter(kind="rollback").count() == 1


@pytest.mark.django_db
def test_a_version_that_was_deleted_meanwhile_is_not_asked_for(production: Target) -> None:
    rita, read_before = make_person("Rita Sanz", "requester"), make_version()
    ModelVersion.objects.update(deleted_at=read_before.created_at)
    with pytest.raises(workflow.Invalid, match="no longer exists"):
        workflow.request_promotion(read_before, production, by=rita, justification="Better.")


@pytest.mark.django_db
def test_a_target_that_was_retired_meanwhile_is_not_asked_for(production: Target) -> None:
    rita, ada, version = (
        make_person("Rita Sanz", "requester"),
        make_person("Ada Brandt", "administrator"),
        make_version(),
    )
    administration.retire_target(Target.objects.get(pk=production.pk), by=ada)
    with pytest.raises(workflow.Invalid, match="Production is retired"):
        workflow.request_promotion(version, production, by=rita, justification="Better.")


@committed
def test_ten_who_ask_for_what_is_delivered_between(production: Target, registry: FakeRegistry) -> None:
    """Whoever asks while it is delivered is told so: it is asked for once."""
    make_policy("*", production, (1, None))
    rita, remy = make_person("Rita Sanz", "requester"), make_person("Remy Ortiz", "reviewer")
    request = approve(world.ask(registry, 2, production, by=rita), remy)
    askers = [make_person(f"Rita{number} Sanz", "requester") for number in range(6)]
    read_before = world.version(2)
    results = at_once(
        lambda: world.deliver(request, registry),
        *[
            lambda asker=asker: workflow.request_promotion(read_before, production, by=asker, justification="Better.")
            for asker in askers
        ],
    )
    assert results[0] == "applied"
    assert {type(each) for each in results[1:]} <= {workflow.Invalid, workflow.Conflict}
    assert PromotionRequest.objects.count() == 1


# --- Policies ---------------------------------------------------------------------------------------------------------


@committed
def test_the_rule_is_the_one_of_that_moment(production: Target) -> None:
    """Asked after a policy was saved, a request has its new version, whoever waited for whom."""
    ada = make_person("Ada Brandt", "administrator")
    policy = make_policy("*", production, (1, None))
    askers = [make_person(f"Rita{number} Sanz", "requester") for number in range(4)]
    versions = [make_version() for _ in askers]

    def save() -> Policy:
        return administration.save_policy(Policy.objects.get(pk=policy.pk), make_rule("*", (2, None)), by=ada)

    at_once(
        save,
        *[
            lambda asker=asker, version=version: workflow.request_promotion(
                version, production, by=asker, justification="Better."
            )
            for asker, version in zip(askers, versions, strict=True)
        ],
    )
    saved = AuditEvent.objects.get(action=Action.POLICY_CHANGED).sequence
    asked = AuditEvent.objects.filter(action=Action.REQUEST_CREATED)
    assert asked.count() == 4
    for event in asked:
        assert event.data["rule"]["policy_version"] == (2 if event.sequence > saved else 1)


# --- People -----------------------------------------------------------------------------------------------------------


def person(name: str) -> User:
    found: User = User.objects.get(email=f"{name.lower()}@example.com")
    return found


def deactivate(name: str) -> None:
    administration.set_active(person(name), is_active=False, by=person("Ada"))


def strip(name: str) -> None:
    administration.set_groups(person(name), groups=[Group.objects.get(name="auditor")], by=person("Ada"))


@pytest.mark.django_db
@pytest.mark.parametrize("take", [deactivate, strip])
def test_what_a_page_knew_of_a_person_does_not_count(take: Callable[[str], None], production: Target) -> None:
    make_person("Ada Brandt", "administrator")
    rita, remy = make_person("Rita Sanz", "requester"), make_person("Remy Ortiz", "reviewer", "responder")
    request, version = make_request(make_version(), production, by=rita), make_version()
    assert reviewers.actor_of(remy).permissions  # looked up, and kept on the object
    assert reviewers.actor_of(rita).permissions
    take("Remy")
    take("Rita")
    for verb in (
        lambda: workflow.review(request, by=remy, verdict="approve"),
        lambda: workflow.comment(request, by=remy, body="Fine."),
        lambda: workflow.request_promotion(version, production, by=rita, justification="Better."),
        lambda: workflow.roll_back(version.model, production, by=remy, reason="Broken."),
        lambda: workflow.break_glass(version, production, by=remy, reason=world.REASON, proof=world.proof()),
    ):
        with pytest.raises(NotAllowed):
            verb()
    request.refresh_from_db()
    assert request.status == Status.PENDING


@committed
@pytest.mark.parametrize("take", [deactivate, strip])
def test_nobody_decides_after_their_role_was_taken(take: Callable[[str], None], production: Target) -> None:
    """In whichever order the two come about, the ledger has no verdict after the event that took the role."""
    make_person("Ada Brandt", "administrator")
    rita = make_person("Rita Sanz", "requester")
    reviewers = [make_person(f"Remy{number} Ortiz", "reviewer") for number in range(4)]
    requests = [make_request(make_version(), production, by=rita) for _ in reviewers]
    calls: list[Callable[[], object]] = []
    for request, reviewer in zip(requests, reviewers, strict=True):
        calls.append(
            lambda request=request, reviewer=reviewer: workflow.review(request, by=reviewer, verdict="approve")
        )
        calls.append(lambda reviewer=reviewer: take(reviewer.email.partition("@")[0]))
    results = at_once(*calls)
    assert {type(each) for each in results if isinstance(each, WorkflowError)} <= {NotAllowed}
    taken = (Action.PERSON_DEACTIVATED, Action.PERSON_CHANGED)
    taken_at = {event.data["person"]: event.sequence for event in AuditEvent.objects.filter(action__in=taken)}
    assert len(taken_at) == 4
    for event in AuditEvent.objects.filter(action=Action.REVIEW_APPROVED):
        assert event.sequence < taken_at[event.actor_label]
    assert ledger.verify().is_intact


@committed
def test_a_verdict_waits_for_a_change_of_roles_that_is_under_way(production: Target) -> None:
    make_person("Ada Brandt", "administrator")
    rita, remy = make_person("Rita Sanz", "requester"), make_person("Remy Ortiz", "reviewer")
    request, results = make_request(make_version(), production, by=rita), []
    with transaction.atomic():
        deactivate("Remy")
        thread = threading.Thread(
            target=lambda: results.extend(at_once(lambda: workflow.review(request, by=remy, verdict="approve")))
        )
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(60)
    assert [type(each) for each in results] == [NotAllowed]
    assert not OutboxEntry.objects.exists()
