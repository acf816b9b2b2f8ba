"""How far a request has come, in words for its page: steps, delivery, and what this person cannot do."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import User
from approvals.models import Action, Assessment, AuditEvent, OutboxEntry, Outcome, PromotionRequest, Status
from approvals.policy.freezes import Freeze
from approvals.selectors import approval_effect, undoing
from approvals.selectors.approval_effect import Effect
from approvals.selectors.request_state import RequestState
from mirror import composed
from mirror.models import Inspection

SLOW_AFTER = timedelta(seconds=15)
"""A delivery that no worker has touched for this long is called delayed."""

# --- What is asked ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Headline:
    """What is asked, round the name of the version, which is a link; and what the requester did."""

    before: str
    version: str
    after: str
    by: str

    @property
    def title(self) -> str:
        return f"{self.before} {self.version}{self.after}"


def headline(request: PromotionRequest) -> Headline:
    """`Promote` `churn_predictor v7` ` to Production (replaces v6)`, `Requested by`."""
    target, replaced = request.target.name, request.replaces
    version = f"{request.version.model.name} v{request.version.number}"
    end = f" (replaces v{replaced.number})" if replaced else ""
    if request.is_break_glass:
        return Headline("Emergency promotion:", version, f" to {target}{end}", "Promoted without approval by")
    if request.is_rollback:
        by = "Rolled back by" if request.decided_at else "Requested by"
        return Headline(f"Roll back {target} to", version, end, by)
    return Headline("Promote", version, f" to {target}{end}", "Requested by")


@dataclass(frozen=True, slots=True)
class Approval:
    """What one more approval does, for the button and the line above it."""

    effect: Effect
    tally: str
    """`1 of 2`: which one it is."""

    sentence: str


def approval(now: RequestState, freeze: Freeze | None) -> Approval:
    """`freeze` is what holds deliveries now."""
    does = approval_effect.of(now, freeze)
    return Approval(does, f"{now.approvals_given + 1} of {now.rule.approvals}", effect(now.request, does))


def effect(request: PromotionRequest, does: Effect) -> str:
    """What an approval does, in sentences: now, or once all are given."""
    target, replaced = request.target, request.replaces
    gets = f"version {request.version.number} gets {target.meaning} in MLflow"
    match does:
        case Effect.COUNTS:
            words = f"Once all approvals are given, {gets}"
        case Effect.WAITS:
            words = f"Yours is the last approval: {gets} when the freeze ends"
        case Effect.DELIVERS:
            words = f"Yours is the last approval: {gets} at once"
    if replaced is not None:
        fate = "is archived" if target.archives_existing else "keeps its stage" if target.stage else "loses the alias"
        words += f", and version {replaced.number} {fate}"
    seconds = int(undoing.window().total_seconds()) if undoing.is_offered(request) else 0
    return f"{words}. You can undo your decision for {seconds} seconds." if seconds else f"{words}."


# --- Steps ------------------------------------------------------------------------------------------------------------

ENDED = (Status.REJECTED, Status.WITHDRAWN, Status.EXPIRED)
ICONS = {"done": "circle-check", "now": "progress-check", "stopped": "circle-x", "ahead": "circle-dashed"}


@dataclass(frozen=True, slots=True)
class Step:
    label: str
    state: str
    """`done`, `now`, `stopped` (it ended here) or `ahead`."""

    @property
    def icon(self) -> str:
        return ICONS[self.state]

    @property
    def is_current(self) -> bool:
        return self.state in ("now", "stopped")


def steps(now: RequestState) -> list[Step]:
    """Requested → Approvals 1 of 2 → Delivery → Production."""
    request, status = now.request, Status(now.request.status)
    approvals = f"Approvals {now.approvals_given} of {now.rule.approvals}"
    asked = Step("Requested", "done")
    if request.is_break_glass:
        approvals, asked = "No approval", Step("Glass broken", "stopped")
    elif now.needed_none:
        approvals = "No approval needed"
    if status in ENDED:
        return [asked, Step(status.label, "stopped")]
    if status == Status.CHECKING:
        words = "Blocked by checks" if now.blocking else "Checks"
        return [asked, Step(words, "now"), Step(approvals, "ahead"), *_ahead(request)]
    if status == Status.CHANGES_REQUESTED:
        return [asked, Step("Changes requested", "now"), Step("Approvals", "ahead"), *_ahead(request)]
    if status == Status.PENDING:
        return [asked, Step(approvals, "now"), *_ahead(request)]
    approved = Step(approvals, "stopped" if request.is_break_glass else "done")
    if status == Status.APPROVED:
        return [asked, approved, Step("Delivery", "now"), Step(f"In {request.target.name}", "ahead")]
    if status == Status.APPLIED:
        return [asked, approved, Step("Delivery", "done"), Step(f"In {request.target.name}", "done")]
    return [asked, approved, Step("Delivery failed", "stopped"), Step(f"In {request.target.name}", "ahead")]


def _ahead(request: PromotionRequest) -> list[Step]:
    return [Step("Delivery", "ahead"), Step(f"In {request.target.name}", "ahead")]


# --- Delivery ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delivery:
    """`state`: `running`, `half` (MLflow has done a part of it), `undoable` (the last approval can still be undone),
    `queued`, `held` (a freeze is on), `behind` (an older entry of the same target goes first), `waiting` (MLflow did
    not answer), `delayed` (no worker takes it), or "" when nothing is owed."""

    state: str
    entry: OutboxEntry | None = None
    since: datetime | None = None
    behind: OutboxEntry | None = None

    @property
    def is_waiting(self) -> bool:
        """No one is at it, and it is not about to be."""
        return self.state in ("delayed", "waiting", "held", "undoable")

    @property
    def half_since(self) -> datetime | None:
        half = self.entry.half if self.entry else None
        return datetime.fromisoformat(half["since"]) if half else None


def _newest_entry(request: int) -> QuerySet[OutboxEntry]:
    return OutboxEntry.objects.filter(request=request).order_by("-pk")[:1]


def delivery(request: PromotionRequest) -> Delivery:
    """How the newest outbox entry stands. One query, two while another one may go first."""
    entry: OutboxEntry | None = next(iter(composed.objects(_newest_entry, request.pk)), None)
    if entry is not None:
        entry.request = request
    if entry is None or entry.closed_at:
        return Delivery("", entry)
    if entry.is_claimed:
        return Delivery("running", entry)
    now = timezone.now()
    older = OutboxEntry.objects.open().filter(model_name=entry.model_name, target_id=entry.target_id, pk__lt=entry.pk)
    since = max(entry.available_at, entry.lease_expires_at or entry.available_at)
    if entry.held_until and entry.held_until > now:
        return Delivery("held", entry, since=since)
    if not entry.attempts and not entry.waiting_since and entry.available_at > now:
        return Delivery("undoable", entry, since=since)
    if entry.is_urgent:
        older = older.filter(Q(held_until=None) | Q(held_until__lte=now), is_at_rest=False)  # it overtakes the others
    if entry.half:
        return Delivery("half", entry, since=since)
    if behind := older.order_by("pk").first():
        return Delivery("behind", entry, behind=behind)
    if now - since > SLOW_AFTER:
        return Delivery("delayed", entry, since=since)
    return Delivery("waiting" if entry.waiting_since else "queued", entry, since=since)


@dataclass(frozen=True, slots=True)
class Checking:
    """How the worker's look at a request stands, while it is in checks."""

    due_at: datetime
    waiting_since: datetime | None
    last_error: str
    is_delayed: bool
    waits_outside: str
    """The external checks that have not answered, by title; "" when none is waited for."""

    inspection: Inspection | None
    attempts: int
    deadline_at: datetime | None
    """When the last external check that is waited for is given up."""

    given_up_at: datetime | None
    """When a look that does not succeed is given up."""


