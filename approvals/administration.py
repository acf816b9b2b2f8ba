"""The administrators' verbs: targets, policies, people and groups. Each checks the permission and records an event.

The page, the view and the verb all ask `may`, so a refused action carries the same reason everywhere.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils import timezone

from approvals import checks, ledger, workflow
from approvals import policy as rules
from approvals.models import Action, AuditEvent, Policy, PolicyVersion, PromotionRequest, Status, Target, Verdict
from approvals.workflow import Invalid, NotAllowed
from registry_ui.accounts import roles
from registry_ui.accounts.models import User

POLICIES, PEOPLE = "approvals.manage_policies", "accounts.manage_people"
HISTORY, EXPORT = "approvals.view_history", "approvals.export_history"
COMMAND_LINE = "Countersign command line"
REASONS = {
    POLICIES: "Only administrators change targets and policies.",
    PEOPLE: "Only administrators manage people.",
    HISTORY: "The history is open to people with a role. An administrator can give you one.",
    EXPORT: "Only auditors and administrators export the history.",
}


def may(user: User, permission: str) -> rules.Answer:
    """Whether this person may do what `permission` (a key of REASONS) stands for, and why not."""
    if user.is_active and user.has_perm(permission):
        return rules.YES
    return rules.no(REASONS[permission])


@transaction.atomic
def save_policy(policy: Policy, rule: rules.Rule, *, by: User | None) -> Policy:
    """Adds a policy, or saves a new version of it, with what `rule` says; unchanged, nothing is saved. `policy` names
    the target; a new one takes its place by how specific its pattern is. Open requests keep the version they were made
    under. `by` None is the command line.

    Raises NotAllowed, or Invalid (the document makes no sense, the pattern is taken).
    """
    if by is not None:
        _require(by, POLICIES)
    if found := [*rules.problems_of(rule), *_check_problems(rule)]:
        raise Invalid(" ".join(found))
    is_new, terms = policy.pk is None, rule.terms()
    before = {} if is_new else describe_policy(Policy.objects.select_for_update().get(pk=policy.pk))
    if not is_new and before["terms"] == terms:
        return policy
    policy.model_pattern, policy.terms = rule.model_pattern, terms
    policy.version = 1 if is_new else before["version"] + 1
    with _valid("Somebody else has just added a policy for this pattern and target."):
        policy.full_clean()
        policy.save()
    PolicyVersion.objects.create(
        policy=policy, number=policy.version, terms=terms, saved_by=by, saved_as=by.label if by else COMMAND_LINE
    )
    if is_new:
        place(policy)
    _record(
        Action.POLICY_CREATED if is_new else Action.POLICY_CHANGED,
        by,
        target_name=policy.target.name,
        data={"before": before, "after": describe_policy(policy)},
    )
    return policy


def describe_policy(policy: Policy) -> dict[str, Any]:
    """The policy as plain data, for the ledger."""
    return {"policy_id": policy.pk, "version": policy.version, "position": policy.position, "terms": policy.terms}


def _check_problems(rule: rules.Rule) -> list[str]:
    return [problem for check in rule.checks for problem in checks.validate(check.kind, check.settings)[1]]


def place(policy: Policy) -> None:
    """Puts a new policy before the first that is less specific, in the caller's transaction."""
    others = [each for each in Policy.objects.current().filter(target=policy.target) if each.pk != policy.pk]
    mine = rules.specificity(policy.model_pattern)
    before = [each for each in others if rules.specificity(each.model_pattern) < mine]
    index = others.index(before[0]) if before else len(others)
    put_in_order([*others[:index], policy, *others[index:]])


def put_in_order(policies: Iterable[Policy]) -> None:
    """Stores positions 1, 2, 3, … for these policies of one target, in the caller's transaction."""
    for position, each in enumerate(policies, start=1):
        if each.position != position:
            each.position = position
            Policy.objects.filter(pk=each.pk).update(position=position)


@transaction.atomic
def move_policy(policy: Policy, *, up: bool, by: User) -> None:
    """Swaps a policy with its neighbour among those of its target; nothing at the end of the row. Open requests keep
    what they were made under. Raises NotAllowed."""
    _require(by, POLICIES)
    row = list(Policy.objects.current().filter(target=policy.target).select_for_update(of=("self",)))
    before = [each.model_pattern for each in row]
    index = [each.pk for each in row].index(policy.pk)
    other = index - 1 if up else index + 1
    if not 0 <= other < len(row):
        return
    row[index], row[other] = row[other], row[index]
    put_in_order(row)
    told = {"before": before, "after": [each.model_pattern for each in row]}
    _record(Action.POLICY_REORDERED, by, target_name=policy.target.name, data=told)


