"""Who can approve what, now and then: what is replayed from the ledger is what the tables say."""

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from accounts import roles
from accounts.models import User
from approvals import administration, ledger
from approvals.administration import policy_files
from approvals.audit import access, replay
from approvals.models import Action, AuditEvent, Enforcement, Policy, Target
from approvals.policy import SlotRule
from approvals.selectors import reviewers
from approvals.workflow import WorkflowError
from registry_ui.demo import people as demo
from registry_ui.demo.installation import ROOT
from tests.approvals.ledger import tampering
from tests.support.factories import make_person, make_rule

pytestmark = pytest.mark.django_db


def groups(*names: str) -> list[Group]:
    return list(Group.objects.filter(name__in=names))


def first_administrator() -> User:
    """As an installation gets one: by the command, with an event."""
    return administration.create_person(
        email="ada@example.com", name="Ada Brandt", password="x" * 12, groups=groups(roles.ADMINISTRATOR)
    )


# --- Every verb that changes who may approve what, with arguments drawn at random


def _some_groups(dice: random.Random) -> list[Group]:
    found = list(Group.objects.order_by("name"))
    return dice.sample(found, dice.randint(0, min(3, len(found))))


def _somebody(dice: random.Random) -> User:
    return dice.choice(list(User.objects.exclude(email="ada@example.com").order_by("pk")))


def _some_rule(dice: random.Random, pattern: str) -> object:
    names = [None, *Group.objects.order_by("name").values_list("name", flat=True)]
    slots = [(dice.randint(1, 3), dice.choice(names)) for _ in range(dice.randint(1, 2))]
    return make_rule(pattern, *slots)


def invite(dice: random.Random, ada: User) -> None:
    number = User.objects.count()
    administration.invite(email=f"p{number}@example.com", name=f"Person {number}", groups=_some_groups(dice), by=ada)


def change_roles(dice: random.Random, ada: User) -> None:
    administration.set_groups(_somebody(dice), groups=_some_groups(dice), by=ada)


def identify(dice: random.Random, ada: User) -> None:
    administration.set_person(
        _somebody(dice),
        groups=_some_groups(dice),
        mlflow_names=["x"] * dice.randint(0, 1),
        is_service_account=dice.random() < 0.5,
        by=ada,
    )


def switch(dice: random.Random, ada: User) -> None:
    administration.set_active(_somebody(dice), is_active=dice.random() < 0.5, by=ada)


def add_group(dice: random.Random, ada: User) -> None:
    administration.add_group(f"group {dice.randint(1, 5)}", by=ada)


def add_policy(dice: random.Random, ada: User) -> None:
    target = dice.choice(list(Target.objects.current()))
    rule = _some_rule(dice, dice.choice(["*", "a*", "ab*", "?b", "abc", "zebra_*"]))
    administration.save_policy(Policy(target=target), rule, by=ada)  # type: ignore[arg-type]


def change_policy(dice: random.Random, ada: User) -> None:
    policy = dice.choice(list(Policy.objects.current()))
    pattern = policy.model_pattern if dice.random() < 0.7 else "new_*"
    administration.save_policy(policy, _some_rule(dice, pattern), by=ada)  # type: ignore[arg-type]


def retire_policy(dice: random.Random, ada: User) -> None:
    administration.retire_policy(dice.choice(list(Policy.objects.current())), by=ada)


def move_policy(dice: random.Random, ada: User) -> None:
    administration.move_policy(dice.choice(list(Policy.objects.current())), up=dice.random() < 0.5, by=ada)


def add_target(dice: random.Random, ada: User) -> None:
    name = f"t{dice.randint(1, 4)}"
    administration.save_target(Target(name=name, alias=name), by=ada)


def rename_target(dice: random.Random, ada: User) -> None:
    target = dice.choice(list(Target.objects.current()))
    target.name = f"{target.name[:20]}{dice.randint(1, 9)}"
    target.enforcement = dice.choice(list(Enforcement))
    administration.save_target(target, by=ada)


def retire_target(dice: random.Random, ada: User) -> None:
    administration.retire_target(dice.choice(list(Target.objects.current())), by=ada)


def apply_file(dice: random.Random, ada: User) -> None:
    name = dice.choice(list(Target.objects.current())).name
    document = f"""
policies:
  {name}:
  - model_pattern: file_*
    slots:
    - approvals: {dice.randint(1, 3)}
  - model_pattern: '*'
    slots:
    - approvals: {dice.randint(1, 3)}
"""
    policy_files.apply(policy_files.read(document.encode()), prune=dice.random() < 0.5)


VERBS: list[Callable[[random.Random, User], None]] = [
    invite,
    change_roles,
    identify,
    switch,
    add_group,
    add_policy,
    change_policy,
    retire_policy,
    move_policy,
    add_target,
    rename_target,
    retire_target,
    apply_file,
]


