"""What stands beside the matrix: what will happen by itself soon, and what was delivered last."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Case, F, FilteredRelation, Q, QuerySet, When
from django.urls import reverse

from approvals.models import FreezeWindow, Probation, PromotionRequest, Status, Tenure, Verdict
from approvals.models.requests import UNDECIDED
from approvals.policy.freezes import WEEK, frozen_until, next_freeze
from approvals.selectors import inbox

SOON = timedelta(hours=48)
NEXT = 8
RECENT = 10
MOST_PLACES = 2
"""A delivery begins a tenure for the stage of its target and one for the alias."""


@dataclass(frozen=True, slots=True)
class Coming:
    """One thing that happens by itself at a time, or should have been done by then."""

    at: datetime
    title: str
    words: str
    """What happens, before the time."""

    icon: str
    colour: str
    url: str


def soon(now: datetime) -> QuerySet[PromotionRequest]:
    """The first requests that expire or are to be reviewed afterwards within 48 hours, and the first probations to end.
    No query of its own: for `pk__in`."""
    due = Case(
        When(status__in=UNDECIDED, then=F("expires_at")),
        When(inbox.OWES_REVIEW, then=F("afterwards_due_at")),
        default=F("probation__ends_at"),
    )
    near = Q(status__in=UNDECIDED) | inbox.OWES_REVIEW
    found = inbox.unfinished().exclude(status__in=(Status.APPROVED, Status.FAILED)).alias(due=due)
    return found.filter((near & Q(due__lte=now + SOON)) | (~near & Q(due__isnull=False))).order_by("due", "pk")[:NEXT]


def of(requests: Iterable[PromotionRequest], now: datetime) -> list[Coming]:
    """The first ones to come, freezes too, of requests that have `probation` with them. One query."""
    found = [each for request in requests for each in _of_request(request, now)]
    found += [each for window in FreezeWindow.objects.current() for each in _of_freeze(window, now)]
    return sorted(found, key=lambda each: each.at)[:NEXT]


def _of_request(request: PromotionRequest, now: datetime) -> Iterable[Coming]:
    version = request.version
    title = f"{version.model.name} v{version.number} to {request.target.name}"
    url = request.get_absolute_url()
    if request.status in UNDECIDED and request.expires_at <= now + SOON:
        yield Coming(request.expires_at, title, "Request expires", "clock", "amber", url)
    due = request.afterwards_due_at
    if request.owes_review and due and due <= now + SOON:
        words = "Emergency review was due" if due <= now else "Emergency review is due"
        yield Coming(due, title, words, "alert-triangle", "red" if due <= now else "amber", url)
    probation: Probation | None = getattr(request, "probation", None)
    if probation is not None and probation.closed_at is None:
        yield Coming(probation.ends_at, title, "Probation ends", "hourglass", "amber", url)


def _of_freeze(window: FreezeWindow, now: datetime) -> Iterable[Coming]:
    on = frozen_until([window.window], now)
    freeze = on or next_freeze([window.window], now, within=WEEK)
    if freeze is None:
        return
    covers = "all targets" if window.target is None else window.target.name
    title = f"{window.name}: {covers}" + ("" if window.model_pattern == "*" else f", {window.model_pattern}")
    at, words = (freeze.until, "Freeze ends") if on else (freeze.since, "Freeze begins")
    yield Coming(at, title, words, "lock", "blue", reverse("approvals:freezes"))


# --- What was delivered -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delivered:
    """A promotion or rollback that reached MLflow."""

    request: PromotionRequest
    approvers: Sequence[str]
    """Names of those whose approval stands, in their order."""

    @property
    def words(self) -> str:
        """How, before the time."""
        if self.request.is_rollback:
            return "Rolled back"
        return "Emergency promotion" if self.request.is_break_glass else "Promoted"

    @property
    def icon(self) -> str:
        if self.request.is_rollback:
            return "arrow-back-up"
        return "alert-triangle" if self.request.is_break_glass else "rocket"


def recent() -> list[Delivered]:
    """The last ten, by what they made hold a target. One query, a row for each approval."""
    last = Tenure.objects.filter(origin=Tenure.Origin.DELIVERY).order_by("-started_at", "-pk")
    approvals = FilteredRelation("reviews", condition=Q(reviews__verdict=Verdict.APPROVE, reviews__voided_at=None))
    rows = (
        PromotionRequest.objects.filter(pk__in=last.values("request")[: RECENT * MOST_PLACES], status=Status.APPLIED)
        .annotate(approval=approvals, name=F("approval__reviewer__name"), address=F("approval__reviewer__email"))
        .select_related("version__model", "target")
        .only("kind", "status", "closed_at", "target__name", "version__number", "version__model__name")
        .order_by("-closed_at", "-pk", "approval__created_at", "approval")
    )
    found: dict[int, tuple[PromotionRequest, list[str]]] = {}
    for row in rows:
        _, names = found.setdefault(row.pk, (row, []))
        names += filter(None, [getattr(row, "name", "") or getattr(row, "address", "")])
    return [Delivered(request, names) for request, names in list(found.values())[:RECENT]]