@transaction.atomic
def retire_policy(policy: Policy, *, by: User) -> None:
    """Takes the policy out of use; requests made under it keep it. Raises NotAllowed."""
    _require(by, POLICIES)
    if Policy.objects.filter(pk=policy.pk, retired_at=None).update(retired_at=timezone.now()):
        _record(Action.POLICY_RETIRED, by, target_name=policy.target.name, data={"before": describe_policy(policy)})


@transaction.atomic
def save_target(target: Target, *, by: User) -> Target:
    """Adds or changes a target. Raises NotAllowed, or Invalid (also if its meaning changes under open requests)."""
    _require(by, POLICIES)
    is_new = target.pk is None
    before = {} if is_new else _describe_target(Target.objects.get(pk=target.pk))
    taken = "Somebody else has just added a target with this name, stage or alias."
    after = _describe_target(target)
    is_moved = not is_new and any(before[key] != after[key] for key in ("name", "meaning", "archives_existing"))
    if is_moved and target.requests.open().exists():
        raise Invalid(
            "Requests for this target are open; what it is called and means in MLflow cannot change until "
            "they are closed."
        )
    if not is_new and before["name"] != target.name and target.requests.exists():
        raise Invalid(
            "The history and the notes in MLflow name this target, so it keeps its name. Retire it and add another."
        )
    with _valid(taken):
        target.full_clean()
        target.save()
    _record(
        Action.TARGET_CREATED if is_new else Action.TARGET_CHANGED,
        by,
        target_name=target.name,
        data={"before": before, "after": after},
    )
    return target


@transaction.atomic
def retire_target(target: Target, *, by: User) -> None:
    """Takes the target and its policies out of use. Raises NotAllowed, or Invalid while requests for it are open."""
    _require(by, POLICIES)
    if target.requests.open().exists():
        raise Invalid("Requests for this target are open; it can be retired when they are closed.")
    if Target.objects.filter(pk=target.pk, retired_at=None).update(retired_at=timezone.now()):
        for policy in Policy.objects.filter(target=target, retired_at=None).select_related("target"):
            retire_policy(policy, by=by)
        _record(Action.TARGET_RETIRED, by, target_name=target.name, data={"before": _describe_target(target)})


@transaction.atomic
def invite(*, email: str, name: str, groups: Iterable[Group], by: User) -> User:
    """Adds a person without a password: the invitation's link sets one, or the identity provider signs them in.

    Raises NotAllowed, or Invalid (no name, the address is taken).
    """
    _require(by, PEOPLE)
    person = _add_person(email=email, name=name, password=None, groups=groups)
    _record(Action.PERSON_INVITED, by, data={"person": person.label, "groups": _groups_of(person)})
    return person


@transaction.atomic
def create_person(*, email: str, name: str, password: str, groups: Iterable[Group]) -> User:
    """Adds a person with a password where nobody is signed in who could invite: for the command line alone. Asks for no
    permission, because whoever can run it owns the installation. Raises Invalid (no name, bad or taken address).
    """
    person = _add_person(email=email, name=name, password=password, groups=groups)
    data = {"person": person.label, "groups": _groups_of(person)}
    ledger.record(Action.PERSON_INVITED, actor=None, acting=COMMAND_LINE, data=data)
    return person


@transaction.atomic
def set_groups(person: User, *, groups: Iterable[Group], by: User) -> None:
    """Gives and takes roles and groups. Raises NotAllowed, or Invalid when the last administrator would be lost."""
    _require(by, PEOPLE)
    _lock_administrators()
    before = _groups_of(person)
    person.groups.set(groups)
    after = _groups_of(person)
    _keep_an_administrator()
    if before != after:
        _record(Action.PERSON_CHANGED, by, data={"person": person.label, "before": before, "after": after})
        _reconsider_reviews_of(person, by=by)


