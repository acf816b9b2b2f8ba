"""The queries behind the inbox: what waits for a person, for others, what is theirs, what is decided."""

from django.db.models import Count, Exists, OuterRef, Q

from approvals import policy, standing
from approvals.models import PromotionRequest, Review, Status
from approvals.models.requests import CLOSED, OPEN, RequestQuerySet
from registry_ui.accounts.models import User

TABS = ("waiting", "others", "mine", "decided")


def waiting_for(user: User) -> RequestQuerySet:
    """Pending requests that lack an approval which this person can give, and their own that came back to them."""
    own = Q(requester=user, status__in=(Status.CHANGES_REQUESTED, Status.FAILED))
    if not user.has_perm(standing.REVIEW):
        return PromotionRequest.objects.filter(own)
    decided = Review.objects.filter(request=OuterRef("pk"), reviewer=user, voided_at=None)
    mine_to_fill = Q(waits_for__contains="|*|")
    for group in user.groups.values_list("name", flat=True):
        mine_to_fill |= Q(waits_for__contains=f"|{group}|")
    for_review = Q(status=Status.PENDING) & ~Q(requester=user) & ~Exists(decided) & mine_to_fill
    return PromotionRequest.objects.filter(for_review | own)


def waiting_for_others(user: User) -> RequestQuerySet:
    """Open requests that this person can do nothing about now."""
    return PromotionRequest.objects.open().exclude(pk__in=waiting_for(user).values("pk"))


def tab(name: str, user: User) -> RequestQuerySet:
    """The rows of one tab, in the order in which they should be read."""
    match name:
        case "waiting":
            return waiting_for(user).order_by("created_at", "pk")
        case "others":
            return waiting_for_others(user).order_by("created_at", "pk")
        case "mine":
            return PromotionRequest.objects.filter(requester=user).order_by("-created_at", "-pk")
        case "decided":
            return PromotionRequest.objects.filter(status__in=CLOSED).order_by("-closed_at", "-pk")
    raise ValueError(f"There is no tab {name!r}.")


def waiting_count(user: User) -> int:
    return waiting_for(user).count()


def counts(user: User) -> dict[str, int]:
    """How many rows the tabs that are about open work have."""
    found = PromotionRequest.objects.filter(status__in=OPEN).aggregate(open=Count("pk"))
    waiting = waiting_count(user)
    return {"waiting": waiting, "others": found["open"] - waiting}


def approvals_given(requests: list[PromotionRequest]) -> dict[int, str]:
    """`1 of 2` for each request of a page, in one query. Counts approvals; whether they fit their slots is on the page."""
    given = dict(
        Review.objects.filter(request__in=requests, voided_at=None, verdict="approve")
        .values_list("request_id")
        .annotate(Count("pk"))
    )
    return {
        request.pk: f"{given.get(request.pk, 0)} of {policy.Rule.from_json(request.rule).approvals}" for request in requests
    }
