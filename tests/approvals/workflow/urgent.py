"""Shared by the tests of roll back, break-glass and probation: a registry with four versions, and promotions through
the real assessment and delivery."""

from datetime import timedelta

from django.utils import timezone

from accounts.models import User
from approvals import administration, assessment, delivery, policy
from approvals.models import FreezeWindow, OutboxEntry, PromotionRequest, Target
from approvals.policy.freezes import Once
from mirror import sync
from mirror.models import ModelVersion, RegisteredModel
from mirror.port import Registry
from tests.support.factories import approve, make_request
from tests.support.fakes import FakeRegistry

MODEL = "churn_predictor"
REASON = "Version 2 scores every customer as lost since nine o'clock."


def make_registry(versions: int = 4) -> FakeRegistry:
    """Nothing holds a target yet."""
    fake = FakeRegistry(limit=5000)
    for number in range(1, versions + 1):
        run_id = fake.log_run({"auc_roc": 0.9 + number / 100}, {"max_depth": str(number)})
        fake.create_version(MODEL, run_id=run_id, description=f"Trained for the {number}th time.")
    sync.sweep(fake)
    return fake


def model() -> RegisteredModel:
    return RegisteredModel.objects.get(name=MODEL)


def version(number: int) -> ModelVersion:
    return ModelVersion.objects.select_related("model").get(model__name=MODEL, number=number)


def ask(registry: Registry, number: int, target: Target, *, by: User) -> PromotionRequest:
    request = make_request(version(number), target, by=by, is_checked=False)
    assert assessment.assess(request.pk, registry) == "concluded"
    request.refresh_from_db()
    return request


def promote(
    registry: Registry, number: int, target: Target, *, by: User, approvers: tuple[User, ...]
) -> PromotionRequest:
    """Asked, checked, approved and delivered."""
    request = approve(ask(registry, number, target, by=by), *approvers)
    assert deliver(request, registry) == "applied"
    return request


def deliver(request: PromotionRequest, registry: Registry) -> str:
    """Now, whatever the pause or lease says; leaves `request` as the database has it."""
    entry = request.outbox_entries.latest("pk")
    OutboxEntry.objects.filter(pk=entry.pk).update(available_at=timezone.now(), lease_expires_at=None)
    outcome = delivery.deliver(entry.pk, registry)
    request.refresh_from_db()
    return outcome


def freeze(name: str = "Christmas") -> FreezeWindow:
    window = FreezeWindow(name=name)
    now = timezone.now()
    window.when = Once(now - timedelta(hours=1), now + timedelta(hours=5))
    return administration.save_freeze(window, by=None)


def proof(*, minutes: float = 0) -> policy.Proof:
    return policy.Proof("password", timezone.now() - timedelta(minutes=minutes))


def in_production(registry: Registry) -> list[int]:
    return sorted(each.number for each in registry.versions_in_stage(MODEL, "Production"))
