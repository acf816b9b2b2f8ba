"""Targets: what can be promoted to, and what that means in MLflow."""

from typing import Any

from django.utils import timezone

from accounts.models import User
from approvals.administration.policies import retire_policy
from approvals.administration.shared import POLICIES, record, require, valid
from approvals.models import Action, Policy, Target
from approvals.workflow import Invalid
from approvals.workflow.verbs import verb


@verb(edits="target")
def save_target(target: Target, *, by: User | None) -> Target:
    """Adds or changes a target; `by` None is the command line. Raises NotAllowed, or Invalid (also if its meaning
    changes under open requests)."""
    require(by, POLICIES)
    is_new = target.pk is None
    before = {} if is_new else _describe_target(Target.objects.get(pk=target.pk))
    taken = "Another person has just added a target with this name, stage or alias."
    after = _describe_target(target)
    is_moved = not is_new and any(before[key] != after[key] for key in ("name", "meaning", "archives_existing"))
    # Delivery reads from the target what it is to write: what was reviewed as one place must not go to another.
    if is_moved and target.requests.open().exists():
        raise Invalid(
            "This target has open requests; its name and its place in MLflow cannot change until they are closed."
        )
    if not is_new and before["name"] != target.name and target.requests.exists():
        raise Invalid(
            "The history and the notes in MLflow name this target, so it keeps its name. Retire it and add another."
        )
    with valid(taken):
        target.full_clean()
        target.save()
    record(
        Action.TARGET_CREATED if is_new else Action.TARGET_CHANGED,
        by,
        target_name=target.name,
        data={"before": before, "after": after},
        rows=[target],
    )
    return target


@verb()
def retire_target(target: Target, *, by: User) -> None:
    """Takes the target and its policies out of use. Raises NotAllowed, or Invalid while requests for it are open."""
    require(by, POLICIES)
    if target.requests.open().exists():
        raise Invalid("This target has open requests; retire it when they are closed.")
    if Target.objects.filter(pk=target.pk, retired_at=None).update(retired_at=timezone.now()):
        # Each with an event of its own, as if it had been retired by hand.
        for policy in Policy.objects.filter(target=target, retired_at=None).select_related("target"):
            retire_policy(policy, by=by)
        data = {"before": _describe_target(target)}
        record(Action.TARGET_RETIRED, by, target_name=target.name, data=data, rows=[target])


def _describe_target(target: Target) -> dict[str, Any]:
    return {
        "name": target.name,
        "meaning": target.meaning,
        "archives_existing": target.archives_existing,
        "description": target.description,
        "enforcement": str(target.enforcement),
    }
