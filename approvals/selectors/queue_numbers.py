"""What is in a person's review queue, in order: the numbers of the requests alone, however many there are."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, F, QuerySet, When

from accounts.models import User
from approvals.selectors import batches, inbox, together
from mirror import composed


@dataclass(frozen=True, slots=True)
class Numbers:
    requests: list[int]
    offers_together: bool
    """There may be requests for one target to approve in one go."""


def of(user: User, wanted: inbox.Wanted) -> Numbers:
    """One query."""
    found = composed.rows(_numbered, inbox.Whose.of(user), wanted)
    of_target = Counter(target for _, target in found if target)
    return Numbers([number for number, _ in found], max(of_target.values(), default=0) >= batches.FEWEST)


def _numbered(whose: inbox.Whose, wanted: inbox.Wanted) -> QuerySet[Any, Any]:
    """Each with the target of one that may be approved together with others, else 0."""
    found = inbox.ordered(inbox.narrowed(whose.to_review, wanted), wanted.sort)
    return found.values_list("pk", Case(When(together.possible(), then=F("target")), default=0))