def play(dice: random.Random, length: int) -> Iterator[str]:
    """Does so many random things; gives the name of each that changed something."""
    ada = first_administrator()
    yield "first_administrator"
    for _ in range(length):
        verb = dice.choice(VERBS)
        before = AuditEvent.objects.count()
        try:
            with transaction.atomic():
                verb(dice, ada)
        except (WorkflowError, policy_files.BadFile, IndexError):
            continue  # refused: nothing has changed
        if AuditEvent.objects.count() > before:
            yield verb.__name__


@pytest.mark.further  # what moves in it is no query
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), length=st.integers(10, 25))
@example(seed=1233, length=25)  # a file was applied to policies that had moved since they were read
def test_the_replay_is_what_the_tables_say_after_any_sequence_of_changes(db: None, seed: int, length: int) -> None:
    dice = random.Random(seed)
    with transaction.atomic():
        kept: list[tuple[datetime, replay.State]] = [
            (AuditEvent.objects.latest("sequence").at, replay.now()) for _ in play(dice, length)
        ]
        told = replay.at(timezone.now())
        assert told == replay.now()  # nobody is marked either: all came by an event
        for moment, state in dice.sample(kept, min(3, len(kept))):
            assert replay.at(moment).targets == state.targets
            assert replay.at(moment).people == state.people
        transaction.set_rollback(True)


@pytest.mark.further
def test_the_random_changes_really_change_something(db: None) -> None:
    """So that the test above cannot pass by everything being refused."""
    verbs = {"first_administrator", *(verb.__name__ for verb in VERBS)}
    done: set[str] = set()
    for seed in range(12):
        with transaction.atomic():
            done |= set(play(random.Random(seed), 25))
            transaction.set_rollback(True)
        if done == verbs:
            return
    assert done == verbs


# --- What no event tells


def test_somebody_without_an_event_is_marked(ada: User, remy: User) -> None:
    told = replay.at(timezone.now())
    assert not told.people[remy.pk].is_recorded
    assert told.settled == replay.now()


def test_the_first_event_says_what_somebody_was_before(ada: User, remy: User) -> None:
    before = timezone.now()
    administration.set_groups(remy, groups=groups(roles.AUDITOR), by=ada)
    told = replay.at(before)
    assert told.people[remy.pk].groups == {roles.REVIEWER}
    assert not told.people[remy.pk].is_recorded
    assert replay.at(timezone.now()).people[remy.pk].groups == {roles.AUDITOR}


def test_who_came_later_is_not_there_yet(ada: User) -> None:
    before = timezone.now()
    administration.invite(email="ines@example.com", name="Ines", groups=groups(roles.REVIEWER), by=ada)
    assert {each.label for each in replay.at(before).people.values()} == {ada.label}


def test_people_who_signed_up_have_no_role_until_an_event_gives_one() -> None:
    first_administrator()
    nina = make_person("Nina New")
    with transaction.atomic():
        data = {"person": nina.label, "person_id": nina.pk}
        ledger.record(Action.PERSON_JOINED, actor=None, acting="sign-in", data=data, rows=[nina])
    assert replay.at(timezone.now()) == replay.now()


def test_somebody_who_came_by_an_identity_provider_has_no_role_and_needs_no_event(ada: User) -> None:
    """Signing up gives no roles, so nothing is hidden by there being no event of it."""
    person = make_person("Otto Lind")
    assert replay.at(timezone.now()).people[person.pk].groups == frozenset()
    assert replay.at(timezone.now()).people[person.pk].is_recorded


def test_older_events_without_a_number_are_understood_by_the_label(ada: User, remy: User) -> None:
    from approvals import ledger

    with transaction.atomic():
        ledger.record(
            Action.PERSON_CHANGED,
            actor=ada,
            data={"person": remy.label, "before": ["reviewer"], "after": ["auditor", "reviewer"]},
        )
    assert replay.at(timezone.now()).people[remy.pk].groups == {"auditor", "reviewer"}


# --- Every way in leaves an event


def test_the_command_and_the_demo_leave_events(capsys: pytest.CaptureFixture[str]) -> None:
    demo.assemble("a-long-enough-password")
    told = replay.at(timezone.now())
    assert all(each.is_recorded for each in told.people.values())
    assert told == replay.now()


def test_no_module_gives_groups_behind_the_ledgers_back() -> None:
    """`groups.set`, `groups.add` and their like stand in the administrators' verbs alone."""
    import re

    root = ROOT
    gives = re.compile(r"\b(?:groups|user_set)\.(?:set|add|remove|clear)\(|\bis_superuser\s*=|user_permissions\.")
    found = {
        path.relative_to(root).as_posix()
        for package in ("approvals", "registry_ui")
        for path in (root / package).rglob("*.py")
        if "migrations" not in path.parts and gives.search(path.read_text())
    }
    assert found == {"approvals/administration/people.py"}


# --- The matrix


