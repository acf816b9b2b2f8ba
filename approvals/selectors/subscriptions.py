"""Who follows a request. Anyone who requested, reviewed or commented does by default; others can subscribe, and
everybody can mute it."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from accounts.models import User
from approvals.models import Comment, PromotionRequest, Review, Subscription


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
    """By the request's id. Three queries, however many requests; none for none."""
    found: dict[int, Followers] = defaultdict(Followers)
    if not requests:
        return found
    for request in requests:
        found[request.pk].taking_part.update(request.asked_by)
    for rows in (
        Review.objects.filter(request__in=requests).values_list("request_id", "reviewer_id"),
        Comment.objects.filter(request__in=requests).values_list("request_id", "author_id"),
    ):
        for request_id, person in rows:
            found[request_id].taking_part.add(person)
    for row in Subscription.objects.filter(request__in=requests):
        (found[row.request_id].muted if row.is_muted else found[row.request_id].subscribed).add(row.person_id)
    return found


@dataclass(frozen=True, slots=True)
class Following:
    """How one person follows a request."""

    is_following: bool
    is_muted: bool
    why: str
    """A sentence."""


def of(request: PromotionRequest, user: User) -> Following:
    """Three queries."""
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
