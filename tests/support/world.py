"""What people, MLflow and the worker do, for every test that wants something to have happened.

Three parts. Functions that run the product's own code on a registry, the fake one or a real MLflow: `ask`, `promote`,
`deliver`, `observe`. Functions that leave rows as the worker would where a test has no registry: `settle`, `hold`,
`bypass`. And `World`, a small company on the fake registry with the books that have to be right after each step."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from approvals import administration, assessment, delivery, ledger, notifications, policy, tenures, watch, workflow
from approvals.audit import completeness
from approvals.audit.periods import Period
from approvals.audit.population import Scope
from approvals.models import (
    Action,
    AuditEvent,
    FreezeWindow,
    Incident,
    OutboxEntry,
    Policy,
    Probation,
    PromotionRequest,
    RequestKind,
    Status,
    Target,
    Tenure,
)
from approvals.policy.freezes import Once
from approvals.tenures import as_of
from approvals.workflow import approver_labels
from mirror import sync
from mirror.models import Alias, ModelVersion, RegisteredModel
from mirror.port import Registry
from tests.support.factories import approve, make_person, make_policy, make_request, somebody
from tests.support.fakes import FakeRegistry

MODEL = "churn_predictor"
REASON = "Version 2 scores every customer as lost since nine o'clock."
Held = dict[tuple[str, str, str], list[int]]


# --- On a registry ----------------------------------------------------------------------------------------------------


def make_registry(*models: str, versions: int = 4, production: int = 0, staging: int = 0) -> FakeRegistry:
    """One model or these, mirrored; of one, the versions that hold a target are named."""
    fake = FakeRegistry(limit=5000)
    fake.is_gated = True
    for name in models or (MODEL,):
        for number in range(1, versions + 1):
            run_id = fake.log_run({"auc_roc": 0.9 + number / 100}, {"max_depth": str(number)})
            fake.create_version(name, run_id=run_id, description=f"Trained for the {number}th time.")
    if production:
        fake.set_stage(MODEL, production, "Production", archive_existing=False)
        fake.set_alias(MODEL, "champion", production)
    if staging:
        fake.set_stage(MODEL, staging, "Staging", archive_existing=False)
    sync.sweep(fake)
    return fake


def promoted_twice() -> FakeRegistry:
    """Versions 1 and 2 were promoted to Production one after the other: Rita asked, Remy and Rosa approved."""
    fake, production = make_registry(), Target.objects.get(name="Production")
    rita = somebody("Rita Sanz", "requester")
    approvers = somebody("Remy Ortiz", "reviewer"), somebody("Rosa Lind", "reviewer")
    for number in (1, 2):
        promote(fake, number, production, by=rita, approvers=approvers)
    return fake


def watched_registry() -> FakeRegistry:
    """Version 6 of eight in Production and champion, version 7 in Staging, all known to the watch."""
    fake = make_registry(versions=8, production=6, staging=7)
    assert observe(fake) == 0
    return fake


def model(name: str = MODEL) -> RegisteredModel:
    return RegisteredModel.objects.get(name=name)


def version(number: int, model: str = MODEL) -> ModelVersion:
    return ModelVersion.objects.select_related("model").get(model__name=model, number=number)


def ask(registry: Registry, number: int, target: Target, *, by: User, model: str = MODEL) -> PromotionRequest:
    """Asked for, and checked by the worker in this registry."""
    request = make_request(version(number, model), target, by=by, is_checked=False)
    assert assessment.assess(request.pk, registry) == "concluded"
    request.refresh_from_db()
    return request


def approved(
    registry: Registry, number: int, target: Target, *, by: User, approvers: tuple[User, ...], model: str = MODEL
) -> PromotionRequest:
    return approve(ask(registry, number, target, by=by, model=model), *approvers)


def deliver(request: PromotionRequest, registry: Registry) -> str:
    """Now, whatever the pause or lease says; leaves `request` as the database has it."""
    entry = request.outbox_entries.latest("pk")
    OutboxEntry.objects.filter(pk=entry.pk).update(available_at=timezone.now(), lease_expires_at=None)
    outcome = delivery.deliver(entry.pk, registry)
    request.refresh_from_db()
    return outcome


def promote(
    registry: Registry, number: int, target: Target, *, by: User, approvers: tuple[User, ...], model: str = MODEL
) -> PromotionRequest:
    """Asked, checked, approved and delivered."""
    request = approved(registry, number, target, by=by, approvers=approvers, model=model)
    assert deliver(request, registry) == "applied"
    return request


def observe(registry: Registry) -> int:
    """What the worker does in ten minutes: sweep, pull, look; returns how many incidents were opened."""
    sync.sweep(registry)
    sync.pull(registry)
    found = watch.look(registry).found
    watch.follow()
    return found


def break_glass(number: int, target: Target, *, by: User, model: str = MODEL) -> PromotionRequest:
    return workflow.break_glass(version(number, model), target, by=by, reason=REASON, proof=proof())


def proof(*, minutes: float = 0) -> policy.Proof:
    """The person signed in that long ago."""
    return policy.Proof("password", timezone.now() - timedelta(minutes=minutes))


def freeze(
    name: str = "Christmas", *, hours: float = 5, target: Target | None = None, **fields: object
) -> FreezeWindow:
    """Since an hour, and for `hours` more."""
    window = FreezeWindow(name=name, target=target, **fields)
    now = timezone.now()
    window.when = Once(now - timedelta(hours=1), now + timedelta(hours=hours))
    return administration.save_freeze(window, by=None)


def answered_by(response: str, target: Target, *slots: Any, **terms: Any) -> Policy:
    """A policy with that answer to a change outside the gate."""
    return make_policy("*", target, *slots, on_bypass=response, **terms)


def in_production(registry: Registry, model: str = MODEL) -> list[int]:
    return sorted(each.number for each in registry.versions_in_stage(model, "Production"))


def running(place: str, model: str = MODEL) -> dict[int, str]:
    """{version: origin} of the tenures that run."""
    held = Tenure.objects.open().filter(model_name=model, place=place)
    return dict(held.values_list("version_number", "origin"))


def ended(place: str, model: str = MODEL) -> list[tuple[int, str]]:
    """Version and how its tenure ended, oldest first."""
    held = Tenure.objects.filter(model_name=model, place=place).exclude(ended_at=None).order_by("ended_at", "pk")
    return list(held.values_list("version_number", "end"))


def only_incident() -> Incident:
    return Incident.objects.select_related("target", "request").get()


# --- Without a registry: rows as the worker leaves them ---------------------------------------------------------------


def around_now(days: int = 1) -> Scope:
    now = timezone.now()
    return Scope(Period(now - timedelta(days=days), now + timedelta(days=days)))


def hold(version: ModelVersion, target: Target) -> None:
    """The version holds the target in the mirror, alone."""
    if target.stage:
        ModelVersion.objects.filter(model=version.model, stage=target.stage).update(stage="Archived")
        ModelVersion.objects.filter(pk=version.pk).update(stage=target.stage)
    if target.alias:
        Alias.objects.update_or_create(model=version.model, name=target.alias, defaults={"number": version.number})
    version.refresh_from_db()


@transaction.atomic
def settle(request: PromotionRequest, *people: User, kind: str = RequestKind.PROMOTION) -> PromotionRequest:
    """Approved by as many of these people as it needs, and settled as a delivery would leave it, the tenures too."""
    for person in people:
        request.refresh_from_db()
        if request.status == Status.PENDING:
            approve(request, person)
    fields: dict[str, Any] = {"kind": kind}
    if kind == RequestKind.BREAK_GLASS:
        fields["afterwards_due_at"] = timezone.now() + timedelta(hours=24)
    PromotionRequest.objects.filter(pk=request.pk).update(**fields)
    PromotionRequest.objects.filter(pk=request.pk).move(Status.APPLIED)
    OutboxEntry.objects.filter(request=request).update(closed_at=timezone.now(), outcome="applied")
    request.refresh_from_db()
    event = ledger.record(
        Action.VERSION_PROMOTED,
        actor=None,
        correlation_id=request.correlation_id,
        request=request,
        allowed_by=approver_labels(request),
    )
    tenures.promoted(request, event)
    hold(request.version, request.target)
    return request


@transaction.atomic
def bypass(version: ModelVersion, target: Target, place: str, *, has_incident: bool = True) -> Incident | None:
    """Somebody moved the place in MLflow: the watch ends what held it, begins what holds it, and opens an incident."""
    now = timezone.now()
    name = version.model.name
    held = Tenure.objects.open().filter(model_name=name, target=target, place=place)
    before = [each.version_number for each in held]
    event: AuditEvent | None = None
    incident: Incident | None = None
    if has_incident:
        data = {"kind": "moved", "place": place, "before": before, "after": [version.number], "not_before": None}
        event = ledger.record(
            Action.INCIDENT_OPENED, actor=None, model_name=name, target_name=target.name, data=data | {"incident": 1}
        )
        incident = Incident.objects.create(
            kind="moved",
            model_name=name,
            target=target,
            place=place,
            before=before,
            after=[version.number],
            seen_at=event.at,
            not_before=event.at - timedelta(seconds=10),
            response="report",
            opened_sequence=event.sequence,
        )
    at, sequence = (event.at, event.sequence) if event else (now, None)
    tenures.finish(held, at=at, how=Tenure.End.OUTSIDE, sequence=sequence, after=at - timedelta(seconds=10))
    tenures.begin(
        model_name=name,
        number=version.number,
        target=target,
        place=place,
        at=at,
        origin=Tenure.Origin.OUTSIDE,
        sequence=sequence,
        after=at - timedelta(seconds=10),
        sole=True,
    )
    return incident


@transaction.atomic
def put_back(incident: Incident, version: ModelVersion) -> None:
    """Countersign puts the last approved holder back."""
    event = ledger.record(
        Action.VERSION_RESTORED,
        actor=None,
        model_name=incident.model_name,
        version_number=version.number,
        target_name=incident.target.name,
        data={"place": incident.place, "incident": incident.pk, "replaced": incident.after},
    )
    held = Tenure.objects.open().filter(model_name=incident.model_name, target=incident.target, place=incident.place)
    tenures.finish(held, at=event.at, how=Tenure.End.RESTORED, sequence=event.sequence)
    tenures.begin(
        model_name=incident.model_name,
        number=version.number,
        target=incident.target,
        place=incident.place,
        at=event.at,
        origin=Tenure.Origin.RESTORED,
        sequence=event.sequence,
    )
    Incident.objects.filter(pk=incident.pk).update(
        resolved_at=event.at, resolution=Incident.Resolution.PUT_BACK, reason="By the policy."
    )


@transaction.atomic
def found(version: ModelVersion, target: Target, place: str) -> Tenure:
    """What the first look found."""
    event = ledger.record(
        Action.TENURE_FOUND,
        actor=None,
        model_name=version.model.name,
        version_number=version.number,
        target_name=target.name,
        data={"place": place},
    )
    return tenures.begin(
        model_name=version.model.name,
        number=version.number,
        target=target,
        place=place,
        at=event.at,
        origin=Tenure.Origin.FOUND,
        sequence=event.sequence,
    )


@transaction.atomic
def taken_away(version: ModelVersion, target: Target, place: str) -> None:
    """Somebody took the place from a version and gave it to none."""
    event = ledger.record(
        Action.INCIDENT_OPENED,
        actor=None,
        model_name=version.model.name,
        target_name=target.name,
        data={"kind": "moved", "place": place, "before": [version.number], "after": [], "incident": 2},
    )
    Incident.objects.create(
        kind="moved",
        model_name=version.model.name,
        target=target,
        place=place,
        before=[version.number],
        after=[],
        seen_at=event.at,
        response="report",
        opened_sequence=event.sequence,
    )
    held = Tenure.objects.open().filter(model_name=version.model.name, target=target, place=place)
    tenures.finish(held, at=event.at, how=Tenure.End.OUTSIDE, sequence=event.sequence)


# --- A company on the fake registry -----------------------------------------------------------------------------------


class World:
    def __init__(self, *models: str, versions: int = 4) -> None:
        self.registry = make_registry(*models, versions=versions)
        self.rita = make_person("Rita Sanz", "requester")
        self.remy = make_person("Remy Ortiz", "reviewer")
        self.rosa = make_person("Rosa Lind", "reviewer")
        self.otto = make_person("Otto Reyes", "responder")

    # --- What the worker does

    def observe(self, rounds: int = 1) -> None:
        """The worker's round, often enough that what follows from something follows."""
        for _ in range(rounds):
            sync.sweep(self.registry)
            sync.pull(self.registry)
            Incident.objects.filter(is_owed=True).update(available_at=timezone.now(), lease_expires_at=None)
            watch.run(self.registry)
            self.work()
            notifications.collect()

    def work(self) -> None:
        for pk in list(PromotionRequest.objects.filter(status=Status.CHECKING).values_list("pk", flat=True)):
            assessment.assess(pk, self.registry)
        OutboxEntry.objects.open().update(available_at=timezone.now(), lease_expires_at=None)
        delivery.drain(self.registry)
        workflow.end_due_probations()
        workflow.call_out_overdue()
        delivery.drain(self.registry)

    # --- What people do

    def version(self, model: str, number: int) -> ModelVersion:
        return version(number, model)

    def model(self, name: str) -> RegisteredModel:
        return model(name)

    def ask(self, model: str, number: int, target: Target) -> PromotionRequest:
        request = workflow.request_promotion(self.version(model, number), target, by=self.rita, justification="Better.")
        self.work()
        request.refresh_from_db()
        return request

    def decide(self, request: PromotionRequest, verdict: str = "approve") -> PromotionRequest:
        for person in (self.remy, self.rosa):
            request.refresh_from_db()
            if request.status == Status.PENDING:
                workflow.review(request, by=person, verdict=verdict, comment="Looked at.")
        request.refresh_from_db()
        return request

    def promote(self, model: str, number: int, target: Target) -> PromotionRequest:
        request = self.decide(self.ask(model, number, target))
        self.work()
        request.refresh_from_db()
        return request

    def roll_back(
        self, model: str, target: Target, *, by: User | None = None, to: int | None = None
    ) -> PromotionRequest:
        return workflow.roll_back(self.model(model), target, by=by or self.remy, reason="Worse than before.", to=to)

    def break_glass(self, model: str, number: int, target: Target) -> PromotionRequest:
        return break_glass(number, target, by=self.otto, model=model)

    def end_probations(self) -> None:
        now = timezone.now()
        Probation.objects.running().update(started_at=now - timedelta(hours=2), ends_at=now - timedelta(hours=1))
        workflow.end_due_probations()

    # --- The books

    def says(self) -> Held:
        """What MLflow says, asked without any code of Countersign."""
        found: Held = {}
        targets = list(Target.objects.current())
        for (model, number), version in sorted(self.registry._versions.items()):
            for target in targets:
                if target.stage and version.stage == target.stage:
                    found.setdefault((model, target.name, target.stage), []).append(number)
        for name, each in self.registry._models.items():
            for target in targets:
                if target.alias in each.aliases:
                    found[name, target.name, f"@{target.alias}"] = [each.aliases[target.alias]]
        return found

    def check(self, *, model: str = "") -> None:
        """Ledger, tenures and population, as an auditor would; the population of everything, or of one model."""
        verdict = ledger.verify(with_references=True, with_anchors=True)
        assert verdict.is_intact, verdict.problem
        assert as_of.holders_at(timezone.now()) == self.says()
        statement = completeness.state(replace(around_now(400), model_name=model))
        assert statement.unexplained == 0, statement.counts
        assert statement.adds_up, (statement.counts, statement.ledger, statement.incidents_by_state)
        assert (statement.strangers, statement.missing) == (0, 0)
