"""A small company on the fake registry: everything that people, MLflow and the worker do, and the books that have to be
right after each of it."""

from datetime import timedelta

from django.utils import timezone

from accounts.models import User
from approvals import assessment, delivery, ledger, notifications, watch, workflow
from approvals.audit import completeness
from approvals.audit.periods import Period
from approvals.audit.population import Scope
from approvals.models import Incident, OutboxEntry, Probation, PromotionRequest, Status, Target
from approvals.tenures import as_of
from mirror import sync
from mirror.models import ModelVersion, RegisteredModel
from tests.approvals.workflow.urgent import proof
from tests.support.factories import make_person
from tests.support.fakes import FakeRegistry

Held = dict[tuple[str, str, str], list[int]]
REASON = "Version 2 scores every customer as lost since nine o'clock."


class World:
    def __init__(self, *models: str, versions: int = 4) -> None:
        self.registry = FakeRegistry(limit=5000)
        for model in models:
            for number in range(1, versions + 1):
                self.registry.create_version(model, run_id=self.registry.log_run({"auc_roc": 0.9 + number / 100}))
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
        return ModelVersion.objects.select_related("model").get(model__name=model, number=number)

    def model(self, name: str) -> RegisteredModel:
        return RegisteredModel.objects.get(name=name)

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
        return workflow.break_glass(self.version(model, number), target, by=self.otto, reason=REASON, proof=proof())

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
        now = timezone.now()
        statement = completeness.state(Scope(Period(now - timedelta(days=400), now + timedelta(days=1)), model))
        assert statement.unexplained == 0, statement.counts
        assert statement.adds_up, (statement.counts, statement.ledger, statement.incidents_by_state)
        assert (statement.strangers, statement.missing) == (0, 0)
