"""The queries behind the inbox and the review queue: whose work a request is, filters and order."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from django.db.models import Case, Count, Exists, IntegerField, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, Left

from accounts.models import User
from approvals.models import (
    CheckResult,
    OutboxEntry,
    Outcome,
    Probation,
    PromotionRequest,
    RequestKind,
    Review,
    Status,
    Target,
)
from approvals.models.requests import CLOSED, OPEN, RequestQuerySet
from approvals.selectors import reviewers
from mirror import composed

TABS = ("waiting", "others", "mine", "decided", "glass")
REASON_SHOWN = 300
"""Characters of the reason that a list reads."""

OWES_REVIEW = Q(kind=RequestKind.BREAK_GLASS, afterwards_at=None)


@dataclass(frozen=True, slots=True)
class Whose:
    """What makes a request a person's work, as far as it lies in the person."""

    pk: int
    may_review: bool
    may_retry: bool
    """Deliveries of which MLflow has done a part."""

    groups: tuple[str, ...] = ()
    """Whose approvals they can give."""

    @classmethod
    def of(cls, user: User) -> "Whose":
        may_review = user.has_perm(reviewers.REVIEW)
        groups = user.group_names if may_review else ()
        return cls(user.pk, may_review, user.has_perm("approvals.retry_delivery"), groups)

    @property
    def waiting(self) -> RequestQuerySet:
        """What this person can review, and their own requests that came back to them or that their checks block."""
        if not self.may_review:
            return PromotionRequest.objects.filter(self.came_back)
        return unfinished().filter(self.reviewable | self.came_back)

    @property
    def to_review(self) -> RequestQuerySet:
        return unfinished().filter(self.reviewable) if self.may_review else PromotionRequest.objects.none()

    @property
    def waiting_on_others(self) -> RequestQuerySet:
        """Open requests, and emergency promotions without their review, that they can do nothing about now."""
        return unfinished().filter(Q(status__in=OPEN) | OWES_REVIEW).exclude(pk__in=self.waiting.values("pk"))

    @property
    def came_back(self) -> Q:
        blocked = Q(status=Status.CHECKING) & Q(Exists(CheckResult.objects.blocking().filter(request=OuterRef("pk"))))
        halves = OutboxEntry.objects.open().exclude(half=None)
        if not self.may_retry:
            halves = halves.none()
        half = Q(status=Status.APPROVED, pk__in=halves.values("request"))
        return half | (self.own & (Q(status__in=(Status.CHANGES_REQUESTED, Status.FAILED)) | blocked))

    @property
    def reviewable(self) -> Q:
        decided = Review.objects.filter(request=OuterRef("pk"), reviewer=self.pk, voided_at=None)
        mine_to_fill = Q(waits_for__contains="|*|")
        for group in self.groups:
            mine_to_fill |= Q(waits_for__contains=f"|{group}|")
        for_review = Q(status=Status.PENDING) & ~self.own & ~Exists(decided) & mine_to_fill
        on_probation = Exists(Probation.objects.running().filter(request=OuterRef("pk")))
        return for_review | ((OWES_REVIEW | (Q(status=Status.APPLIED) & on_probation)) & ~self.own)

    @property
    def own(self) -> Q:
        """What they asked for, themself or by a service account that they answer for."""
        return Q(requester__in=User.objects.filter(Q(pk=self.pk) | Q(owner=self.pk)).values("pk"))


def to_review(user: User) -> RequestQuerySet:
    """Pending requests that lack an approval which this person can give, and promotions that they can review afterwards
    or confirm."""
    return Whose.of(user).to_review


def unfinished() -> RequestQuerySet:
    """Open requests, and closed ones that a person still has to look at. A union, because each part has an index of its
    own, and with OR the database would walk through all requests that were ever made."""
    known = PromotionRequest.objects.order_by()
    open_ones, owing = known.open().values("pk"), known.owing_review().values("pk")
    provisional = Probation.objects.running().order_by().values("request_id")
    return PromotionRequest.objects.filter(pk__in=open_ones.union(owing, provisional))


def tab(name: str, user: User) -> RequestQuerySet:
    """The rows of one tab, unordered. Raises ValueError for a name of no tab."""
    return _tab(name, Whose.of(user))


def _tab(name: str, whose: Whose) -> RequestQuerySet:
    match name:
        case "waiting":
            return whose.waiting
        case "others":
            return whose.waiting_on_others
        case "mine":
            return PromotionRequest.objects.filter(whose.own)
        case "glass":
            return PromotionRequest.objects.owing_review()
        case "decided":
            return PromotionRequest.objects.filter(status__in=CLOSED)
    raise ValueError(f"There is no tab {name!r}.")


# --- Filters and order ------------------------------------------------------------------------------------------------

SORTS = {"expiry": "Expires first", "age": "Oldest first", "risk": "Most failed checks first", "model": "Model"}
"""How unfinished work can be read."""

ENDED_SORTS = {"newest": "Newest first", "model": "Model"}
"""How the lists can be read that only ever grow."""


def sorts(tab_name: str) -> dict[str, str]:
    """The orders of a tab with their words, the usual one first."""
    return ENDED_SORTS if tab_name in ("mine", "decided") else SORTS


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a list is shown, and in which order. Empty fields filter nothing."""

    model: str = ""
    """A part of the model's name, in capitals or not."""

    target: str = ""
    requester: str = ""
    """The number of the person, as text."""

    state: str = ""
    sort: str = ""

    @property
    def is_filtered(self) -> bool:
        return bool(self.model or self.target or self.requester or self.state)


