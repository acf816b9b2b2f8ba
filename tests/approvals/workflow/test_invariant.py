"""Several rooms. The promise of the gate, tried at random: whatever people, engineers and the clock do, in whatever
order, a promotion is only ever delivered when its policy was met by people who may, on the evidence that was
delivered."""

import contextlib
import itertools
import json
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from accounts.models import User
from approvals import administration, assessment, delivery, evidence, policy, workflow
from approvals.models import Action, Assessment, AuditEvent, OutboxEntry, PromotionRequest, Review, Target, Verdict
from approvals.selectors import frozen_evidence
from approvals.workflow import WorkflowError
from mirror import sync
from mirror.models import ModelVersion
from tests.support.factories import make_person, make_policy, make_rule
from tests.support.fakes import FakeRegistry

MODEL = "churn_predictor"
PEOPLE = ("rita", "remy", "rosa", "rik")
PARTS = ("metrics", "params", "tags", "description", "champion")
SLOTS = (
    ((1, None),),
    ((2, None),),
    ((1, "risk", "metrics"), (1, None)),
    ((1, None, "description"), (1, "risk", "champion", "metrics")),
)
DELIVERED: list[int] = []
_texts = (f"text {number}" for number in itertools.count())


class Gate(RuleBasedStateMachine):
    """One model with three versions, four people, one target; every verb of the product, and MLflow behind its back."""

    def __init__(self) -> None:
        super().__init__()
        self.savepoint = transaction.atomic()
        self.savepoint.__enter__()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.savepoint.__exit__(None, None, None)

    @initialize(slots=st.sampled_from(SLOTS), contributors=st.booleans())
    def start(self, slots: Any, contributors: bool) -> None:
        self.registry = FakeRegistry()
        for number in (1, 2, 3):
            run_id = self.registry.log_run({"auc_roc": 0.9 + number / 100}, {"depth": str(number)}, user="rik")
            self.registry.create_version(MODEL, run_id=run_id)
        sync.sweep(self.registry)
        self.people = {
            "rita": make_person("Rita Sanz", "requester", "reviewer"),
            "remy": make_person("Remy Ortiz", "reviewer"),
            "rosa": make_person("Rosa Lind", "reviewer", "risk"),
            "rik": make_person("Rik Risk", "reviewer", "risk"),
        }
        self.ada = make_person("Ada Brandt", "administrator")
        self.target = Target.objects.get(name="Production")
        self.policy = make_policy(MODEL, self.target, *slots, excludes_contributors=contributors)
        self.checked = 0

    # --- What people do

    @rule(number=st.integers(1, 3))
    def ask(self, number: int) -> None:
        version = ModelVersion.objects.select_related("model").get(model__name=MODEL, number=number)
        self.attempt(
            lambda: workflow.request_promotion(version, self.target, by=self.people["rita"], justification="Better.")
        )

    @rule(
        number=st.integers(0, 5),
        who=st.sampled_from(PEOPLE),
        verdict=st.sampled_from(["approve"] * 4 + ["request_changes"]),
    )
    def review(self, number: int, who: str, verdict: str) -> None:
        if request := self.request(number):
            self.attempt(lambda: workflow.review(request, by=self.people[who], verdict=verdict, comment="Read."))

    @rule(
        number=st.integers(1, 3),
        who=st.permutations(PEOPLE[1:]),
        first=st.integers(0, 3),
        part=st.sampled_from([None, *PARTS, "files"]),
        is_swept=st.booleans(),
    )
    def a_day(self, number: int, who: list[str], first: int, part: str | None, is_swept: bool) -> None:
        """What happens most of the time: asked, some sign, something changes, others sign, the worker delivers. The
        other rules come in between."""
        self.ask(number)
        self.assess()
        self.sign(who[:first])
        request = self.request(0)
        if part and request:
            self.change(request.version.number, part)
        if is_swept:
            self.sweep()
            self.assess()
        self.sign(who[first:])
        self.deliver()

    def sign(self, who: list[str]) -> None:
        for name in who:
            if request := self.request(0):
                self.attempt(lambda name=name: workflow.review(request, by=self.people[name], verdict="approve"))

    @rule(number=st.integers(0, 5))
    def resubmit(self, number: int) -> None:
        if request := self.request(number):
            self.attempt(lambda: workflow.resubmit(request, by=self.people["rita"], justification=next(_texts)))

    @rule(who=st.sampled_from(PEOPLE[1:]), groups=st.sampled_from([(), ("reviewer",), *[("reviewer", "risk")] * 4]))
    def change_roles(self, who: str, groups: tuple[str, ...]) -> None:
        found = list(Group.objects.filter(name__in=groups))
        administration.set_groups(self.people[who], groups=found, by=self.ada)

    @rule(who=st.sampled_from(PEOPLE[1:]), is_active=st.sampled_from([True, True, True, False]))
    def change_activity(self, who: str, is_active: bool) -> None:
        person = User.objects.get(pk=self.people[who].pk)
        administration.set_active(person, is_active=is_active, by=self.ada)
        self.people[who] = User.objects.get(pk=person.pk)

    @rule(slots=st.sampled_from(SLOTS))
    def edit_policy(self, slots: Any) -> None:
        administration.save_policy(self.policy, make_rule(MODEL, *slots), by=self.ada)

    # --- What engineers do in MLflow

    @rule(number=st.integers(1, 3), part=st.sampled_from([*PARTS, "files"]))
    def change(self, number: int, part: str) -> None:
        run_id = self.registry.version(MODEL, number).run_id
        match part:
            case "metrics":
                self.registry.change_run(run_id, metrics={"auc_roc": 0.5 + len(next(_texts)) / 100, next(_texts): 1.0})
            case "params":
                self.registry.change_run(run_id, params={"depth": next(_texts)})
            case "tags":
                self.registry.set_tag(MODEL, number, "team", next(_texts))
            case "description":
                self.registry.set_description(MODEL, number, next(_texts))
            case "champion":
                self.registry.set_stage(MODEL, number, "Production", archive_existing=True)
            case "files":
                self.registry.change_file(MODEL, number, "model.skops", next(_texts).encode())

    # --- What the worker and the clock do

    @rule()
    def sweep(self) -> None:
        sync.sweep(self.registry)
        assessment.watch()

    @rule()
    def assess(self) -> None:
        Assessment.objects.update(due_at=timezone.now(), lease_expires_at=None)
        assessment.drain(self.registry)

    @rule()
    def deliver(self) -> None:
        OutboxEntry.objects.open().update(available_at=timezone.now(), lease_expires_at=None)
        delivery.drain(self.registry, limit=5)

    @rule()
    def expire(self) -> None:
        PromotionRequest.objects.filter(pk__in=PromotionRequest.objects.open()[:1]).update(expires_at=timezone.now())
        workflow.expire_due()

    # --- What must never happen

    @invariant()
    def every_delivery_was_allowed(self) -> None:
        if not hasattr(self, "target"):
            return
        promoted = AuditEvent.objects.filter(action=Action.VERSION_PROMOTED).order_by("sequence")
        for event in promoted[self.checked :]:
            self.assert_allowed(event)
            self.checked += 1
            DELIVERED.append(event.sequence)

    def assert_allowed(self, event: AuditEvent) -> None:
        """Judged anew, from what was signed and what lies in MLflow now, right after the delivery."""
        request = event.request
        assert request is not None
        frozen = json.loads(request.evidence)
        rule_ = policy.Rule.from_json(request.rule)
        assert event.data["fingerprint"] == request.fingerprint == evidence.fingerprint(request.evidence)
        parts = evidence.part_digests(request.evidence)
        signed = list(Review.objects.filter(request=request, verdict=Verdict.APPROVE, voided_at=None))
        people = []
        for review in signed:
            assert review.reviewer_id != request.requester_id
            changed = evidence.changed_parts(review.parts, parts)
            groups = self.groups_when_decided(review.reviewer, event)
            people.append(
                policy.Reviewer(review.reviewer_id, "", groups, changed=changed, names=review.reviewer.known_as)
            )
        excluded = policy.excluded(
            rule_, asked_by=request.asked_by, named=frozen["version"]["contributors"], people=people
        )
        assert policy.is_met(policy.slot_states(rule_, approvers=people, eligible=people, excluded=excluded))
        files = self.registry.files_of(f"fake:/{MODEL}/{request.version.number}")
        assert {path for path, _, _ in frozen["version"]["files"]["manifest"]} == set(files)
        now = frozen_evidence.frozen_now(
            PromotionRequest.objects.with_subject().get(pk=request.pk), champion=request.champion
        )
        assert json.loads(now)["version"]["files"] == frozen["version"]["files"]

    def groups_when_decided(self, reviewer: User, event: AuditEvent) -> frozenset[str]:
        """From the ledger alone: the groups that the person had when the last approval was given; none when they were
        deactivated or no reviewer then."""
        approved = AuditEvent.objects.filter(
            request=event.request, action=Action.REQUEST_APPROVED, sequence__lt=event.sequence
        ).latest("sequence")
        before = AuditEvent.objects.filter(sequence__lt=approved.sequence).order_by("sequence")
        groups, is_active = set(START[reviewer.name]), True
        for past in before:
            if past.data.get("person") != reviewer.label:
                continue
            if past.action == Action.PERSON_CHANGED:
                groups = set(past.data["after"])
            if past.action in (Action.PERSON_DEACTIVATED, Action.PERSON_REACTIVATED):
                is_active = past.action == Action.PERSON_REACTIVATED
        assert is_active, "an approval of a deactivated person counted"
        assert "reviewer" in groups, "an approval of somebody who may not review counted"
        return frozenset(groups)

    # --- Helpers

    def request(self, number: int) -> PromotionRequest | None:
        found = list(PromotionRequest.objects.with_subject().order_by("-pk")[:3])
        return found[number % len(found)] if found else None

    def attempt(self, verb: Any) -> None:
        with contextlib.suppress(WorkflowError):
            verb()


START = {
    "Rita Sanz": {"requester", "reviewer"},
    "Remy Ortiz": {"reviewer"},
    "Rosa Lind": {"reviewer", "risk"},
    "Rik Risk": {"reviewer", "risk"},
}


@pytest.mark.slow
@pytest.mark.nodb  # what differs between databases, locks and races, one connection does not meet
class TestGate(TestCase, Gate.TestCase):  # type: ignore[misc]
    settings = settings(
        max_examples=60,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        assert len(DELIVERED) >= 5, "A machine that never delivers proves nothing."
