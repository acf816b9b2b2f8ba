"""What a rule of notifications is given, what it answers, and which rule an action has."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from approvals.models import Action, AuditEvent, Kind, PromotionRequest
from approvals.notifications import wording


@dataclass(frozen=True, slots=True)
class Told:
    """One thing to tell: to these people, and to the chats when `chat` is not empty."""

    kind: Kind
    request: PromotionRequest | None
    people: frozenset[int]
    words: wording.Words
    key: str
    """What it follows from; no one is told the same thing of the same key twice."""

    event: AuditEvent | None = None
    chat: str = ""


@dataclass(frozen=True, slots=True)
class Occasion:
    """One event that is to be told."""

    event: AuditEvent
    earlier: Sequence[Told] = ()
    """What is told in the same go and not stored yet."""

    @property
    def request(self) -> PromotionRequest:
        """Raises ValueError where the event is of no request."""
        if self.event.request is None:
            raise ValueError(f"There is no request to {self.event}.")
        return self.event.request

    @property
    def subject(self) -> str:
        return wording.subject(self.request)

    @property
    def key(self) -> str:
        return f"event/{self.event.sequence}"

    def tell(self, kind: Kind, people: Iterable[int], title: str, *more: str, chat: bool = True) -> Told:
        """To all of them but who did it: what happened, then `more` sentences, then what was said with it."""
        words = wording.of(self.event, title, *more)
        others = frozenset(person for person in people if person != self.event.actor_id)
        return Told(kind, self.request, others, words, self.key, self.event, words.title if chat else "")


Rule = Callable[[Occasion], list[Told]]
RULES: dict[Action, Rule] = {}
"""Filled by `tells_of`: one rule for each action that is declared as told."""


def tells_of(*actions: Action) -> Callable[[Rule], Rule]:
    """Makes a function the rule of these actions."""

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(actions, rule))
        return rule

    return register
