"""Saved views: filters, order and groups of a page with a list, kept by a person under a name. They are how a person
likes their pages, so they stand with the person and in no ledger."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from django.db import transaction
from django.http import QueryDict

from accounts.models import User

PAGES = {"overview": "overview", "inbox": "approvals:inbox", "queue": "approvals:review_queue"}
"""Pages that have them, each with the name of its address."""

MOST = 20
LONGEST_NAME = 60
LONGEST_QUERY = 1_000
_PASSING = ("page", "seen", "view", "done")
"""What of an address is no part of a view."""

EVERYTHING = "view=none"
"""The query of a page without filters, where the person has another default."""


class Refused(Exception):
    """Why it is not kept, as a sentence."""


@dataclass(frozen=True, slots=True)
class View:
    name: str
    query: str
    """Without the question mark; "" is the page without filters."""

    is_default: bool = False
    """The page opens with it."""

    @property
    def address(self) -> str:
        """What follows the page's own: never empty, which would open the default."""
        return f"?{self.query or EVERYTHING}"


def of(person: User, page: str) -> list[View]:
    """By name; no query."""
    kept = person.saved_views.get(page, [])
    return sorted((View(**each) for each in kept), key=lambda each: each.name.lower())


def default_of(person: User, page: str) -> str | None:
    """The query that the page opens with, where the person has chosen one that is not empty."""
    return next((each.query for each in of(person, page) if each.is_default and each.query), None)


def query_of(address: str) -> str:
    """What of a page's query a view keeps, always in the same order."""
    sent = QueryDict(address)
    kept = QueryDict(mutable=True)
    for key in sorted(set(sent) - set(_PASSING)):
        values = [value for value in sent.getlist(key) if value]
        if values:
            kept.setlist(key, values)
    return kept.urlencode()


def save(person: User, page: str, *, name: str, query: str) -> View:
    """Keeps it; a view of the same name is replaced. Raises Refused."""
    name = " ".join(name.split())
    view = View(name, query_of(query))
    if not name or len(name) > LONGEST_NAME:
        raise Refused(f"Give the view a name of at most {LONGEST_NAME} characters.")
    if len(view.query) > LONGEST_QUERY:
        raise Refused("This view has too many filters to be saved.")
    with transaction.atomic():
        others = [each for each in _locked(person, page) if each.name != name]
        if len(others) >= MOST:
            raise Refused(f"You can save {MOST} views of a page. Delete one first.")
        _store(person, page, [*others, view])
    return view


def forget(person: User, page: str, *, name: str) -> None:
    with transaction.atomic():
        _store(person, page, [each for each in _locked(person, page) if each.name != name])


def make_default(person: User, page: str, *, name: str) -> None:
    """The page opens with this one; "", or a name that there is not, and it opens as it is."""
    with transaction.atomic():
        kept = _locked(person, page)
        _store(person, page, [View(each.name, each.query, each.name == name) for each in kept])


def _locked(person: User, page: str) -> list[View]:
    """As the database has them now, until the end of the transaction."""
    person.saved_views = User.objects.select_for_update().values_list("saved_views", flat=True).get(pk=person.pk)
    return of(person, page)


def _store(person: User, page: str, views: Sequence[View]) -> None:
    person.saved_views = {**person.saved_views, page: [asdict(each) for each in views]}
    User.objects.filter(pk=person.pk).update(saved_views=person.saved_views)
