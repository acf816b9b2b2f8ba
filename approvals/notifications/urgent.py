"""Who is told of break-glass, its review, and probation: the part of `audience` about what went with fewer approvals,
or was undone."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

from accounts.models import User
from approvals.models import AuditEvent, Kind, PromotionRequest, Status, Verdict
from approvals.selectors import request_state

if TYPE_CHECKING:
    from approvals.notifications.audience import Told


class Urgent(ABC):
    """Inherited by what tells of one event of one request."""

    event: AuditEvent
    request: PromotionRequest

    @property
    @abstractmethod
    def subject(self) -> str: ...

    @property
    @abstractmethod
    def requester(self) -> set[int]: ...

    @abstractmethod
    def told(self, kind: Kind, people: Iterable[int], title: str, *more: str, chat: bool = True) -> "Told": ...

    def glass_broken(self) -> list["Told"]:
        due = self.request.afterwards_due_at
        until = f" until {due:%-d %B %Y, %H:%M} UTC" if due else ""
        text = f"Nobody approved it. It is to be reviewed afterwards{until}, by somebody else than who broke the glass."
        title = f"Break-glass: {self.subject} goes ahead without approvals"
        return [self.told(Kind.BREAK_GLASS, self.requester | self.watching(), title, text)]

    def overdue(self) -> list["Told"]:
        title = f"Overdue: the break-glass promotion {self.subject} has not been reviewed"
        return [self.told(Kind.BREAK_GLASS, self.requester | self.watching(), title)]

    def reviewed_afterwards(self) -> list["Told"]:
        verdict = "justified" if self.event.data.get("verdict") == "justified" else "not justified"
        title = f"The break-glass promotion {self.subject} was found {verdict}"
        people = self.requester | (self.watching() if verdict == "not justified" else set())
        return [self.told(Kind.BREAK_GLASS, people, title)]

    def probation_started(self) -> list["Told"]:
        hours = self.event.data.get("hours")
        title = f"{self.subject} is on probation for {hours} {'hour' if hours == 1 else 'hours'}"
        text = "Unless a reviewer who did not ask for it confirms it by then, it is rolled back by itself."
        return [self.told(Kind.PROBATION, self.requester | approvers_of(self.request), title, text)]

    def probation_ended(self) -> list["Told"]:
        people = self.requester | approvers_of(self.request)
        match self.event.data.get("outcome"):
            case "confirmed":
                title = f"{self.subject} was confirmed after its probation"
            case "rolled_back":
                title = f"{self.subject} did not pass its probation and is rolled back"
            case "stayed":
                title = f"{self.subject} did not pass its probation and there is nothing to roll back to"
                people |= self.watching()
            case _:
                return []
        return [self.told(Kind.PROBATION, people, title)]

    def watching(self) -> set[int]:
        """Everyone who could have approved it, and the administrators."""
        now = request_state.of(self.request)
        could = {person.id for person in now.eligible if any(person.fits(slot) for slot in now.rule.slots)}
        administrators = User.objects.holding("approvals.manage_policies").values_list("pk", flat=True)
        return (could - now.excluded) | set(administrators)

    def replaced(self) -> set[int]:
        """Who asked for and approved what is rolled back from."""
        champion = self.request.champion
        before = (
            PromotionRequest.objects.filter(
                version=champion, target_id=self.request.target_id, status=Status.APPLIED
            ).order_by("-closed_at")
            if champion
            else PromotionRequest.objects.none()
        ).first()
        return set(before.asked_by) | approvers_of(before) if before else set()


def approvers_of(request: PromotionRequest) -> set[int]:
    return set(request.reviews.live().filter(verdict=Verdict.APPROVE).values_list("reviewer_id", flat=True))
