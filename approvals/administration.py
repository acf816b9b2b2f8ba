"""The administrators' verbs: targets, policies, people and groups. Each checks the permission and records an event."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from approvals import ledger
from approvals.models import Action, Policy, Slot, Target
from approvals.workflow import Invalid, NotAllowed
from registry_ui.accounts import roles
from registry_ui.accounts.models import User

POLICIES, PEOPLE = "approvals.manage_policies", "accounts.manage_people"


@dataclass(frozen=True, slots=True)
class SlotInput:
    approvals: int
    group: Group | None


def describe_policy(policy: Policy) -> dict[str, Any]:
    """The policy as plain data, for the ledger."""
    return {
        "policy_id": policy.pk,
        "model_pattern": policy.model_pattern,
        "requires_reason": policy.requires_reason,
        "open_for_days": policy.open_for_days,
        "slots": [
            {"approvals": slot.approvals, "group": slot.group.name if slot.group else None}
            for slot in policy.slots.select_related("group").order_by("position", "pk")
        ],
    }


@transaction.atomic
def save_policy(policy: Policy, *, slots: Iterable[SlotInput], by: User) -> Policy:
    """Adds or changes a policy with its slots. Open requests keep the rule they were made under. Raises NotAllowed, Invalid."""
    _require(by, POLICIES)
    wanted = list(slots)
    if not wanted:
        raise Invalid("A policy needs at least one slot.")
    is_new = policy.pk is None
    before = {} if is_new else describe_policy(Policy.objects.get(pk=policy.pk))
    policy.full_clean()
    policy.save()
    policy.slots.all().delete()
    Slot.objects.bulk_create(
        Slot(policy=policy, group=slot.group, approvals=slot.approvals, position=position)
        for position, slot in enumerate(wanted)
    )
    _record(
        Action.POLICY_CREATED if is_new else Action.POLICY_CHANGED,
        by,
        target_name=policy.target.name,
        data={"before": before, "after": describe_policy(policy)},
    )
    return policy


@transaction.atomic
def retire_policy(policy: Policy, *, by: User) -> None:
    """Takes the policy out of use; requests made under it keep it. Raises NotAllowed."""
    _require(by, POLICIES)
    if Policy.objects.filter(pk=policy.pk, retired_at=None).update(retired_at=timezone.now()):
        _record(Action.POLICY_RETIRED, by, target_name=policy.target.name, data={"before": describe_policy(policy)})


@transaction.atomic
def save_target(target: Target, *, by: User) -> Target:
    """Adds or changes a target. Raises NotAllowed."""
    _require(by, POLICIES)
    is_new = target.pk is None
    before = {} if is_new else _describe_target(Target.objects.get(pk=target.pk))
    target.full_clean()
    if not is_new and before["meaning"] != target.meaning and target.requests.open().exists():
        raise Invalid("Requests for this target are open; what it means in MLflow cannot change until they are closed.")
    target.save()
    _record(
        Action.TARGET_CREATED if is_new else Action.TARGET_CHANGED,
        by,
        target_name=target.name,
        data={"before": before, "after": _describe_target(target)},
    )
    return target


@transaction.atomic
def retire_target(target: Target, *, by: User) -> None:
    """Takes the target out of use. Raises NotAllowed, or Invalid while requests for it are open."""
    _require(by, POLICIES)
    if target.requests.open().exists():
        raise Invalid("Requests for this target are open; it can be retired when they are closed.")
    if Target.objects.filter(pk=target.pk, retired_at=None).update(retired_at=timezone.now()):
        Policy.objects.filter(target=target, retired_at=None).update(retired_at=timezone.now())
        _record(Action.TARGET_RETIRED, by, target_name=target.name, data={"before": _describe_target(target)})


@transaction.atomic
def invite(*, email: str, name: str, groups: Iterable[Group], by: User) -> User:
    """Adds a person without a password; they set one through the password-reset mail or the identity provider."""
    _require(by, PEOPLE)
    if User.objects.filter(email__iexact=email).exists():
        raise Invalid("There is already a person with this e-mail address.")
    person: User = User.objects.create_user(email=email, name=name)
    person.groups.set(groups)
    _record(Action.PERSON_INVITED, by, data={"person": person.label, "groups": _groups_of(person)})
    return person


@transaction.atomic
def set_groups(person: User, *, groups: Iterable[Group], by: User) -> None:
    """Gives and takes roles and groups. Raises NotAllowed, or Invalid when the last administrator would be lost."""
    _require(by, PEOPLE)
    before = _groups_of(person)
    person.groups.set(groups)
    after = _groups_of(person)
    _keep_an_administrator()
    if before != after:
        _record(Action.PERSON_CHANGED, by, data={"person": person.label, "before": before, "after": after})


@transaction.atomic
def set_active(person: User, *, is_active: bool, by: User) -> None:
    """Deactivates or reactivates; nobody is ever deleted. Raises NotAllowed, or Invalid for the last administrator."""
    _require(by, PEOPLE)
    if not User.objects.filter(pk=person.pk, is_active=not is_active).update(is_active=is_active):
        return
    _keep_an_administrator()
    _record(
        Action.PERSON_REACTIVATED if is_active else Action.PERSON_DEACTIVATED,
        by,
        data={"person": person.label, "groups": _groups_of(person)},
    )


@transaction.atomic
def add_group(name: str, *, by: User) -> Group:
    """A group that slots can name, such as risk. Raises NotAllowed or Invalid (the name is taken)."""
    _require(by, PEOPLE)
    name = name.strip()
    if "|" in name or "*" in name:
        raise Invalid('A group name has no "|" and no "*".')
    if not name or Group.objects.filter(name__iexact=name).exists():
        raise Invalid("Choose a name that no other group has.")
    group = Group.objects.create(name=name)
    _record(Action.GROUP_CREATED, by, data={"group": name})
    return group


@transaction.atomic
def record_export(*, by: User, filters: Mapping[str, Any]) -> None:
    """Notes that the history was exported, and which part."""
    _require(by, "approvals.export_history")
    _record(Action.HISTORY_EXPORTED, by, data={"filters": dict(filters)})


def _describe_target(target: Target) -> dict[str, Any]:
    return {"name": target.name, "meaning": target.meaning, "archives_existing": target.archives_existing}


def _groups_of(person: User) -> list[str]:
    return sorted(person.groups.values_list("name", flat=True))


def _keep_an_administrator() -> None:
    if not User.objects.active().filter(groups__name=roles.ADMINISTRATOR).exists():
        raise Invalid("Somebody has to stay administrator. Give the role to another person first.")


def _require(by: User, permission: str) -> None:
    if not by.is_active or not by.has_perm(permission):
        raise NotAllowed("Only administrators can do this." if permission in (POLICIES, PEOPLE) else "You may not do this.")


def _record(action: Action, by: User, *, data: Mapping[str, Any], target_name: str = "") -> None:
    ledger.record(action, actor=by, correlation_id=uuid.uuid4(), target_name=target_name, data=data)
