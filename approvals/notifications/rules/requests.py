"""Of requests: what waits for whom, and what was decided."""

from collections.abc import Iterable
from typing import Any

from accounts.models import User
from approvals.models import Action, How, Kind, Notification, Status
from approvals.notifications import audience, briefing, preferences, wording
from approvals.notifications.told import Occasion, Told, tells_of
from approvals.selectors import frozen_evidence, nominations, request_state

VOID = "Your approval no longer counts"
FOR_APPROVAL = (Kind.WAITS, Kind.ASKED, Kind.REMINDER, Kind.ESCALATED)


@tells_of(Action.REQUEST_CHECKED)
def checked(this: Occasion) -> list[Told]:
    request, data, subject = this.request, this.event.data, this.subject
    voided = audience.voided_by(this.event, request)
    told = []
    if voided:
        changed = f"Changed: {frozen_evidence.listed(data.get('changed', ()))}."
        told.append(this.tell(Kind.VOIDED, voided, f"{VOID}: {subject}", changed, chat=False))
    if not data.get("asked"):
        reasons = " ".join(f"{each['title']}: {each['reason']}" for each in data.get("checks", ()) if _blocks(each))
        return [*told, this.tell(Kind.BLOCKED, this.request.asked_by, f"Blocked by checks: {subject}", reasons)]
    if request.status != Status.PENDING:
        return told
    now = request_state.of(request)
    words = wording.Words(
        wording.one_line(f"Review needed: {subject}{wording.by_when(request)}"),
        f"{request.requester.name} requested promotion of {subject}. {briefing.of(now)}",
        wording.shortened(request.justification),
    )
    people = audience.waited_for(request, now) - _told_already(this, voided)
    by_name = people & nominations.nominated(request)
    chat = wording.one_line(f"{subject} needs {audience.needed(now)}")
    return [
        *told,
        Told(Kind.WAITS, request, people - by_name, words, this.key, this.event, chat),
        Told(Kind.ASKED, request, by_name, words, this.key, this.event),
    ]


@tells_of(Action.REVIEWERS_NOMINATED)
def nominated(this: Occasion) -> list[Told]:
    """At once where people are asked already; else with all others, when the checks have passed. Not where it was taken
    back meanwhile."""
    if this.request.status != Status.PENDING:
        return []
    group = this.event.data.get("group", "")
    members = set(User.objects.active().filter(groups__name=group).values_list("pk", flat=True)) if group else set()
    now = request_state.of(this.request)
    people = (this.event.people("people") | members) & nominations.nominated(this.request)
    people &= audience.waited_for(this.request, now)
    title = (
        f"{wording.name_of(this.event.actor_label)} asks you to review {this.subject}{wording.by_when(this.request)}"
    )
    words = wording.Words(
        wording.one_line(title),
        f"{this.request.requester.name} requested promotion of {this.subject}. {briefing.of(now)}",
        wording.shortened(this.request.justification),
    )
    return [Told(Kind.ASKED, this.request, frozenset(people - {this.event.actor_id}), words, this.key, this.event)]


def _blocks(check: dict[str, Any]) -> bool:
    return check.get("outcome") == "fail" and check.get("effect") == "block" and not check.get("overridden")


def _told_already(this: Occasion, voided: Iterable[int]) -> frozenset[int]:
    """Those who hear in the same moment that their approval is void, and so that they are asked again."""
    unsent = Notification.objects.open().filter(request=this.request, kind=Kind.VOIDED, is_digest=False)
    waiting = [person for person in unsent.values_list("recipient_id", flat=True) if person]
    before = [each.people for each in this.earlier if each.kind == Kind.VOIDED and each.request == this.request]
    people = frozenset(voided).union(waiting, *before)
    wishes = preferences.wishes_of(people)
    return frozenset(person for person in people if wishes[person].how(Kind.VOIDED) == How.NOW)


@tells_of(Action.REQUEST_REOPENED)
def reopened(this: Occasion) -> list[Told]:
    again = "Review the change and sign again; if checks still run, you are notified when they pass."
    voided = audience.voided_by(this.event, this.request) - this.request.asked_by
    return [
        this.tell(Kind.VOIDED, this.request.asked_by, f"{this.subject} went back to review"),
        this.tell(Kind.VOIDED, voided, f"{VOID}: {this.subject}", again, chat=False),
    ]


@tells_of(Action.REQUEST_COMMENTED)
def commented(this: Occasion) -> list[Told]:
    authors = set(this.request.comments.values_list("author_id", flat=True))
    name = wording.name_of(this.event.actor_label)
    mentioned = this.event.people("mentioned")
    others = (this.request.asked_by | audience.reviewers_of(this.request) | authors) - mentioned
    return [
        this.tell(Kind.MENTIONED, mentioned, f"{name} mentioned you: {this.subject}", chat=False),
        this.tell(Kind.COMMENTED, others, f"{name} commented on {this.subject}"),
    ]


@tells_of(Action.REVIEW_REJECTED, Action.REVIEW_CHANGES_REQUESTED, Action.REQUEST_APPROVED)
def decided(this: Occasion) -> list[Told]:
    match this.event.action:
        case Action.REVIEW_REJECTED:
            title = f"{this.subject} was rejected"
        case Action.REVIEW_CHANGES_REQUESTED:
            title = f"{wording.name_of(this.event.actor_label)} requested changes: {this.subject}"
        case _ if this.event.data.get("alone"):
            return []  # what comes of it is told
        case _:
            title = f"{this.subject} was approved"
    return [this.tell(Kind.DECIDED, this.request.asked_by | audience.reviewers_of(this.request), title)]


@tells_of(Action.REQUEST_EXPIRED)
def expired(this: Occasion) -> list[Told]:
    people = this.request.asked_by | _asked(this) | audience.reviewers_of(this.request)
    return [this.tell(Kind.EXPIRED, people, f"{this.subject} expired")]


@tells_of(Action.REQUEST_WITHDRAWN)
def withdrawn(this: Occasion) -> list[Told]:
    people = _asked(this) | audience.reviewers_of(this.request)
    return [this.tell(Kind.WITHDRAWN, people, f"{this.subject} was withdrawn")]


def _asked(this: Occasion) -> set[int]:
    """Everyone who was asked for an approval, as far as they were told."""
    stored = Notification.objects.filter(request=this.request, kind__in=FOR_APPROVAL, recipient__isnull=False)
    earlier = [each.people for each in this.earlier if each.kind in FOR_APPROVAL and each.request == this.request]
    return {person for person in stored.values_list("recipient_id", flat=True) if person}.union(*earlier)


@tells_of(Action.REQUEST_ESCALATED)
def escalated(this: Occasion) -> list[Told]:
    group = this.event.data.get("group", "")
    members = set(User.objects.active().filter(groups__name=group).values_list("pk", flat=True))
    now = request_state.of(this.request)
    can_sign = members & audience.waited_for(this.request, now) if this.request.status == Status.PENDING else set()
    title = f"Review overdue: {this.subject}{wording.by_when(this.request)}"
    needed = f"It needs {audience.needed(now)}. You are notified as a member of {group}"
    look = f"{needed}. You cannot approve it yourself; make sure that a reviewer does."
    return [
        this.tell(Kind.ESCALATED, can_sign, title, f"{needed}, and may give a missing approval."),
        this.tell(Kind.ESCALATED, members - can_sign, title, look, chat=False),
    ]