def checking(now: RequestState) -> Checking | None:
    """One or two queries; None when the request is not in checks."""
    if now.request.status != Status.CHECKING:
        return None
    owed = Assessment.objects.filter(request=now.request).first()
    if owed is None:
        return None
    since = max(owed.due_at, owed.lease_expires_at or owed.due_at)
    waiting = [check.title for check in now.checks if check.outcome == Outcome.WAITING]
    return Checking(
        due_at=owed.due_at,
        waiting_since=owed.waiting_since,
        last_error=owed.last_error,
        is_delayed=owed.is_owed and timezone.now() - since > SLOW_AFTER,
        waits_outside=" and ".join(waiting),
        inspection=Inspection.objects.filter(version=now.request.version_id).first() if owed.is_owed else None,
        attempts=owed.attempts,
        deadline_at=max((check.deadline_at for check in now.checks if check.deadline_at), default=None),
        given_up_at=owed.waiting_since + timedelta(hours=settings.CHECKING_HOURS) if owed.waiting_since else None,
    )


def reopened(request: PromotionRequest) -> AuditEvent | None:
    """The event that sent a request that is under review back to it, while that is the newest thing about its
    evidence."""
    if request.status != Status.PENDING:
        return None
    newest: AuditEvent | None = next(iter(composed.objects(_sent_back, request.pk)), None)
    return newest if newest is not None and newest.action == Action.REQUEST_REOPENED else None