def test_the_matrix_says_what_policy_says(ada: User, remy: User, rosa: User, rita: User, production: Target) -> None:
    rosa.groups.add(Group.objects.get_or_create(name="risk")[0])
    make_person("Robot Reviewer", "reviewer", is_service_account=True)
    make_person("Gone Away", "reviewer", is_active=False)
    rule = make_rule("churn*", (1, "risk"), (1, None))
    administration.save_policy(Policy(target=production), rule, by=ada)
    found = access.matrix(replay.now(), model_name="churn_predictor", target="Production")
    assert [(column.pattern, column.slot) for column in found.columns] == [
        ("churn*", SlotRule(1, "risk")),
        ("churn*", SlotRule(1)),
    ]
    can = {row.name: list(row.fills) for row in found.rows}
    assert can == {
        "Rosa Lind": [True, True],
        "Remy Ortiz": [False, True],
        "Ada Brandt": [False, False],
        "Rita Sanz": [False, False],
        "Robot Reviewer": [False, False],
    }
    eligible = {person.id for person in reviewers.eligible()}
    assert {row.person.id for row in found.rows if row.fills[1]} == eligible
    assert "manages people" in next(row for row in found.rows if row.name == "Ada Brandt").powers


def test_a_model_without_a_policy_shows_the_fallback(production: Target, ada: User) -> None:
    for policy in Policy.objects.current().filter(target=production):
        administration.retire_policy(policy, by=ada)
    found = access.matrix(replay.now(), model_name="churn", target="Production")
    assert [column.slot.approvals for column in found.columns] == [2]


def test_what_mlflow_enforced_is_known_for_each_moment(production: Target, ada: User) -> None:
    before = timezone.now()
    production.enforcement = Enforcement.ENFORCE
    administration.save_target(production, by=ada)

    def said(state: replay.State) -> set[str]:
        return {column.in_mlflow for column in access.matrix(state, target="Production").columns}

    assert said(replay.at(before)) == {""}
    assert said(replay.at(timezone.now())) == said(replay.now()) == {"enforced in MLflow"}
    found = access.matrix(replay.now())
    rows = [row for row in access.plain(found, before) if row["target"] == "Production"]
    assert {row["in_mlflow"] for row in rows} == {"enforce"}


def test_what_is_enforced_from_the_first_minute_is_known_without_an_event(production: Target, ada: User) -> None:
    Target.objects.filter(pk=production.pk).update(enforcement=Enforcement.ENFORCE)  # as the migration does it
    assert replay.at(timezone.now()).enforced == replay.now().enforced
    production.refresh_from_db()
    before = timezone.now()
    production.name, production.enforcement = "Live", Enforcement.OFF
    administration.save_target(production, by=ada)
    assert replay.at(before).enforced["Production"] == "enforce"
    assert replay.at(timezone.now()).enforced == replay.now().enforced


def test_the_changes_name_from_and_to_and_by_whom(ada: User, remy: User) -> None:
    administration.set_groups(remy, groups=groups(roles.AUDITOR, roles.REVIEWER), by=ada)
    administration.set_active(remy, is_active=False, by=ada)
    last, first = access.role_changes(access.role_events(person="remy@"))
    assert (first.before, first.after) == (["reviewer"], ["auditor", "reviewer"])
    assert (last.before, last.after) == (["auditor", "reviewer"], [])
    assert first.event.actor == ada
    assert access.role_changes(access.role_events(until=timezone.now() - timedelta(days=1))) == []


def test_people_are_found_by_what_they_were_called_once_and_in_events_from_before_there_were_tokens(
    ada: User, remy: User, rosa: User
) -> None:
    administration.set_groups(remy, groups=groups(roles.AUDITOR), by=ada)
    administration.set_groups(rosa, groups=groups(roles.AUDITOR), by=ada)
    older = AuditEvent.objects.order_by("-sequence")[0].sequence
    told = f'{{"after":["auditor"],"before":["reviewer"],"person":"{rosa.label}"}}'
    tampering.rewrite(older, payload=told)
    remy.name = "Remy Lind"
    remy.save()
    assert [each.action for each in access.role_events(person="ortiz")] == [
        Action.PERSON_RENAMED,
        Action.PERSON_CHANGED,
    ]
    assert [each.action for each in access.role_events(person="remy lind")] == [Action.PERSON_RENAMED]
    assert [each.sequence for each in access.role_events(person="rosa@")] == [older]
    administration.pseudonymise(remy, reason="Left.", by=ada)
    assert not access.role_events(person="ortiz").exists()
    found = access.role_changes(access.role_events(person=f"Person {remy.pk}"))
    assert found[-1].person == f"Person {remy.pk} (pseudonymised)"
    assert not access.role_events(person=f"Person {rosa.pk}").exists()


def test_the_first_administrator_of_the_command_is_recorded() -> None:
    import io
    import sys

    stdin, sys.stdin = sys.stdin, io.StringIO("a-long-enough-password\n")
    try:
        call_command("create_admin", email="eve@example.com", name="Eve Roe", password_stdin=True, stdout=io.StringIO())
    finally:
        sys.stdin = stdin
    (person,) = replay.at(timezone.now()).people.values()
    assert (person.groups, person.is_recorded) == ({"administrator"}, True)
