"""Pseudonymising: a person's name and address are taken out of every table that can be changed. The ledger keeps its
tokens, which then lead nowhere; what else still has the name is listed before, because afterwards no one knows what to
look for."""

import re
from collections.abc import Iterator

from django.db.models import Q, QuerySet

from accounts import erasure
from accounts.models import User
from approvals.administration.people import refuse_pseudonymised, set_active
from approvals.administration.shared import PEOPLE, record, require
from approvals.ledger import pseudonyms
from approvals.models import (
    Action,
    AuditEvent,
    ChainHead,
    DigestTime,
    Identity,
    Notification,
    NotificationChoice,
    PolicyVersion,
    PromotionRequest,
    Review,
    Status,
    Verdict,
)
from approvals.models.identities import Naming, erased
from approvals.workflow import Invalid
from approvals.workflow.verbs import verb

SHORTEST_NAME = 3
"""Characters: what is shorter is in too many words to be looked for."""

MOST_NUMBERS = 5


@verb()
def pseudonymise(person: User, *, reason: str, by: User) -> AuditEvent:
    """Takes away name, address and every way to sign in, permanently; deactivates first anyone who is still active.

    Raises NotAllowed, or Invalid: oneself, the last administrator, no reason or one that has the name in it, and who
    still has something under way (`hindrances`).
    """
    require(by, PEOPLE)
    refuse_pseudonymised(person)
    if person.pk == by.pk:
        raise Invalid("You cannot pseudonymise yourself: ask another administrator.")
    # Read before anything is erased: afterwards no one knows what to look for.
    called = _labels_of(person)
    reason = reason.strip()
    if not reason:
        raise Invalid("Enter who asked for it, and when.")
    if any(_word(text, re.IGNORECASE).search(reason) for text in called):
        raise Invalid("The reason stays in the history permanently, so it must not contain the name or the address.")
    for sentence in hindrances(person):
        raise Invalid(sentence)
    # An event of its own, and before the names go: it has the label, as a token that leads nowhere afterwards.
    if person.is_active:
        set_active(person, is_active=False, by=by)
    ChainHead.objects.select_for_update().get(pk=1)  # so that no one records the name again before the event
    pseudonyms.erase(person)
    _erase_copies(person, called)
    erasure.erase(person)
    data = {"person": f"Person {person.pk}", "number": person.pk, "reason": reason}
    return record(Action.PERSON_PSEUDONYMISED, by, data=data, rows=[person])


def hindrances(person: User) -> Iterator[str]:
    """Sentences on what has to come to an end first: a name is still needed where something is under way."""
    asked = PromotionRequest.objects.open().filter(Q(requester=person) | Q(owner=person)).order_by("pk")
    if numbers := _numbers(asked):
        yield f"They have open requests: {numbers}. Wait for a decision, or have them withdrawn first."
    signed = PromotionRequest.objects.filter(
        status__in=(Status.APPROVED, Status.FAILED),
        reviews__reviewer=person,
        reviews__voided_at=None,
        reviews__verdict=Verdict.APPROVE,
    ).order_by("pk")
    if numbers := _numbers(signed):
        yield (
            f"Approved requests with their name are still being delivered: {numbers}. Wait for the delivery, or "
            "have them withdrawn."
        )


def names_of(person: User) -> list[str]:
    """Everything that may name them, as far as it is known: labels, names and addresses, former ones too, and what
    MLflow calls them. Longest first."""
    others = Identity.objects.filter(person=person, erased_at=None, naming=Naming.OTHER).values_list("label", flat=True)
    return _long_enough({*_labels_of(person), *others, *map(str, (*person.mlflow_names, *person.former_mlflow_names))})


def _labels_of(person: User) -> list[str]:
    """Without what MLflow calls them, which may be a common word."""
    held = Identity.objects.filter(person=person, erased_at=None, naming=Naming.LABEL).values_list("label", flat=True)
    labels = {person.label, *held}
    parts = {part for label in labels for part in _parts(label)}
    return _long_enough({*labels, *parts, person.name, person.email, *map(str, person.former_names)})


def _long_enough(texts: set[str]) -> list[str]:
    return sorted((text for text in texts if len(text) >= SHORTEST_NAME), key=len, reverse=True)


def _parts(label: str) -> list[str]:
    name, _, address = label.partition(" <")
    return [name.strip(), address.rstrip(">")] if address else []


def _word(text: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    """The text where it is not part of a longer word: Mark is not in Marked."""
    return re.compile(rf"(?<!\w){re.escape(text)}(?!\w)", flags)


def _numbers(requests: QuerySet[PromotionRequest]) -> str:
    numbers = list(dict.fromkeys(requests.values_list("pk", flat=True)))
    shown = ", ".join(f"request #{number}" for number in numbers[:MOST_NUMBERS])
    return f"{shown} and {len(numbers) - MOST_NUMBERS} more" if len(numbers) > MOST_NUMBERS else shown


def _erase_copies(person: User, called: list[str]) -> None:
    """Where the name was copied into rows that can change."""
    nameless = erased(person.pk)
    Review.objects.filter(reviewer=person).exclude(signed_name="").update(signed_name=nameless)
    PolicyVersion.objects.filter(saved_by=person).update(saved_as=nameless)
    NotificationChoice.objects.filter(person=person).delete()
    DigestTime.objects.filter(person=person).delete()
    patterns = [_word(text) for text in called]
    having = Q()
    for text in called:
        having |= Q(title__icontains=text) | Q(text__icontains=text) | Q(said__icontains=text)
    for told in Notification.objects.filter(having).iterator(chunk_size=500):
        changed = {"title": told.title, "text": told.text, "said": told.said}
        for pattern in patterns:
            changed = {name: pattern.sub(nameless, text) for name, text in changed.items()}
        changed["title"] = changed["title"][:400]
        Notification.objects.filter(pk=told.pk).update(**changed)
