"""Who follows a request. Anyone who requested, reviewed or commented does by default; others can subscribe, and
everybody can mute it."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from accounts.models import User
from approvals.models import Comment, PromotionRequest, Review, Subscription
from mirror import composed


@dataclass(frozen=True, slots=True)
class Followers:
    """Ids of people."""

    taking_part: set[int] = field(default_factory=set)
    subscribed: set[int] = field(default_factory=set)
    muted: set[int] = field(default_factory=set)

    @property
    def following(self) -> set[int]:
        return (self.taking_part | self.subscribed) - self.muted


def followers(requests: Collection[PromotionRequest]) -> Mapping[int, Followers]:
    """By the request's id. Two queries, however many requests; none for none."""
    found: dict[int, Followers] = defaultdict(Followers)
    if not requests:
        return found
    for request in requests:
        found[request.pk].taking_part.update(request.asked_by)
    known = tuple(request.pk for request in requests)
    for request_id, person in composed.objects(_taking_part, known, known):
        found[request_id].taking_part.add(person)
    for request_id, person, is_muted in composed.objects(_subscribed, known):
        (found[request_id].muted if is_muted else found[request_id].subscribed).add(person)
    return found


def _taking_part(reviewed: tuple[int, ...], commented: tuple[int, ...]) -> QuerySet[Any, tuple[int, int]]:
    reviewers = Review.objects.filter(request__in=reviewed).values_list("request_id", "reviewer_id")
    return reviewers.union(Comment.objects.filter(request__in=commented).values_list("request_id", "author_id"))


def _subscribed(requests: tuple[int, ...]) -> QuerySet[Any, tuple[int, int, bool]]:
    return Subscription.objects.filter(request__in=requests).values_list("request_id", "person_id", "is_muted")


@dataclass(frozen=True, slots=True)
class Following:
    """How one person follows a request."""

    is_following: bool
    is_muted: bool
    why: str
    """A sentence."""


def of(request: PromotionRequest, user: User) -> Following:
    """Two queries."""
    them = followers([request])[request.pk]
    if user.pk in them.muted:
        return Following(False, True, "Muted: you are only notified when something needs you.")
    if user.pk in them.subscribed:
        return Following(True, False, "You are notified because you subscribed.")
    if user.pk in request.asked_by:
        return Following(True, False, "You are notified because you requested it.")
    if user.pk in them.taking_part:
        return Following(True, False, "You are notified because you take part.")
    return Following(False, False, "You are only notified when something needs you.")
