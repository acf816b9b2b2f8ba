"""Names in the ledger: people are written into events as tokens, and the names that the tokens stand for lie in
`Identity`, where they can be erased. The hash of an event covers the token, so the chain does not notice.

The one writer of `Identity`. Reading needs nothing of this: events tell their names themselves (`AuditEvent.data`).
"""

import json
import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from typing import Any, cast

from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from accounts.models import User, plain
from approvals.models import Action, AuditEvent, Identity
from approvals.models.identities import TOKEN, Naming, commitment_of, mapped, token
from mirror import composed

_ADDRESS = re.compile(r"<([^<>]+)>|([^\s<>,;\"'()⟨⟩]+@[^\s<>,;\"'()⟨⟩]+)")
_EDGES = r"(?<![\w.+-]){}(?![\w-]|\.\w)"
"""An address is not found inside a longer one."""


# --- Writing ----------------------------------------------------------------------------------------------------------


def tokenised(value: Any, *, known: Iterable[User] = ()) -> Any:
    """JSON data (or one text) with every label and address of a person in it, also inside longer text, replaced by a
    token. One query for people and what they are called, two more where one of them is named for the first time, and an
    insert per name that is new.

    `known` are people who certainly occur. Text that only looks like a token, because a person typed it, loses
    its brackets. Call it in the transaction of the event.
    """
    texts = list(_texts(value))
    addresses = {(inner or bare).rstrip(".:!?") for text in texts for inner, bare in _ADDRESS.findall(text)}
    marks = {mark for text in texts for _, mark in TOKEN.findall(text)}
    given = {person.pk: person for person in known}
    if not given and not addresses and not marks:
        return value
    people, found = _named(given, addresses, marks)
    tokens = {each.token for each in found}
    names = {each.label: each.token for each in found if each.person_id in people and not each.erased_at}
    for person in people.values():
        label = person.label
        for naming, text in _names_of(person):
            if text not in names and any(_occurs(text, within, label) for within in texts):
                names[text] = _made(person.pk, text, naming).token
    for person in given.values():
        if people[person.pk].pseudonymised_at:
            names[person.label] = identity_of(people[person.pk]).token
    pattern = re.compile("|".join([TOKEN.pattern, *map(_needle, sorted(names, key=len, reverse=True))]))

    def written(match: re.Match[str]) -> str:
        if match[1]:
            return match[0] if match[0] in tokens else match[0].strip("⟨⟩")
        return names[match[0]]

    return mapped(value, lambda text: pattern.sub(written, text))


def _named(given: Mapping[int, User], addresses: set[str], marks: set[str]) -> tuple[dict[int, User], list[Identity]]:
    """Those given and those with these addresses; the identities that they and these marks have, oldest first. People
    are read anew: they may have been pseudonymised since, and nothing may bring their names back."""
    found = composed.among(_identities, given, addresses, marks)
    people = {
        each.person_id: each.person for each in found if each.person_id in given or each.person.email in addresses
    }
    # Mostly each of them is known by now.
    if people.keys() >= given.keys() and addresses <= {person.email for person in people.values()}:
        return people, found
    people = {person.pk: person for person in composed.among(_people, given, addresses)}
    return people, composed.among(_identities, people, (), marks)


def _identities(people: Collection[int], addresses: Collection[str], marks: Collection[str]) -> QuerySet[Identity]:
    named = Q(person__in=people) | Q(person__email__in=addresses) | Q(commitment__in=marks)
    return Identity.objects.filter(named).select_related("person").order_by("pk")


def _people(given: Collection[int], addresses: Collection[str]) -> QuerySet[User]:
    found: QuerySet[User] = User.objects.filter(Q(pk__in=given) | Q(email__in=addresses))
    return found


def token_of(person: User, text: str, *, naming: Naming = Naming.OTHER) -> str:
    """The token for something that a person is, or was, called: a former label, a name in MLflow."""
    return _made(person.pk, text, naming).token


def identity_of(person: User) -> Identity:
    """What the person is called now has a row from here on."""
    return _made(person.pk, person.label, Naming.LABEL)