@transaction.atomic
def set_person(
    person: User, *, groups: Iterable[Group], mlflow_names: Iterable[str], is_service_account: bool, by: User
) -> None:
    """Saves everything that the page of a person has: roles and groups, what MLflow calls them, and whether it is a
    program. Raises NotAllowed, or Invalid (a service account cannot be a reviewer or the last administrator)."""
    _require(by, PEOPLE)
    wanted, names = list(groups), list(mlflow_names)
    if is_service_account and any(group.name in (roles.REVIEWER, roles.ADMINISTRATOR) for group in wanted):
        raise Invalid("A service account can never sign, so it is neither reviewer nor administrator.")
    before = {"mlflow_names": person.mlflow_names, "is_service_account": person.is_service_account}
    after = {"mlflow_names": names, "is_service_account": is_service_account}
    if before != after:
        User.objects.filter(pk=person.pk).update(**after)
        person.refresh_from_db()
        _record(Action.PERSON_IDENTIFIED, by, data={"person": person.label, "before": before, "after": after})
        _reconsider_reviews_of(person, by=by)
    set_groups(person, groups=wanted, by=by)


@transaction.atomic
def set_active(person: User, *, is_active: bool, by: User) -> None:
    """Deactivates or reactivates; nobody is ever deleted. Raises NotAllowed, or Invalid for the last administrator."""
    _require(by, PEOPLE)
    _lock_administrators()
    if not User.objects.filter(pk=person.pk, is_active=not is_active).update(is_active=is_active):
        return
    _keep_an_administrator()
    _record(
        Action.PERSON_REACTIVATED if is_active else Action.PERSON_DEACTIVATED,
        by,
        data={"person": person.label, "groups": _groups_of(person)},
    )
    _reconsider_reviews_of(person, by=by)


@transaction.atomic
def add_group(name: str, *, by: User) -> Group:
    """A group that slots can name, such as risk. Raises NotAllowed or Invalid (the name is taken)."""
    _require(by, PEOPLE)
    name = name.strip()
    if "|" in name or "*" in name:
        raise Invalid('A group name has no "|" and no "*".')
    if not name or Group.objects.filter(name__iexact=name).exists():
        raise Invalid("Choose a name that no other group has.")
    with _valid("Choose a name that no other group has."):
        group = Group(name=name)
        group.full_clean()
        group.save()
    _record(Action.GROUP_CREATED, by, data={"group": name})
    return group


@transaction.atomic
def record_export(*, by: User, filters: Mapping[str, Any]) -> AuditEvent:
    """Notes that the history was exported, and which part. The export ends just before it. Raises NotAllowed."""
    _require(by, EXPORT)
    return _record(Action.HISTORY_EXPORTED, by, data={"filters": dict(filters)})


def _add_person(*, email: str, name: str, password: str | None, groups: Iterable[Group]) -> User:
    taken = "There is already a person with this e-mail address."
    if not name.strip():
        raise Invalid("Say the person's full name: it stands on their requests and approvals.")
    if User.objects.filter(email__iexact=email).exists():
        raise Invalid(taken)
    with _valid(taken):
        validate_email(email)
        person: User = User.objects.create_user(email=email, password=password, name=name.strip())
    person.groups.set(groups)
    return person


def _reconsider_reviews_of(person: User, *, by: User) -> None:
    """Their approvals may count again, or no longer, in requests that are still open."""
    given = PromotionRequest.objects.filter(
        status=Status.PENDING, reviews__reviewer=person, reviews__voided_at=None, reviews__verdict=Verdict.APPROVE
    )
    for request in given.order_by("pk"):
        workflow.reconsider(request, by=by)


def _describe_target(target: Target) -> dict[str, Any]:
    return {
        "name": target.name,
        "meaning": target.meaning,
        "archives_existing": target.archives_existing,
        "description": target.description,
    }


def _groups_of(person: User) -> list[str]:
    return sorted(person.groups.values_list("name", flat=True))


def _lock_administrators() -> None:
    """Two administrators who take the role from each other at the same moment do it one after the other."""
    list(Group.objects.select_for_update().filter(name=roles.ADMINISTRATOR))


def _keep_an_administrator() -> None:
    if not User.objects.active().filter(groups__name=roles.ADMINISTRATOR).exists():
        raise Invalid("Somebody has to stay administrator. Give the role to another person first.")


@contextmanager
def _valid(taken: str) -> Iterator[None]:
    """Turns what validation or the database refuses into Invalid; `taken` is said when a constraint was hit."""
    try:
        with transaction.atomic():
            yield
    except ValidationError as error:
        raise Invalid(" ".join(error.messages)) from error
    except IntegrityError as error:
        raise Invalid(taken) from error


def _require(by: User, permission: str) -> None:
    answer = may(by, permission)
    if not answer:
        raise NotAllowed(answer.reason)


def _record(action: Action, by: User | None, *, data: Mapping[str, Any], target_name: str = "") -> AuditEvent:
    return ledger.record(action, actor=by, acting=COMMAND_LINE, target_name=target_name, data=data)
