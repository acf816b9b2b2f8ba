"""The demo's people: an ML engineer, two reviewers, a responder, an auditor and an administrator; one password
that is no secret."""

from dataclasses import dataclass

from django.contrib.auth.models import Group
from django.db import transaction

from accounts import roles
from accounts.models import User
from approvals import administration
from approvals.models import Enforcement, Target

RISK = "risk"
"""A group of reviewers beside the roles, for a policy that asks for one of them."""


@dataclass(frozen=True)
class Cast:
    rita: User
    remy: User
    rosa: User
    otto: User
    vera: User
    ada: User


def assemble(password: str) -> Cast:
    """Makes whoever is missing; those who exist keep their roles and passwords."""
    ada = _first_administrator(password)
    if not Group.objects.filter(name=RISK).exists():
        administration.add_group(RISK, by=ada)
    return Cast(
        rita=_person("Rita Sanz", "rita@example.com", password, [roles.REQUESTER], by=ada),
        remy=_person("Remy Ortiz", "remy@example.com", password, [roles.REVIEWER], by=ada),
        rosa=_person("Rosa Lind", "rosa@example.com", password, [roles.REVIEWER, RISK], by=ada),
        otto=_person("Otto Reyes", "otto@example.com", password, [roles.RESPONDER], by=ada),
        vera=_person("Vera Holm", "vera@example.com", password, [roles.AUDITOR], by=ada),
        ada=ada,
    )


def enforce_production(enforcement: Enforcement, *, by: User) -> None:
    """What MLflow does with a promotion that was not approved."""
    production = Target.objects.get(name="Production")
    if production.enforcement != enforcement:
        production.enforcement = enforcement
        administration.save_target(production, by=by)


@transaction.atomic
def _first_administrator(password: str) -> User:
    found: User | None = User.objects.filter(email="ada@example.com").first()
    if found is None:
        first = Group.objects.filter(name=roles.ADMINISTRATOR)
        found = administration.create_person(
            email="ada@example.com", name="Ada Brandt", password=password, groups=first
        )
    return found


@transaction.atomic
def _person(name: str, email: str, password: str, groups: list[str], *, by: User) -> User:
    found: User | None = User.objects.filter(email=email).first()
    if found is None:
        found = administration.invite(email=email, name=name, groups=Group.objects.filter(name__in=groups), by=by)
        found.set_password(password)
        found.save(update_fields=["password"])
    return found
