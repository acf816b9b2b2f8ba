"""Who may review, and what a person may do, in the words of `policy`."""

from typing import Any

from django.db.models import QuerySet

from accounts.models import User
from approvals import policy
from mirror import composed

REVIEW = "approvals.review_promotion"


def actor_of(user: User) -> policy.Actor:
    permissions = frozenset(user.get_all_permissions()) if user.is_active else frozenset()
    return policy.Actor(
        user.pk, permissions, is_service_account=user.is_service_account, is_answered_for=user.is_answered_for
    )


def eligible() -> list[policy.Reviewer]:
    """Everyone who may review now. Service accounts never sign. Two queries."""
    groups: dict[int, set[str]] = {}
    for person, group in composed.rows(_groups):
        groups.setdefault(person, set()).add(group)
    return [
        policy.Reviewer(user.pk, user.label, frozenset(groups.get(user.pk, ())), names=user.known_as)
        for user in composed.objects(_people)
    ]


def _people() -> QuerySet[User]:
    found: QuerySet[User] = User.objects.holding(REVIEW).filter(is_service_account=False)
    return found


def _groups() -> QuerySet[Any, Any]:
    people = _people().order_by().values("pk")
    found: QuerySet[Any, Any] = User.groups.through.objects.filter(user__in=people)
    return found.values_list("user_id", "group__name")
