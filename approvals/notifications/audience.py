"""Who is told of an event, and what. Reads the database as it is now; writes nothing."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from approvals import standing
from approvals.models import Action, AuditEvent, Finding, How, Kind, Notification, PromotionRequest, Status, Verdict
from approvals.models.requests import UNDECIDED
from approvals.notifications import preferences, wording
from approvals.notifications.wording import Words
from registry_ui.accounts.models import User

ASKING = (Kind.WAITS, Kind.REMINDER, Kind.ESCALATED)


@dataclass(frozen=True, slots=True)
class Told:
    """One thing to tell: to these people, and to the chats when `chat` is not empty."""

    kind: Kind
    request: PromotionRequest
    people: frozenset[int]
    words: Words
    key: str
    """What it follows from; nobody is told the same thing of the same key twice."""

    event: AuditEvent | None = None
    chat: str = ""


def waited_for(request: PromotionRequest, now: standing.Standing | None = None) -> frozenset[int]:
    """Ids of those who can move the request on: who may give a missing approval, or its requester when it came
    back to them."""
    if request.status == Status.PENDING:
        now = now or standing.of(request)
        return frozenset(person.id for state in now.states if not state.is_filled for person in state.candidates)
    is_blocked = request.status == Status.CHECKING and request.checks.blocking().exists()
    if is_blocked or request.status in (Status.CHANGES_REQUESTED, Status.FAILED):
        return frozenset({request.requester_id})
    return frozenset()


def is_moot(kind: Kind, request: PromotionRequest, person_id: int | None, waiting: Collection[int]) -> bool:
    """Whether it need not be said any more: nobody is asked for what somebody else has given. `waiting` is what
    `waited_for` says now; a `person_id` of None is a chat."""
    match kind:
        case Kind.WAITS:
            return person_id not in waiting if person_id else request.status != Status.PENDING
        case Kind.REMINDER:
            return person_id not in waiting and not (person_id == request.requester_id and request.status in UNDECIDED)
        case Kind.ESCALATED:
            return request.status != Status.PENDING
        case Kind.BLOCKED:
            return request.status != Status.CHECKING
        case _:
            return False


def of(event: AuditEvent, earlier: Sequence[Told] = ()) -> list[Told]:
    """Everything that is to be told because of this event. `earlier` is what is told in the same go and not stored
    yet. Nobody is told of their own act."""
    if event.request is None:
        return _about_person(event) if event.action in _ABOUT_PEOPLE else []
    return _Telling(event, event.request, earlier).all()


_ABOUT_PEOPLE = (Action.PERSON_CHANGED, Action.PERSON_IDENTIFIED, Action.PERSON_DEACTIVATED)


@dataclass(frozen=True, slots=True)
class _Telling:
    """One event of one request."""

    event: AuditEvent
    request: PromotionRequest
    earlier: Sequence[Told]

    def all(self) -> list[Told]:
        request, data = self.request, self.event.data
        subject = wording.subject(request)
        actor = wording.name_of(self.event.actor_label)
        requester, asked = {request.requester_id}, self._asked
        match Action(self.event.action):
            case Action.REQUEST_CHECKED:
                return self._checked()
            case Action.REQUEST_REOPENED:
                again = "Look at what changed and sign again; if checks still run, you are told when they have passed."
                voided = _reviewers(request, called=data.get("voided", ())) - requester
                return [
                    self.told(Kind.VOIDED, requester, f"{subject} went back to review"),
                    self.told(Kind.VOIDED, voided, f"{subject} changed: your approval is void", again, chat=False),
                ]
            case Action.REQUEST_COMMENTED:
                talking = requester | _reviewers(request) | set(request.comments.values_list("author_id", flat=True))
                return [self.told(Kind.COMMENTED, talking, f"{actor} commented on {subject}")]
            case Action.REVIEW_REJECTED:
                return [self.told(Kind.DECIDED, requester | _reviewers(request), f"{subject} was rejected")]
            case Action.REVIEW_CHANGES_REQUESTED:
                title = f"{actor} asks for changes to {subject}"
                return [self.told(Kind.DECIDED, requester | _reviewers(request), title)]
            case Action.REQUEST_APPROVED:
                return [self.told(Kind.DECIDED, requester | _reviewers(request), f"{subject} was approved")]
            case Action.REVIEW_APPROVED:
                return self._findings()
            case Action.FINDING_CLOSED:
                owners = Finding.objects.filter(pk=data.get("finding")).values_list("owner_id", flat=True)
                return [self.told(Kind.FINDING, owners, f"A finding on {subject} is closed")]
            case Action.VERSION_PROMOTED:
                title = f"{request.version.model.name} {request.version.number} reached {request.target.name}"
                return [self.told(Kind.DELIVERED, requester | _approvers(request), title)]
            case Action.DELIVERY_FAILED:
                return [self.told(Kind.FAILED, requester | _approvers(request), f"Delivery of {subject} failed")]
            case Action.DELIVERY_HELD:
                return [self.told(Kind.FAILED, requester, f"Delivery of {subject} is held")]
            case Action.REQUEST_EXPIRED:
                return [self.told(Kind.EXPIRED, requester | asked() | _reviewers(request), f"{subject} expired")]
            case Action.REQUEST_WITHDRAWN:
                return [self.told(Kind.WITHDRAWN, asked() | _reviewers(request), f"{subject} was withdrawn")]
            case Action.REQUEST_ESCALATED:
                members = User.objects.active().filter(groups__name=data.get("group", "")).values_list("pk", flat=True)
                return [self.told(Kind.ESCALATED, members, f"{subject} has waited too long for its approvals")]
            case _:
                return []

    def told(self, kind: Kind, people: Iterable[int], title: str, *more: str, chat: bool = True) -> Told:
        words = wording.of(self.event, title, *more)
        others = frozenset(person for person in people if person != self.event.actor_id)
        key = f"event/{self.event.sequence}"
        return Told(kind, self.request, others, words, key, self.event, words.title if chat else "")

    def _checked(self) -> list[Told]:
        request, data = self.request, self.event.data
        subject = wording.subject(request)
        requester, voided = {request.requester_id}, _reviewers(request, called=data.get("voided", ()))
        changed = f"Changed: {standing.listed(data.get('changed', ()))}."
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
        now = standing.of(request)
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

    def _findings(self) -> list[Told]:
        """To each owner what they are to put right."""
        raised = [each.get("finding") for each in self.event.data.get("findings", ())]
        subject = wording.subject(self.request)
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


def _blocks(check: dict[str, object]) -> bool:
    return check.get("outcome") == "fail" and check.get("effect") == "block" and not check.get("overridden")


def _reviewers(request: PromotionRequest, *, called: Collection[str] | None = None) -> set[int]:
    """Ids of everyone who ever reviewed it; of those with these labels, when `called` says so."""
    people = [review.reviewer for review in request.reviews.select_related("reviewer")]
    return {person.pk for person in people if called is None or person.label in called}


def _approvers(request: PromotionRequest) -> set[int]:
    return set(request.reviews.live().filter(verdict=Verdict.APPROVE).values_list("reviewer_id", flat=True))


def _needed(now: standing.Standing) -> str:
    return " and ".join(state.slot.sentence for state in now.states if not state.is_filled)


def _about_person(event: AuditEvent) -> list[Told]:
    """Somebody's approval no longer counts, because of what was changed about them: others are asked instead."""
    email = str(event.data.get("person", "")).rpartition("<")[2].rstrip(">")
    given = PromotionRequest.objects.with_subject().filter(
        status=Status.PENDING,
        reviews__reviewer__email__iexact=email,
        reviews__voided_at=None,
        reviews__verdict=Verdict.APPROVE,
    )
    told = []
    for request in given.distinct().order_by("pk"):
        now = standing.of(request)
        if any(review.reviewer.email == email and review.reviewer_id in now.counted for review in now.reviews):
            continue
        subject = wording.subject(request)
        words = wording.Words(
            wording.one_line(f"{subject} waits for you"),
            f"An approval of {request.version.model.name} version {request.version.number} for {request.target.name} "
            f"no longer counts, because of a change to its reviewer. It needs {_needed(now)}.",
        )
        people = waited_for(request, now) - {event.actor_id}
        told.append(Told(Kind.WAITS, request, people, words, f"event/{event.sequence}/{request.pk}", event))
    return told