def narrowed(found: RequestQuerySet, wanted: Wanted) -> RequestQuerySet:
    if wanted.model:
        found = found.filter(version__model__name__icontains=wanted.model)
    if wanted.target:
        found = found.filter(target__name=wanted.target)
    if wanted.requester:
        found = found.filter(requester=int(wanted.requester))
    return found.filter(status=wanted.state) if wanted.state else found


def ordered(found: RequestQuerySet, sort: str, tab_name: str = "waiting") -> RequestQuerySet:
    """The same rows in the order of this name; another name is the usual order of the tab."""
    due = Coalesce("afterwards_due_at", "expires_at")
    match sort if sort in sorts(tab_name) else next(iter(sorts(tab_name))):
        case "age":
            return found.order_by("created_at", "pk")
        case "risk":
            failed, warned = _checks_that(Outcome.FAIL), _checks_that(Outcome.WARN)
            return found.order_by(failed.desc(), warned.desc(), due, "pk")
        case "model" if tab_name in ("mine", "decided"):
            return found.order_by("version__model__name", "version__number", "pk")
        case "model":
            # Few of very many models: with the plain column and a limit, PostgreSQL would walk through all of them.
            return found.order_by(Coalesce("version__model__name", Value("")), "version__number", "pk")
        case "newest" if tab_name == "decided":
            return found.order_by("-closed_at", "-pk")
        case "newest":
            return found.order_by("-created_at", "-pk")
    return found.order_by(due, "pk")


def _checks_that(outcome: Outcome) -> Coalesce:
    mine = CheckResult.objects.live().filter(request=OuterRef("pk"), outcome=outcome, overridden_at=None)
    number = mine.order_by().values("request").annotate(number=Count("pk")).values("number")
    return Coalesce(Subquery(number, output_field=IntegerField()), 0)


def requesters() -> list[tuple[int, str]]:
    """Everybody who has asked for something, by name: number and what they are called."""
    return [(pk, name or email) for pk, name, email in composed.rows(_requesters)]


def _requesters() -> QuerySet[Any, Any]:
    asked = PromotionRequest.objects.filter(requester=OuterRef("pk"))
    found: QuerySet[Any, Any] = User.objects.filter(Exists(asked)).order_by("name", "email")
    return found.values_list("pk", "name", "email")


def targets() -> list[str]:
    """The names of all of them, the retired ones too, in their order."""
    return [name for _, name in composed.rows(_targets)]


def _targets() -> QuerySet[Any, Any]:
    return Target.objects.order_by("position", "name").values_list("position", "name")


def for_list(found: RequestQuerySet, *, evidence: bool = False) -> RequestQuerySet:
    """With what a row shows and without what it does not: params may be long, and so may be the evidence, which some
    lists read."""
    heavy = ("params", "run", "tags", "description", "source", "run_link", "status_message")
    unread = [f"{part}__{field}" for part in ("version", "champion") for field in heavy]
    unread += [] if evidence else ["evidence"]
    return (
        found.with_subject()
        .annotate(reason=Left("justification", REASON_SHOWN))
        .defer("justification", "version__model__description", "version__model__tags", *unread)
    )


def first_rows(name: str, user: User, sort: str, number: int) -> list[PromotionRequest]:
    """So many of a tab of unfinished work, in this order and with what a row shows, while nothing is filtered: what
    people open most. Two queries."""
    whose = Whose.of(user)
    return listed(composed.objects(_first(name, replace(whose, pk=0), sort, number), whose.pk))


@lru_cache(maxsize=composed.KEPT)
def _first(name: str, whose: Whose, sort: str, number: int) -> composed.Compose:
    return lambda pk: ordered(_tab(name, replace(whose, pk=pk)), sort, name).values_list("pk", flat=True)[:number]


def listed(numbers: Iterable[int]) -> list[PromotionRequest]:
    """The requests with these numbers, in their order, with what a row shows. One query: which ones they are is asked
    before, because PostgreSQL plans ten joins and that for longer than it looks for both."""
    wanted = tuple(numbers)
    found = {request.pk: request for request in composed.objects(_listed, wanted)}
    return [found[number] for number in wanted]


def _listed(numbers: tuple[int, ...]) -> RequestQuerySet:
    return for_list(PromotionRequest.objects.filter(pk__in=numbers))


def came_back_count(user: User) -> int:
    """Of what waits for the person, what is no review: the rest of `to_review`."""
    return composed.sums(_came_back, Whose.of(user))[0]


def _came_back(whose: Whose) -> QuerySet[Any, Any]:
    return PromotionRequest.objects.filter(whose.came_back).values(one=Value(1))


def waiting_count(user: User) -> int:
    return composed.sums(_waiting, Whose.of(user))[0]


def _waiting(whose: Whose) -> QuerySet[Any, Any]:
    return whose.waiting.values(one=Value(1))


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows the tabs about unfinished work have, and how many of those that wait this person can review."""

    waiting: int
    others: int
    glass: int
    review: int

    def of(self, tab_name: str) -> int | None:
        """None for a tab that is not counted."""
        return getattr(self, tab_name, None)


def counts(user: User) -> Counts:
    """In one query over what is unfinished."""
    return Counts(*composed.sums(_counts, Whose.of(user)))


def _counts(whose: Whose) -> QuerySet[Any, Any]:
    can_review = whose.reviewable if whose.may_review else Q(pk__in=[])
    waiting = can_review | whose.came_back
    others = (Q(status__in=OPEN) | OWES_REVIEW) & ~waiting
    told = {"waiting": waiting, "others": others, "glass": OWES_REVIEW, "review": can_review}
    return unfinished().values(**{name: Case(When(which, then=1), default=0) for name, which in told.items()})
