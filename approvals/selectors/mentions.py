"""Whom `@remy.ortiz` in a comment means.

A handle is the name in lower case, without accents, its words joined by dots. People who would share one have their
number behind it (`remy.ortiz.12`), so that a handle means one person or no one. What means no one stays text.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from accounts.models import User
from approvals.selectors.request_state import RequestState
from components.markdown import MENTION

MOST_SUGGESTED = 8


@dataclass(frozen=True, slots=True)
class Mentionable:
    person: int
    name: str
    handle: str


def handle_of(name: str) -> str:
    """`jose.ortiz-lind` of `José Ortiz-Lind`; "" of a name without letters."""
    letters = "".join(each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each))
    return ".".join(re.findall(r"[\w-]+", letters.casefold()))


def everybody() -> list[Mentionable]:
    """Every active person with their handle; service accounts have none. One query."""
    return _with_handles(_reachable())


def _reachable() -> QuerySet[User]:
    found: QuerySet[User] = User.objects.active().filter(is_service_account=False)
    return found


def _with_handles(people: QuerySet[User]) -> list[Mentionable]:
    rows = people.order_by("pk").values_list("pk", "name")
    named = [(pk, name, handle) for pk, name in rows if (handle := handle_of(name))]
    shared = Counter(handle for _, _, handle in named)
    return [Mentionable(pk, name, handle if shared[handle] == 1 else f"{handle}.{pk}") for pk, name, handle in named]


def people_in(text: str) -> list[User]:
    """Whom the text mentions, in the order of their accounts. No query where it has no @."""
    handles = {each.casefold() for each in MENTION.findall(text)}
    if not handles:
        return []
    wanted = [each.person for each in everybody() if each.handle in handles]
    return list(User.objects.filter(pk__in=wanted).order_by("pk"))


def suggested(now: RequestState, user: User) -> list[Mentionable]:
    """Those whom a comment on this request is most likely for: who asked, who reviewed, who can. Two queries, of few
    people: that two names differ in accents alone is found when the comment is sent, and then it means no one."""
    reviewers = [review.reviewer_id for review in now.reviews]
    candidates = [person.id for state in now.states for person in (*state.filled_by, *state.candidates)]
    order = [pk for pk in dict.fromkeys([*now.request.asked_by, *reviewers, *candidates]) if pk != user.pk]
    people = _reachable().filter(pk__in=order[:MOST_SUGGESTED])
    same = Q(pk__in=[])
    for name in people.values_list("name", flat=True):
        same |= Q(name__iexact=name)
    known = {each.person: each for each in _with_handles(_reachable().filter(same))}
    return [known[pk] for pk in order[:MOST_SUGGESTED] if pk in known]


def chips(labels: Iterable[str]) -> dict[str, str]:
    """Handle → name, of the labels (`Name <e-mail>`) that an event kept."""
    names = [label.partition(" <")[0] for label in labels]
    return {handle_of(name): name for name in names}
