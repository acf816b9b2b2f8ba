"""What the tests of the watch share."""

from typing import Any

from django.utils import timezone

from approvals import assessment, delivery, watch
from approvals.models import Incident, OutboxEntry, Policy, PromotionRequest, Target, Tenure
from registry_ui.accounts.models import User
from registry_ui.mirror import sync
from registry_ui.mirror.models import ModelVersion
from tests.factories import approve, make_policy, make_request

MODEL = "churn_predictor"


def seen(registry: Any) -> int:
    """What the worker does in ten minutes: sweep, pull, look; returns how many incidents were opened."""
    sync.sweep(registry)
    sync.pull(registry)
    found = watch.look(registry).found
    watch.follow()
    return found


def version(number: int, model: str = MODEL) -> ModelVersion:
    return ModelVersion.objects.select_related("model").get(model__name=model, number=number)


def answered_by(response: str, target: Target, *slots: Any, **terms: Any) -> Policy:
    return make_policy("*", target, *(slots or [(1, None)]), on_bypass=response, **terms)


def approved(registry: Any, number: int, target: Target, by: User, *reviewers: User) -> PromotionRequest:
    request = make_request(version(number), target, by=by, is_checked=False)
    assert assessment.assess(request.pk, registry) == "concluded"
    request.refresh_from_db()
    return approve(request, *reviewers)


def deliver(request: PromotionRequest, registry: Any) -> str:
    """Now, whatever pause or lease says; leaves `request` as the database has it."""
    entry = request.outbox_entries.latest("pk")
    OutboxEntry.objects.filter(pk=entry.pk).update(available_at=timezone.now(), lease_expires_at=None)
    outcome = delivery.deliver(entry.pk, registry)
    request.refresh_from_db()
    return outcome


def running(place: str, model: str = MODEL) -> dict[int, str]:
    """{version: origin} of the tenures that run."""
    held = Tenure.objects.open().filter(model_name=model, place=place)
    return dict(held.values_list("version_number", "origin"))


def ended(place: str, model: str = MODEL) -> list[tuple[int, str]]:
    held = Tenure.objects.filter(model_name=model, place=place).exclude(ended_at=None).order_by("ended_at", "pk")
    return list(held.values_list("version_number", "end"))


def only() -> Incident:
    return Incident.objects.select_related("target", "request").get()