def erase(person: User) -> int:
    """Takes away what stands behind every token of this person, and with the salts any way to prove a guess. Returns
    how many there were. The tokens stay, and so does the chain."""
    held = Identity.objects.filter(person=person, erased_at=None)
    return held.update(label="", salt="", erased_at=timezone.now())


def _made(person_id: int, text: str, naming: Naming) -> Identity:
    """The row for this text, there already or new."""
    for held in composed.objects(_held, person_id, text):
        return cast(Identity, held)
    salt = secrets.token_hex(16)
    new = {"naming": naming, "salt": salt, "commitment": commitment_of(salt, person_id, text)}
    return Identity.objects.create(person_id=person_id, label=text, **new)


def _held(person: int, label: str) -> QuerySet[Identity]:
    return Identity.objects.filter(person=person, label=label, erased_at=None)


def _names_of(person: User) -> list[tuple[Naming, str]]:
    addresses = dict.fromkeys([person.email, plain(person.email)])
    return [(Naming.LABEL, person.label), *((Naming.OTHER, address) for address in addresses)]


def _needle(text: str) -> str:
    return re.escape(text) if text.endswith(">") else _EDGES.format(re.escape(text))


def _occurs(text: str, within: str, label: str) -> bool:
    """An address gets a row of its own only where it does not stand in the label."""
    if text == label or text not in within:
        return text in within
    return re.search(_needle(text), within.replace(label, "")) is not None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


# --- Reading beside the hash ------------------------------------------------------------------------------------------


def names_in(event: AuditEvent) -> dict[str, str]:
    """Every token of the event with what it stands for now: what exports carry beside the hashed columns."""
    stored = " ".join([event.stored_actor, event.stored_allowed_by, event.payload])
    return {match[0]: event.told.text(match[0]) for match in TOKEN.finditer(stored)}


# --- Proving ----------------------------------------------------------------------------------------------------------

MOST_PROBLEMS = 50


@dataclass(frozen=True, slots=True)
class Problem:
    sentence: str
    person_id: int
    commitment: str = ""
    """Of the identity that it is about, where it is about one: events have it in their tokens."""


def problems(*, with_events: bool = True) -> list[str]:
    """Sentences on what does not fit between people, identities and ledger; the first 50. Reads the identities, and
    the events one by one unless the caller does so with `fault`."""
    found = (problem.sentence for problem in between())
    return list(islice(chain(found, _in_events()) if with_events else found, MOST_PROBLEMS))


def between() -> Iterator[Problem]:
    """What does not fit between people, their identities and the events that record their names. Memory holds the
    identities."""
    pseudonymised = {int(_payload(text).get("number", 0)) for text in _payloads(Action.PERSON_PSEUDONYMISED)}
    labels: dict[int, list[Identity]] = {}
    for each in Identity.objects.order_by("person_id", "pk").iterator(chunk_size=5000):
        who = f"person {each.person_id}"
        if each.erased_at is None and each.naming == Naming.LABEL:
            labels.setdefault(each.person_id, []).append(each)
        if each.erased_at and each.person_id not in pseudonymised:
            words = f"A name of {who} was erased, but no event says that they were pseudonymised."
            yield Problem(words, each.person_id, each.commitment)
        elif not each.erased_at and each.commitment != commitment_of(each.salt, each.person_id, each.label):
            words = f"What {who} is called was altered: “{each.label}” does not fit its commitment."
            yield Problem(words, each.person_id, each.commitment)
    erased = Q(pk__in=pseudonymised) | ~Q(pseudonymised_at=None)
    for person in User.objects.filter(erased).order_by("pk").iterator(chunk_size=2000):
        if person.pk not in pseudonymised:
            yield Problem(f"Person {person.pk} is marked as pseudonymised, but no event says so.", person.pk)
        elif person.pseudonymised_at is None or person.name != f"Person {person.pk}":
            yield Problem(f"Person {person.pk} was pseudonymised, but is called “{person.name}”.", person.pk)
    yield from _renamed_unseen({key: held for key, held in labels.items() if key not in pseudonymised})
    yield from _before_tokens(set(labels))


