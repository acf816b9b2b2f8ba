"""Who may review, and what a person may do, in the words of `policy`."""

from accounts.models import User
from approvals import policy

REVIEW = "approvals.review_promotion"


def actor_of(user: User) -> policy.Actor:
    permissions = frozenset(user.get_all_permissions()) if user.is_active else frozenset()
    return policy.Actor(
        user.pk, permissions, is_service_account=user.is_service_account, is_answered_for=user.is_answered_for
    )


def eligible() -> list[policy.Reviewer]:
    """Everyone who may review now. Service accounts never sign."""
    people = User.objects.holding(REVIEW).filter(is_service_account=False).prefetch_related("groups")
    return [
        policy.Reviewer(
            user.pk,
            user.label,
            frozenset(group.name for group in user.groups.all()),
            names=user.known_as,
        )
        for user in people
    ]
