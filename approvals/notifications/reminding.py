"""What time brings: reminders, requests that expire soon, findings that are due, and escalation."""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from django.db.models import OuterRef, Subquery
from django.utils import timezone

from approvals import policy, workflow
from approvals.models import Action, AuditEvent, Finding, Kind, Notification, PromotionRequest, Status
from approvals.models.requests import UNDECIDED
from approvals.notifications import audience, briefing, collecting, wording
from approvals.notifications.told import Told
from approvals.selectors import request_state
from mirror.isolation import alone

HOUR = timedelta(hours=1)
NEAR_EXPIRY = timedelta(days=2)
DUE_SOON = timedelta(days=1)
CAME_TO_REST = (Action.REQUEST_CHECKED, Action.REVIEW_CHANGES_REQUESTED, Action.DELIVERY_FAILED)
"""Since the last of these a request waits for a person."""


def remind() -> int:
    """Writes down every reminder that is due, and escalates what has waited too long; returns how many rows are new.
    Safe to run twice at once: what was said is not said again. After a pause, missed reminders become one."""
    now = timezone.now()
    before = Notification.objects.count()
    waiting = list(_waiting())
    said = _said([request.pk for request, _ in waiting])
    escalated = _escalated([request.pk for request, _ in waiting])
    for request, since in waiting:
        with alone("reminder.not_understood", request=request.pk):
            told = [*_reminders(request, since, now, said), *_near_expiry(request, now, said)]
            if told:
                collecting.store(collecting.notifications(told))
            if escalated.get(request.pk, 0) < since.sequence:
                _escalate(request, since, now)
    soon = (now + DUE_SOON).date()
    for finding in Finding.objects.open().filter(due_on__lte=soon).select_related("review").order_by("pk"):
        with alone("reminder.not_understood", finding=finding.pk):
            collecting.store(collecting.notifications([_finding(finding, now)]))
    return Notification.objects.count() - before


def _waiting() -> Iterator[tuple[PromotionRequest, AuditEvent]]:
    """Open requests that wait for a person, each with the event since which they do."""
    last = (
        AuditEvent.objects.filter(request=OuterRef("pk"), action__in=CAME_TO_REST)
        .order_by("-sequence")
        .values("sequence")[:1]
    )
    found = (
        PromotionRequest.objects.with_subject()
        .filter(status__in=(*UNDECIDED, Status.FAILED))
        .annotate(since=Subquery(last))
        .exclude(since=None)
        .order_by("pk")
    )
    since_of = dict(found.values_list("pk", "since"))
    events = {event.pk: event for event in AuditEvent.objects.filter(pk__in=set(since_of.values()))}
    for request in found.filter(pk__in=since_of):
        yield request, events[since_of[request.pk]]


def _reminders(request: PromotionRequest, since: AuditEvent, now: datetime, said: Collection[str]) -> list[Told]:
    rule = policy.Rule.from_json(request.rule).reminders
    overdue = now - since.at - rule.first_after_hours * HOUR
    if overdue < timedelta(0):
        return []
    key = f"reminder/{since.sequence}/{overdue // (rule.every_hours * HOUR) + 1}"
    if key in said:
        return []
    now_state = request_state.of(request) if request.status == Status.PENDING else None
    people = audience.waited_for(request, now_state)
    if not people and request.status != Status.PENDING:
        return []  # the worker or a service is at work
    subject = wording.subject(request)
    asked = f"It has been waiting since {since.at:%-d %B %Y, %H:%M} UTC: {request.get_status_display().lower()}."
    waits = "Review still needed" if request.status == Status.PENDING else "Still waiting for you"
    words = wording.Words(
        wording.one_line(f"{waits}: {subject}{wording.by_when(request)}"),
        asked if now_state is None else f"{asked} {briefing.of(now_state)}",
        wording.shortened(request.justification),
    )
    chat = wording.one_line(f"{subject} still waits")
    return [Told(Kind.REMINDER, request, people, words, key, None, chat)]


def _near_expiry(request: PromotionRequest, now: datetime, said: Collection[str]) -> list[Told]:
    """Two days before a request expires, or in the last half of its time where it has less than four days."""
    near = min(NEAR_EXPIRY, (request.expires_at - request.created_at) / 2)
    key = f"expiry/{request.pk}/{request.expires_at:%Y%m%d%H%M}"
    is_near = request.status in UNDECIDED and request.expires_at - near <= now < request.expires_at
    if not is_near or key in said:
        return []
    subject = wording.subject(request)
    until = f"{request.expires_at:%-d %B %Y, %H:%M} UTC"
    text = f"Undecided, it expires on {until}: {request.get_status_display().lower()}."
    words = wording.Words(wording.one_line(f"Expires soon: {subject}{wording.by_when(request)}"), text)
    people = audience.waited_for(request) | request.asked_by
    return [Told(Kind.REMINDER, request, people, words, key, None, words.title)]


def _escalate(request: PromotionRequest, since: AuditEvent, now: datetime) -> None:
    rule = policy.Rule.from_json(request.rule).reminders
    if rule.escalate_after_hours is None or rule.escalate_to is None or request.status != Status.PENDING:
        return
    if now >= since.at + rule.escalate_after_hours * HOUR:
        workflow.escalate(request, since=since)


def _finding(finding: Finding, now: datetime) -> Told:
    """The day before it is due, the day after, and every week from then on."""
    request = PromotionRequest.objects.with_subject().get(pk=finding.review.request_id)
    days = (now.date() - finding.due_on).days
    when = "is overdue" if days > 0 else "is due"
    key = f"finding/{finding.pk}/{(days - 1) // 7 + 1 if days > 0 else 0}"
    words = wording.Words(
        wording.one_line(f"A finding on {wording.subject(request)} {when}"),
        f"You own it; it {'was' if days > 0 else 'is'} due on {finding.due_on:%-d %B %Y}.",
        wording.shortened(finding.text),
    )
    return Told(Kind.FINDING, request, frozenset({finding.owner_id}), words, key)


def _said(requests: Collection[int]) -> set[str]:
    """The keys of what was said of these requests by now."""
    keys = Notification.objects.filter(request__in=requests, kind=Kind.REMINDER).values_list("key", flat=True)
    return {key.partition(f"/{Kind.REMINDER}/")[0] for key in keys.iterator()}


def _escalated(requests: Collection[int]) -> dict[int, int]:
    """Of those that were escalated the number of the last event that says so."""
    told = AuditEvent.objects.filter(request__in=requests, action=Action.REQUEST_ESCALATED)
    return dict(told.order_by("sequence").values_list("request_id", "sequence"))