def known_tokens() -> frozenset[str]:
    """Every token that stands for a person, erased or not."""
    rows = Identity.objects.values_list("person_id", "commitment").iterator(chunk_size=5000)
    return frozenset(token(person_id, commitment) for person_id, commitment in rows)


def fault(sequence: int, actor_id: int | None, stored: Iterable[str], known: frozenset[str]) -> str:
    """A sentence on the first token of an event that is not as it should be, or "". `stored` are the stored texts, the
    actor's first; `known` is `known_tokens()`."""
    for place, text in enumerate(stored):
        if "⟨person " not in text:
            continue
        for match in TOKEN.finditer(text):
            if match[0] not in known:
                return f"Event {sequence} names person {match[1]} by a token that no identity of theirs has."
            if place == 0 and int(match[1]) != actor_id:
                return f"Event {sequence} is of person {actor_id}, but its token is of person {match[1]}."
    return ""


def reads(stored: str, text: str) -> bool:
    """Whether a text of an event, with tokens in it, reads as this text of another table. Whom a token names is shown
    elsewhere (`fault`); here any name fits, so that it does when names change or are erased."""
    if "⟨" not in text and "⟨" not in stored:
        return stored == text
    parts = (re.escape(part.strip("⟨⟩")) for part in TOKEN.split(stored)[::3])
    return re.fullmatch(".+?".join(parts), text.replace("⟨", "").replace("⟩", ""), re.DOTALL) is not None


def _payloads(action: Action) -> Iterator[str]:
    events = AuditEvent.objects.filter(action=action).order_by("sequence")
    yield from events.values_list("payload", flat=True).iterator(chunk_size=2000)


def _payload(text: str) -> dict[str, Any]:
    return dict(json.loads(text))


def _renamed_unseen(labels: Mapping[int, list[Identity]]) -> Iterator[Problem]:
    """Names that became others without an event. `labels` has the labels of each person, oldest first."""
    told = [match for text in _payloads(Action.PERSON_RENAMED) for match in TOKEN.finditer(_payload(text)["after"])]
    renamed, newest = {match[0] for match in told}, {int(match[1]): match[0] for match in told}
    last = {
        person_id: next((each for each in held if each.token == newest.get(person_id)), held[-1])
        for person_id, held in labels.items()
    }
    owners = {each.label: person_id for person_id, each in last.items()}
    people = User.objects.in_bulk(labels)
    for person_id, held in labels.items():
        for before, each in pairwise(held):
            if each.token not in renamed:
                words = f"Person {person_id} was “{before.label}” and became “{each.label}”, but no event says so."
                yield Problem(words, person_id, each.commitment)
        if person_id not in people:
            yield Problem(f"Person {person_id} is not there any more.", person_id)
            continue
        present, known = people[person_id].label, last[person_id]
        if present != known.label:
            words = f"Person {person_id} is called “{present}” now, but the ledger knows them as “{known.label}”"
            if owners.get(present, person_id) != person_id:
                words += (
                    f", and as “{present}” person {owners[present]}: they were swapped, or one took the other's name"
                )
            yield Problem(f"{words}.", person_id, known.commitment)


def _in_events() -> Iterator[str]:
    known = known_tokens()
    columns = ("sequence", "actor_id", "stored_actor", "stored_allowed_by", "payload")
    rows = AuditEvent.objects.order_by("sequence").values_list(*columns)
    for sequence, actor_id, *stored in rows.iterator(chunk_size=5000):
        wrong = fault(sequence, actor_id, stored, known)
        if wrong:
            yield wrong


def _before_tokens(but: set[int]) -> Iterator[Problem]:
    """People whose events are all older than the tokens: the newest of them has to say what they are called now."""
    newest = AuditEvent.objects.filter(actor=OuterRef("pk")).order_by("-sequence").values("stored_actor")[:1]
    people = User.objects.filter(pseudonymised_at=None).annotate(known_as_last=Subquery(newest))
    for person in people.exclude(known_as_last=None).iterator(chunk_size=2000):
        label = person.known_as_last
        if person.pk not in but and label != person.label and not TOKEN.search(label):
            words = f"Person {person.pk} is called “{person.label}” now, but the ledger knows them as “{label}”."
            yield Problem(words, person.pk)
