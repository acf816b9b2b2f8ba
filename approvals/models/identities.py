"""Who stands behind the tokens of the ledger: one row per person and text that named them, the only place in the record
where the text can be taken away. Written by `approvals.ledger.pseudonyms` alone."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

TOKEN = re.compile(r"⟨person (\d{1,18}):([0-9a-f]{64})⟩")
"""Number of the person and commitment of the identity: `⟨person 3:ab12…⟩`."""


def token(person_id: int, commitment: str) -> str:
    return f"⟨person {person_id}:{commitment}⟩"


def commitment_of(salt: str, person_id: int, text: str) -> str:
    """SHA-256, hexadecimal. The salt keeps anyone who has the ledger from guessing names until one fits; the number
    keeps an identity from being given to another person."""
    return hashlib.sha256(f"{salt}\n{person_id}\n{text}".encode()).hexdigest()


ERASED = " (pseudonymised)"


def erased(person_id: int) -> str:
    return f"Person {person_id}{ERASED}"


class Naming(models.TextChoices):
    LABEL = "label", "Name and address"
    OTHER = "other", "Address alone, or name in MLflow"


class Identity(models.Model):
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="identities")
    naming = models.CharField(max_length=10, choices=Naming, default=Naming.LABEL)
    label = models.CharField(
        max_length=1000, blank=True, help_text="`Remy Ortiz <remy@example.com>`; empty once erased."
    )
    salt = models.CharField(max_length=64, blank=True, help_text="Random, hexadecimal; empty once erased.")
    commitment = models.CharField(max_length=64, unique=True, help_text="SHA-256 over salt, person and label.")
    created_at = models.DateTimeField(default=timezone.now)
    erased_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["person", "label"], condition=Q(erased_at=None), name="one_identity_per_person_and_label"
            ),
            models.CheckConstraint(
                condition=Q(erased_at=None) & ~Q(label="") & ~Q(salt="")
                | Q(erased_at__isnull=False, label="", salt=""),
                name="nothing_is_left_exactly_when_erased",
            ),
        ]

    def __str__(self) -> str:
        return f"identity {self.pk} of person {self.person_id}"

    @property
    def token(self) -> str:
        return token(self.person_id, self.commitment)


class Told:
    """Turns tokens back into names for display. Events that were read together share one, and its one query."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts
        self._names: Mapping[str, str] | None = None

    def text(self, text: str) -> str:
        """A token that no identity knows stays as it is: anyone who reads it is to see that."""
        return TOKEN.sub(self._name, text) if "⟨person " in text else text

    def value(self, value: Any) -> Any:
        """The same for every text in JSON data."""
        return mapped(value, self.text)

    def _name(self, found: re.Match[str]) -> str:
        if self._names is None:
            marks = {mark for text in self._texts for _, mark in TOKEN.findall(text)} | {found[2]}
            self._names = _names(marks)
        return self._names.get(found[0], found[0])


MOST_AT_ONCE = 500
"""Commitments per query: databases bound the number of parameters."""


def _names(marks: Iterable[str]) -> dict[str, str]:
    wanted, names = list(marks), {}
    for start in range(0, len(wanted), MOST_AT_ONCE):
        for each in Identity.objects.filter(commitment__in=wanted[start : start + MOST_AT_ONCE]):
            names[each.token] = erased(each.person_id) if each.erased_at else each.label
    return names


def mapped(value: Any, change: Any) -> Any:
    """JSON data with every text in it changed; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: mapped(each, change) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [mapped(each, change) for each in value]
    return value


def people_in(text: str) -> set[int]:
    """Numbers of the people whom tokens in this stored text name."""
    return {int(number) for number, _ in TOKEN.findall(text)}
