"""The people whom the ledger names against the people there are: tokens that lead to no one or to another person, names
that became others without an event, two people or two identities that were swapped."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from operator import itemgetter

from django.db.models import Min, Q

from approvals.ledger import pseudonyms
from approvals.ledger.pseudonyms import Problem
from approvals.ledger.verdicts import Fault
from approvals.models import AuditEvent, ChainHead

MARK = "⟨person "
PORTION = 5000
MOST_PROBLEMS = 8


def faults() -> Iterator[tuple[Fault, Callable[[], Fault | None] | None]]:
    """Who is pseudonymised has no names any more, and that is no fault; their tokens still have to be theirs."""
    if found := _of_people():
        yield found, _of_people
    until = ChainHead.objects.get(pk=1).sequence  # before the identities are read: no event up to here has newer ones
    known = pseudonyms.known_tokens()
    for found in (_of_actors(until, known), _of_texts(until, known)):
        if found and found.sequence:
            yield found, partial(_of_event, found.sequence)


def _of_people() -> Fault | None:
    """Of the first few problems, the one of the earliest event: where two were swapped, it takes both to know."""
    firsts = [(_first_event(problem), problem.sentence) for problem in islice(pseudonyms.between(), MOST_PROBLEMS)]
    named = [(first, words) for first, words in firsts if first is not None]
    if named:
        first, words = min(named, key=itemgetter(0))
        return Fault(f"{words} Event {first} is the first that names them so.", first)
    return Fault(firsts[0][1]) if firsts else None


def _first_event(problem: Problem) -> int | None:
    """The first event with a token of this identity, or else with one of this person."""
    for mark in (problem.commitment, f"{MARK}{problem.person_id}:"):
        named = Q(stored_actor__contains=mark) | Q(stored_allowed_by__contains=mark) | Q(payload__contains=mark)
        first = AuditEvent.objects.filter(named).aggregate(first=Min("sequence"))["first"] if mark else None
        if first is not None:
            return int(first)
    acted = AuditEvent.objects.filter(actor=problem.person_id).aggregate(first=Min("sequence"))["first"]
    return None if acted is None else int(acted)


def _of_actors(until: int, known: frozenset[str]) -> Fault | None:
    """Who acted: as few rows as there are actors and names, however many events."""
    pairs = AuditEvent.objects.filter(sequence__lte=until, stored_actor__contains=MARK).order_by()
    firsts = pairs.values_list("actor_id", "stored_actor").annotate(first=Min("sequence")).iterator(chunk_size=PORTION)
    bad = [
        Fault(words, first) for actor, told, first in firsts if (words := pseudonyms.fault(first, actor, [told], known))
    ]
    return min(bad, key=lambda fault: fault.sequence or 0, default=None)


def _of_texts(until: int, known: frozenset[str]) -> Fault | None:
    """Whom events name otherwise."""
    named = AuditEvent.objects.filter(Q(payload__contains=MARK) | ~Q(stored_allowed_by=""), sequence__lte=until)
    columns = named.order_by("sequence").values_list("sequence", "stored_allowed_by", "payload")
    for sequence, *told in columns.iterator(chunk_size=PORTION):
        if words := pseudonyms.fault(sequence, None, ["", *told], known):
            return Fault(words, sequence)
    return None


def _of_event(sequence: int) -> Fault | None:
    columns = ("actor_id", "stored_actor", "stored_allowed_by", "payload")
    actor, *told = AuditEvent.objects.values_list(*columns).get(sequence=sequence)
    words = pseudonyms.fault(sequence, actor, told, pseudonyms.known_tokens())
    return Fault(words, sequence) if words else None
