"""Who is told of an event, and what. Reads the database as it is now; writes nothing."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import Q

from accounts.models import User
from approvals.models import (
    Action,
    AuditEvent,
    Finding,
    How,
    Incident,
    Kind,
    Notification,
    PromotionRequest,
    Review,
    Status,
    Verdict,
)
from approvals.models.requests import UNDECIDED
from approvals.notifications import preferences, wording
from approvals.notifications.urgent import Urgent, approvers_of
from approvals.notifications.wording import Words
from approvals.selectors import frozen_evidence, request_state, reviewers
from approvals.watch import wording as incident_words

CAN_BE_MOOT = (Kind.WAITS, Kind.REMINDER, Kind.ESCALATED, Kind.BLOCKED)
ASKING = (Kind.WAITS, Kind.REMINDER, Kind.ESCALATED)


@dataclass(frozen=True, slots=True)
class Told:
    """One thing to tell: to these people, and to the chats when `chat` is not empty."""

    kind: Kind
    request: PromotionRequest | None
    people: frozenset[int]
    words: Words
    key: str
    """What it follows from; nobody is told the same thing of the same key twice."""

    event: AuditEvent | None = None
    chat: str = ""


def waited_for(request: PromotionRequest, now: request_state.RequestState | None = None) -> frozenset[int]:
    """Ids of those who can move the request on: who may give a missing approval, or its requester when it came
    back to them."""
    if request.status == Status.PENDING:
        now = now or request_state.of(request)
        return frozenset(person.id for state in now.states if not state.is_filled for person in state.candidates)
    is_blocked = request.status == Status.CHECKING and request.checks.blocking().exists()
    if is_blocked or request.status in (Status.CHANGES_REQUESTED, Status.FAILED):
        return request.asked_by
    return frozenset()


def is_moot(kind: Kind, request: PromotionRequest, person_id: int | None, waiting: Collection[int]) -> bool:
    """Whether it need not be said any more: nobody is asked for what somebody else has given. `waiting` is what
    `waited_for` says now; a `person_id` of None is a chat."""
    match kind:
        case Kind.WAITS if person_id:
            return person_id not in waiting
        case Kind.WAITS:
            return request.status != Status.PENDING
        case Kind.REMINDER:
            return person_id not in waiting and not (person_id in request.asked_by and request.status in UNDECIDED)
        case Kind.ESCALATED:
            return request.status != Status.PENDING
        case Kind.BLOCKED if person_id:
            return request.status != Status.CHECKING or person_id not in waiting
        case Kind.BLOCKED:
            return request.status != Status.CHECKING
        case _:
            return False


def of(event: AuditEvent, earlier: Sequence[Told] = ()) -> list[Told]:
    """Everything that is to be told because of this event. `earlier` is what is told in the same go and not stored
    yet. Nobody is told of their own act."""
    if event.action in _ABOUT_INCIDENTS:
        return _about_incident(event)
    if event.request is None:
        return _about_person(event) if event.action in _ABOUT_PEOPLE else []
    return _Telling(event, event.request, earlier).all()


_ABOUT_INCIDENTS = (Action.INCIDENT_OPENED, Action.INCIDENT_RESOLVED)
_ABOUT_PEOPLE = (Action.PERSON_CHANGED, Action.PERSON_IDENTIFIED, Action.PERSON_DEACTIVATED)


@dataclass(frozen=True, slots=True)
class _Telling(Urgent):
    """One event of one request."""

    event: AuditEvent
    request: PromotionRequest
    earlier: Sequence[Told]

    def all(self) -> list[Told]:
        tell = _TELLS.get(Action(self.event.action))
        return tell(self) if tell else []

    @property
    def subject(self) -> str:
        return wording.subject(self.request)

    @property
    def requester(self) -> set[int]:
        return set(self.request.asked_by)

    def reopened(self) -> list[Told]:
        again = "Look at what changed and sign again; if checks still run, you are told when they have passed."
        voided = _reviewers(self.request, named=self.event) - self.requester
        return [
            self.told(Kind.VOIDED, self.requester, f"{self.subject} went back to review"),
            self.told(Kind.VOIDED, voided, f"{self.subject} changed: your approval is void", again, chat=False),
        ]

    def commented(self) -> list[Told]:
        authors = set(self.request.comments.values_list("author_id", flat=True))
        title = f"{wording.name_of(self.event.actor_label)} commented on {self.subject}"
        return [self.told(Kind.COMMENTED, self.requester | _reviewers(self.request) | authors, title)]

    def decided(self) -> list[Told]:
        match self.event.action:
            case Action.REVIEW_REJECTED:
                title = f"{self.subject} was rejected"
            case Action.REVIEW_CHANGES_REQUESTED:
                title = f"{wording.name_of(self.event.actor_label)} asks for changes to {self.subject}"
            case _ if self.event.data.get("alone"):
                return []  # what comes of it is told
            case _:
                title = f"{self.subject} was approved"
        return [self.told(Kind.DECIDED, self.requester | _reviewers(self.request), title)]

    def finding_closed(self) -> list[Told]:
        closed = self.event.data.get("finding") or 0
        owners = Finding.objects.filter(pk=closed).values_list("owner_id", flat=True)
        return [self.told(Kind.FINDING, owners, f"A finding on {self.subject} is closed")]

    def delivered(self) -> list[Told]:
        version = self.request.version
        target = self.request.target.name
        people = self.requester | approvers_of(self.request)
        if self.request.is_rollback:
            title = f"{version.model.name}: {target} was rolled back to version {version.number}"
            return [self.told(Kind.ROLLED_BACK, people | self.replaced(), title)]
        if self.request.is_break_glass:
            title = f"{version.model.name} {version.number} reached {target} without approvals"
            return [self.told(Kind.BREAK_GLASS, people | self.watching(), title)]
        return [self.told(Kind.DELIVERED, people, f"{version.model.name} {version.number} reached {target}")]

    def failed(self) -> list[Told]:
        people = self.requester | approvers_of(self.request)
        if self.request.is_urgent:
            people |= self.watching()
        return [self.told(Kind.FAILED, people, f"Delivery of {self.subject} failed")]

    def halfway(self) -> list[Told]:
        """To those who can end it, or put right what MLflow refuses; once, however often the half changes."""
        told = self.event.data
        able = set(User.objects.holding("approvals.retry_delivery").values_list("pk", flat=True))
        people = (self.requester | able) - {self.event.actor_id}
        missing = " and ".join(told.get("missing", ()))
        return [self.told(Kind.FAILED, people, f"{self.subject} is half delivered: MLflow lacks {missing}")]

    def held(self) -> list[Told]:
        freeze, until = self.event.data.get("freeze", ""), str(self.event.data.get("until", ""))
        ends = f" until {datetime.fromisoformat(until).astimezone(UTC):%-d %B %Y, %H:%M} UTC" if until else ""
        text = f"It is approved. The freeze “{freeze}” holds it{ends}; it is delivered by itself afterwards."
        return [self.told(Kind.FAILED, self.requester, f"Delivery of {self.subject} is held", text)]

    def expired(self) -> list[Told]:
        people = self.requester | self._asked() | _reviewers(self.request)
        return [self.told(Kind.EXPIRED, people, f"{self.subject} expired")]

    def withdrawn(self) -> list[Told]:
        people = self._asked() | _reviewers(self.request)
        return [self.told(Kind.WITHDRAWN, people, f"{self.subject} was withdrawn")]

    def escalated(self) -> list[Told]:
        group = self.event.data.get("group", "")
        members = set(User.objects.active().filter(groups__name=group).values_list("pk", flat=True))
        now = request_state.of(self.request)
        can_sign = members & waited_for(self.request, now) if self.request.status == Status.PENDING else set()
        title = f"{self.subject} has waited too long for its approvals"
        needed = f"It needs {_needed(now)}. You are told as a member of {group}"
        look = f"{needed}: see that somebody who may approve does. You may not do so yourself."
        return [
            self.told(Kind.ESCALATED, can_sign, title, f"{needed}, and may give a missing approval."),
            self.told(Kind.ESCALATED, members - can_sign, title, look, chat=False),
        ]

    def told(self, kind: Kind, people: Iterable[int], title: str, *more: str, chat: bool = True) -> Told:
        words = wording.of(self.event, title, *more)
        others = frozenset(person for person in people if person != self.event.actor_id)
        key = f"event/{self.event.sequence}"
        return Told(kind, self.request, others, words, key, self.event, words.title if chat else "")

    def checked(self) -> list[Told]:
        request, data, subject = self.request, self.event.data, self.subject
        requester, voided = self.requester, _reviewers(request, named=self.event)
        changed = f"Changed: {frozen_evidence.listed(data.get('changed', ()))}."
        told = []
        if voided:
            told.append(
                self.told(Kind.VOIDED, voided, f"{subject} changed: your approval is void", changed, chat=False)
            )
        if not data.get("asked"):
            failed = [each for each in data.get("checks", ()) if _blocks(each)]
            reasons = " ".join(f"{each['title']}: {each['reason']}" for each in failed)
            return [*told, self.told(Kind.BLOCKED, requester, f"Checks block {subject}", reasons)]
        if request.status != Status.PENDING:
            return told
        now = request_state.of(request)
        people = waited_for(request, now) - self._told_already(voided)
        needed = _needed(now)
        words = wording.Words(
            wording.one_line(f"{subject} waits for you"),
            f"{request.requester.name} asks for {request.version.model.name} version {request.version.number} to reach "
            f"{request.target.name}. It needs {needed}.",
            wording.shortened(request.justification),
        )
        chat = wording.one_line(f"{subject} waits for {needed}")
        return [*told, Told(Kind.WAITS, request, people, words, f"event/{self.event.sequence}", self.event, chat)]

    def _told_already(self, voided: Iterable[int]) -> frozenset[int]:
        """Those who hear in the same moment that their approval is void, and so that they are asked again."""
        unsent = Notification.objects.open().filter(request=self.request, kind=Kind.VOIDED, is_digest=False)
        waiting = [person for person in unsent.values_list("recipient_id", flat=True) if person]
        before = [each.people for each in self.earlier if each.kind == Kind.VOIDED and each.request == self.request]
        people = frozenset(voided).union(waiting, *before)
        wishes = preferences.wishes_of(people)
        return frozenset(person for person in people if wishes[person].how(Kind.VOIDED) == How.NOW)

    def findings(self) -> list[Told]:
        """To each owner what they are to put right."""
        raised = [each.get("finding") for each in self.event.data.get("findings", ())]
        subject = self.subject
        told = []
        for finding in Finding.objects.filter(pk__in=raised):
            words = wording.Words(
                wording.one_line(f"You own a finding on {subject}"),
                f"{wording.happened(self.event)} One thing is to be put right by you until {finding.due_on:%-d %B %Y}.",
                wording.shortened(finding.text),
            )
            people = frozenset({finding.owner_id} - {self.event.actor_id})
            key = f"event/{self.event.sequence}/finding/{finding.pk}"
            told.append(Told(Kind.FINDING, self.request, people, words, key, self.event))
        return told

    def _asked(self) -> set[int]:
        """Everyone who was asked for an approval, as far as they were told."""
        stored = Notification.objects.filter(request=self.request, kind__in=ASKING, recipient__isnull=False)
        people = {person for person in stored.values_list("recipient_id", flat=True) if person}
        return people.union(
            *(each.people for each in self.earlier if each.kind in ASKING and each.request == self.request)
        )


_TELLS: dict[Action, Callable[[_Telling], list[Told]]] = {
    Action.REQUEST_CHECKED: _Telling.checked,
    Action.REQUEST_REOPENED: _Telling.reopened,
    Action.REQUEST_COMMENTED: _Telling.commented,
    Action.REVIEW_APPROVED: _Telling.findings,
    Action.REVIEW_REJECTED: _Telling.decided,
    Action.REVIEW_CHANGES_REQUESTED: _Telling.decided,
    Action.REQUEST_APPROVED: _Telling.decided,
    Action.REQUEST_ESCALATED: _Telling.escalated,
    Action.REQUEST_EXPIRED: _Telling.expired,
    Action.REQUEST_WITHDRAWN: _Telling.withdrawn,
    Action.FINDING_CLOSED: _Telling.finding_closed,
    Action.GLASS_BROKEN: _Telling.glass_broken,
    Action.AFTERWARDS_OVERDUE: _Telling.overdue,
    Action.REVIEWED_AFTERWARDS: _Telling.reviewed_afterwards,
    Action.PROBATION_STARTED: _Telling.probation_started,
    Action.PROBATION_ENDED: _Telling.probation_ended,
    Action.DELIVERY_FAILED: _Telling.failed,
    Action.DELIVERY_HALFWAY: _Telling.halfway,
    Action.DELIVERY_HELD: _Telling.held,
    Action.VERSION_PROMOTED: _Telling.delivered,
}


def _blocks(check: dict[str, object]) -> bool:
    return check.get("outcome") == "fail" and check.get("effect") == "block" and not check.get("overridden")


def _reviewers(request: PromotionRequest, *, named: AuditEvent | None = None) -> set[int]:
    """Ids of everyone who ever reviewed it; of those whose approvals the event `named` calls void, when given."""
    people = [review.reviewer for review in request.reviews.select_related("reviewer")]
    if named is None:
        return {person.pk for person in people}
    ids, labels = named.people("voided"), named.data.get("voided", ())  # labels: from before there were tokens
    return {person.pk for person in people if person.pk in ids or person.label in labels}


def _needed(now: request_state.RequestState) -> str:
    return " and ".join(state.slot.sentence for state in now.states if not state.is_filled)


def _about_person(event: AuditEvent) -> list[Told]:
    """Somebody's approval no longer counts, because of what was changed about them: others are asked instead, once
    for each approval, however often the person is changed."""
    email = str(event.data.get("person", "")).rpartition("<")[2].rstrip(">")
    given = (
        Review.objects.live()
        .filter(Q(reviewer__in=event.people("person")) | Q(reviewer__email__iexact=email))
        .filter(verdict=Verdict.APPROVE, request__status=Status.PENDING)
        .order_by("pk")
    )
    told = []
    for review in given:
        request = PromotionRequest.objects.with_subject().get(pk=review.request_id)
        now = request_state.of(request)
        if review.reviewer_id in now.counted:
            continue
        subject = wording.subject(request)
        words = wording.Words(
            wording.one_line(f"{subject} waits for you"),
            f"An approval of {request.version.model.name} version {request.version.number} for {request.target.name} "
            f"no longer counts, because of a change to its reviewer. It needs {_needed(now)}.",
        )
        people = waited_for(request, now) - {event.actor_id}
        told.append(Told(Kind.WAITS, request, people, words, f"uncounted/{review.pk}", event))
    return told


def _about_incident(event: AuditEvent) -> list[Told]:
    """To administrators, and to those who may review: they can resolve it, and they know the model."""
    incident = Incident.objects.select_related("target", "request").filter(pk=event.data.get("incident") or 0).first()
    if incident is None:
        return []
    told = incident_words.title(incident)
    if event.action == Action.INCIDENT_OPENED:
        title = f"Changed outside the gate: {told}"
        text = f"{incident_words.between(incident)} {incident_words.response(incident)}"
        not_done = " ".join(
            str(incident.details[key]) for key in ("not_put_back", "not_reviewed") if key in incident.details
        )
        words = wording.Words(wording.one_line(title), f"{text} {not_done}".strip())
    else:
        title = f"Incident #{incident.pk} is resolved: {told}"
        words = wording.Words(
            wording.one_line(title), incident_words.resolution(incident), wording.shortened(incident.reason)
        )
    people = {person.id for person in reviewers.eligible()}
    people |= set(User.objects.holding("approvals.manage_policies").values_list("pk", flat=True))
    key = f"event/{event.sequence}"
    return [Told(Kind.INCIDENT, None, frozenset(people - {event.actor_id}), words, key, event, words.title)]