def _sent_back(request: int) -> QuerySet[AuditEvent]:
    kinds = (Action.REQUEST_REOPENED, Action.REQUEST_RESUBMITTED)
    return AuditEvent.objects.filter(request=request, action__in=kinds).order_by("-sequence")[:1]


@dataclass(frozen=True)
class Moving:
    """What may change without this person."""

    delivery: Delivery
    checking: Checking | None
    moves_by_itself: bool
    look_every: int
    """Seconds between two looks, while it moves: 1 while the worker is at it, else 5."""

    mark: str
    """Changes when anything of it has changed on the page."""

    has_other_evidence: bool
    """The page shows the evidence as it was before: it has changed since."""

    keeps_forms: bool
    """Where a person may be typing, the forms stay, and what they would do is told anew."""

    has_decision: bool
    """The form of the decision is on the page when this has been put into it."""


def moving(now: RequestState, *, can_undo: bool = False, seen: str = "") -> Moving:
    """Three queries, up to five while the request is in checks. `can_undo`: this person can undo a verdict, for a few
    seconds. `seen`: the mark of what the page shows, "" for a page that is made now."""
    owed, looked = delivery(now.request), checking(now)
    is_at_work = now.request.status == Status.APPROVED or (looked is not None and not now.blocking)
    before = Shown.by(seen)
    shown = before.evidence or now.request.fingerprint[:8]
    can_decide = now.request.status == Status.PENDING and bool(now.actions["reject"])
    is_typing = before.has_decision and before.status in (Status.PENDING, now.request.status)
    is_same = before.status == now.request.status and not can_decide
    has_decision = before.has_decision if is_typing or is_same else can_decide
    part = _DECISION if has_decision else "read"
    return Moving(
        owed,
        looked,
        moves_by_itself=now.request.is_open or can_undo,
        look_every=1 if is_at_work or not now.request.is_open else 5,
        mark=f"{now.request.status}-{shown}-{part}-{_mark(now, owed, looked)}{'-undo' if can_undo else ''}",
        has_other_evidence=not now.request.fingerprint.startswith(shown),
        keeps_forms=is_typing or is_same,
        has_decision=has_decision,
    )


_DECISION = "decides"


class Shown(NamedTuple):
    """What a page shows, as its mark says."""

    status: str
    evidence: str
    """The first digits of its fingerprint."""

    has_decision: bool
    """The form of the decision is on it."""

    @classmethod
    def by(cls, mark: str) -> "Shown":
        status, evidence, part, *_ = [*mark.split("-", 3), "", "", ""]
        return cls(status, evidence, part == _DECISION)


def _newest_event(request: int) -> QuerySet[AuditEvent, tuple[int]]:
    return AuditEvent.objects.filter(request=request).order_by("-sequence").values_list("sequence")[:1]


def _mark(now: RequestState, owed: Delivery, looked: Checking | None) -> str:
    newest = next((sequence for (sequence,) in composed.objects(_newest_event, now.request.pk)), None)
    entry = owed.entry
    tried = (entry.pk, entry.attempts, int(entry.available_at.timestamp())) if entry else ()
    if looked is not None:
        row = looked.inspection
        tried += (looked.is_delayed, looked.waiting_since, looked.due_at, row.bytes_done if row else 0)  # type: ignore[assignment]
    return "-".join(map(str, (newest, owed.state, bool(now.stale), *tried))).replace(" ", "_")


# --- What cannot be done, and why -------------------------------------------------------------------------------------


def undecidable(now: RequestState) -> list[str]:
    """Why this person can give none or not all of the verdicts, each reason once. Empty when all are open to them."""
    refused = [now.actions[verdict] for verdict in ("approve", "request_changes", "reject")]
    return list(dict.fromkeys(answer.reason for answer in refused if not answer))


def refusals(now: RequestState, user: User) -> list[str]:
    """Why one who asked can neither withdraw the request nor submit it again, where the button would stand. Others are
    told nothing: it is not their request."""
    if user.pk not in now.request.asked_by:
        return []
    status, found = now.request.status, []
    if status in (Status.CHECKING, Status.PENDING, Status.CHANGES_REQUESTED, Status.FAILED):
        found.append(now.actions["withdraw"])
    if status in (Status.CHANGES_REQUESTED, Status.FAILED) or now.blocking:
        found.append(now.actions["resubmit"])
    return list(dict.fromkeys(answer.reason for answer in found if not answer))


def ended_by(request: PromotionRequest) -> str:
    """Who withdrew or ended it; "" where it is not so."""
    if request.status != Status.WITHDRAWN:
        return ""
    event = request.events.filter(action=Action.REQUEST_WITHDRAWN).order_by("-sequence").first()
    return event.actor_label.partition(" <")[0] if event else ""
