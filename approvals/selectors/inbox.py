"""The queries behind the inbox: what waits for a person, for others, what is theirs, what is decided."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Exists, OuterRef, Q

from accounts.models import User
from approvals import policy
from approvals.evidence import comparison
from approvals.models import CheckResult, OutboxEntry, Probation, PromotionRequest, RequestKind, Review, Status, Verdict
from approvals.models.requests import CLOSED, OPEN, UNDECIDED, RequestQuerySet
from approvals.selectors import metrics_of_record, nominations, reviewers

TABS = ("waiting", "others", "mine", "decided", "glass")
NEAR_EXPIRY = timedelta(days=2)
OWES_REVIEW = Q(kind=RequestKind.BREAK_GLASS, afterwards_at=None)


def waiting_for(user: User) -> RequestQuerySet:
    """Pending requests that lack an approval which this person can give, promotions that they can review afterwards or
    confirm, and their own that came back to them or that their checks block."""
    blocked = Q(status=Status.CHECKING) & Exists(CheckResult.objects.blocking().filter(request=OuterRef("pk")))
    halves = OutboxEntry.objects.open().exclude(half=None)
    if not user.has_perm("approvals.retry_delivery"):
        halves = halves.none()
    half = Q(status=Status.APPROVED, pk__in=halves.values("request"))
    own = half | (_own(user) & (Q(status__in=(Status.CHANGES_REQUESTED, Status.FAILED)) | blocked))
    if not user.has_perm(reviewers.REVIEW):
        return PromotionRequest.objects.filter(own)
    decided = Review.objects.filter(request=OuterRef("pk"), reviewer=user, voided_at=None)
    mine_to_fill = Q(waits_for__contains="|*|")
    for group in user.groups.values_list("name", flat=True):
        mine_to_fill |= Q(waits_for__contains=f"|{group}|")
    for_review = Q(status=Status.PENDING) & ~_own(user) & ~Exists(decided) & mine_to_fill
    on_probation = Exists(Probation.objects.running().filter(request=OuterRef("pk")))
    after = (OWES_REVIEW | (Q(status=Status.APPLIED) & on_probation)) & ~_own(user)
    return unfinished().filter(for_review | own | after)


def _own(user: User) -> Q:
    """What they asked for, themself or by a service account that they answer for."""
    return Q(requester__in=User.objects.filter(Q(pk=user.pk) | Q(owner=user)).values("pk"))


def unfinished() -> RequestQuerySet:
    """Open requests, and closed ones that somebody still has to look at. A union, because each part has an index of its
    own, and with OR the database would walk through all requests that were ever made."""
    known = PromotionRequest.objects.order_by()
    open_ones, owing = known.open().values("pk"), known.owing_review().values("pk")
    provisional = Probation.objects.running().order_by().values("request_id")
    return PromotionRequest.objects.filter(pk__in=open_ones.union(owing, provisional))


def waiting_for_others(user: User) -> RequestQuerySet:
    """Open requests, and break-glass promotions without their review, that this person can do nothing about now."""
    return unfinished().filter(Q(status__in=OPEN) | OWES_REVIEW).exclude(pk__in=waiting_for(user).values("pk"))


def tab(name: str, user: User) -> RequestQuerySet:
    """The rows of one tab, in the order in which they should be read. Raises ValueError for a name of no tab."""
    match name:
        case "waiting":
            return waiting_for(user).order_by("created_at", "pk")
        case "others":
            return waiting_for_others(user).order_by("created_at", "pk")
        case "mine":
            return PromotionRequest.objects.filter(_own(user)).order_by("-created_at", "-pk")
        case "glass":
            return PromotionRequest.objects.owing_review().order_by("afterwards_due_at", "pk")
        case "decided":
            return PromotionRequest.objects.filter(status__in=CLOSED).order_by("-closed_at", "-pk")
    raise ValueError(f"There is no tab {name!r}.")


def for_list(found: RequestQuerySet) -> RequestQuerySet:
    """With what a row shows and without what it does not: evidence and params may be long."""
    heavy = ("params", "run", "tags", "description", "source", "run_link", "status_message")
    unread = [f"{part}__{field}" for part in ("version", "champion") for field in heavy]
    return found.with_subject().defer(
        "evidence", "justification", "version__model__description", "version__model__tags", *unread
    )


def waiting_count(user: User) -> int:
    return waiting_for(user).count()


def counts(user: User) -> dict[str, int]:
    """How many rows the tabs that are about unfinished work have."""
    return {
        "waiting": waiting_count(user),
        "others": waiting_for_others(user).count(),
        "glass": PromotionRequest.objects.owing_review().count(),
    }


# --- Rows -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One request as the inbox shows it."""

    request: PromotionRequest
    given: int
    needed: int
    own_verdict: str
    """What this person has said, in words; "" when nothing."""

    is_near_expiry: bool
    blocked_by: int
    """Failed checks that keep it from being asked."""

    headline: comparison.MetricRow | None
    """The metric of record; without a champion where nothing is replaced."""

    tally: comparison.Tally
    """Of all metrics, beside the champion's; empty where nothing is replaced."""

    probation_until: datetime | None
    tells_missing: bool
    """Whether it says whose approval is missing, which is plain where all rows wait for the same person."""

    is_addressed: bool = False
    """This person was asked by name, or with a group, and has not decided yet."""

    @property
    def verb(self) -> str:
        if self.request.is_break_glass:
            return "broke the glass"
        if self.request.is_rollback:
            return "rolled back" if self.request.decided_at else "asked to roll back"
        return "asked"

    @property
    def glass(self) -> str:
        """How a break-glass promotion stands with its review."""
        if self.request.is_review_overdue:
            return "Break-glass: review overdue"
        return "Break-glass: not reviewed" if self.request.owes_review else "Break-glass"

    @property
    def facts(self) -> list[str]:
        """`blocked by 1 check`, `1 of 2 approvals`, `you: approve`, as far as they are so."""
        found = [f"blocked by {_counted(self.blocked_by, 'check')}"] if self.blocked_by else []
        if self.request.is_break_glass:
            found.append("without approvals")
            if self.request.owes_review:
                found.append(f"to be reviewed by {self.request.afterwards_due_at:%Y-%m-%d %H:%M} UTC")
        elif self.request.is_rollback and self.request.decided_at and not self.given:
            found.append("needed no approval")
        else:
            found.append(f"{self.given} of {_counted(self.needed, 'approval')}")
        if self.own_verdict:
            found.append(f"you: {self.own_verdict.lower()}")
        elif self.missing and self.tells_missing:
            found.append(f"waits for {self.missing}")
        return found

    @property
    def missing(self) -> str:
        """Whose approval is missing, while it is: `risk and any reviewer`."""
        if self.request.status != Status.PENDING:
            return ""
        groups = self.request.waits_for.strip("|").split("|")
        return " and ".join("any reviewer" if group == "*" else group for group in groups if group)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def rows(requests: Sequence[PromotionRequest], user: User, *, now: datetime, tells_missing: bool = True) -> list[Row]:
    """Five queries, however many requests. Approvals are counted; whether they fit their slots is on the page."""
    live = Review.objects.live().filter(request__in=requests)
    given = dict(live.filter(verdict=Verdict.APPROVE).values_list("request_id").annotate(Count("pk")))
    own = {
        request: Verdict(verdict).label
        for request, verdict in live.filter(reviewer=user).values_list("request_id", "verdict")
    }
    blocking = CheckResult.objects.blocking().filter(request__in=requests, request__status=Status.CHECKING)
    blocked = dict(blocking.values_list("request_id").annotate(Count("pk")))
    provisional = dict(Probation.objects.running().filter(request__in=requests).values_list("request_id", "ends_at"))
    addressed = nominations.addressed(requests, user)
    found = []
    for request in requests:
        rule = policy.Rule.from_json(request.rule)
        metrics = metrics_of_record.rows_of(request.version, request.champion, rule.metrics)
        found.append(
            Row(
                request,
                given=given.get(request.pk, 0),
                needed=rule.approvals,
                own_verdict=own.get(request.pk, ""),
                is_near_expiry=_is_near_expiry(request, now),
                blocked_by=blocked.get(request.pk, 0),
                headline=comparison.of_record(metrics),
                tally=comparison.tally(metrics if request.champion else ()),
                probation_until=provisional.get(request.pk),
                tells_missing=tells_missing,
                is_addressed=request.pk in addressed and request.pk not in own and request.status == Status.PENDING,
            )
        )
    return found


def _is_near_expiry(request: PromotionRequest, now: datetime) -> bool:
    return request.status in UNDECIDED and request.expires_at - now < NEAR_EXPIRY
