"""Small builders of rows. Each makes the plainest thing that is legal; say what matters, leave out the rest."""

from itertools import count
from typing import Any

from django.contrib.auth.models import Group
from django.utils import timezone

from approvals import workflow
from approvals.models import Policy, PromotionRequest, Slot, Target
from registry_ui.accounts.models import User
from registry_ui.mirror.models import ModelVersion, RegisteredModel

PASSWORD = "a-long-enough-password"
_numbers = count(1)


def make_person(name: str, *groups: str, **fields: Any) -> User:
    person: User = User.objects.create_user(
        email=f"{name.split(' ', maxsplit=1)[0].lower()}@example.com", password=PASSWORD, name=name, **fields
    )
    for group in groups:
        person.groups.add(Group.objects.get_or_create(name=group)[0])
    return person


def make_model(name: str = "", **fields: Any) -> RegisteredModel:
    now = timezone.now()
    defaults = {"created_at": now, "last_updated_at": now} | fields
    return RegisteredModel.objects.get_or_create(name=name or f"model_{next(_numbers)}", defaults=defaults)[0]


def make_version(
    model: str | RegisteredModel = "churn_predictor", number: int | None = None, **fields: Any
) -> ModelVersion:
    row = model if isinstance(model, RegisteredModel) else make_model(model)
    if number is None:
        number = (row.versions.order_by("-number").values_list("number", flat=True).first() or 0) + 1
    now = timezone.now()
    defaults: dict[str, Any] = {
        "created_at": now,
        "last_updated_at": now,
        "metrics": {"auc_roc": 0.9},
        "params": {"max_depth": "8"},
        "run_id": f"run{number}",
        "facts_at": now,
    }
    return ModelVersion.objects.create(model=row, number=number, **(defaults | fields))


def make_policy(pattern: str, target: Target, *slots: tuple[int, str | None], **fields: Any) -> Policy:
    """`slots` are (approvals, group name or None)."""
    policy = Policy.objects.create(model_pattern=pattern, target=target, **fields)
    for position, (approvals, name) in enumerate(slots):
        group = Group.objects.get_or_create(name=name)[0] if name else None
        Slot.objects.create(policy=policy, approvals=approvals, group=group, position=position)
    return policy


def make_request(
    version: ModelVersion, target: Target, *, by: User, justification: str = "Better."
) -> PromotionRequest:
    return workflow.request_promotion(version, target, by=by, justification=justification)


def approve(request: PromotionRequest, *people: User) -> PromotionRequest:
    for person in people:
        workflow.review(request, by=person, verdict="approve")
    request.refresh_from_db()
    return request
