"""What is beside the matrix: what will happen by itself soon, and what was delivered last."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

from approvals.models import FreezeWindow, Probation, PromotionRequest, Status
from approvals.models.requests import UNDECIDED
from approvals.policy.freezes import WEEK, frozen_until, next_freeze
from registry_ui.selectors.overview.requests import NEXT, RECENT, SOON, Known


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


def of(known: Iterable[Known], now: datetime) -> list[Coming]:
    """The first ones to come, freezes too. One query."""
    found = [each for its in known for each in _of_request(its.request, now)]
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


def recent(known: Iterable[Known]) -> list[Delivered]:
    """The last ten of these. No query."""
    done = [each for each in known if each.request.status == Status.APPLIED and each.request.closed_at]
    done.sort(key=lambda each: (each.request.closed_at, each.request.pk), reverse=True)
    return [Delivered(each.request, each.approvers) for each in done[:RECENT]]
