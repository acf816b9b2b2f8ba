"""Which columns of which tables the ledger answers for, and why not for the others. Every event keeps what the rows
that it tells of were left at (`sealing`), and verification holds the rows against that (`sealed`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.db.models import Field, Model, QuerySet

from approvals.models import (
    CheckResult,
    Comment,
    Finding,
    OutboxEntry,
    Outcome,
    Probation,
    PromotionRequest,
    Review,
)

Row = Mapping[str, Any]
QUEUE = "How the worker gets on with it: changes with every attempt, and nothing is decided on it."
ADDRESS = "A secret that names an address; no page, certificate or archive shows it."


def label_of(model: Model | type[Model]) -> str:
    """`promotionrequest`: what a table is called in seals."""
    return str(model._meta.model_name)  # noqa: SLF001  Django's public name for it


@dataclass(frozen=True)
class Table:
    model: type[Model]
    name: str
    """What one row is called in a sentence; `{column}` is filled in."""

    beside: Mapping[str, str] = field(default_factory=dict)
    """Columns that no seal has, each with the reason."""

    personal: frozenset[str] = frozenset()
    """Columns with people's names (one label, or a list of names): kept as tokens, so that they can be erased."""

    @property
    def label(self) -> str:
        return label_of(self.model)

    @property
    def rows(self) -> "QuerySet[Any]":
        """All of them, whatever the model's own manager leaves out."""
        return self.model._base_manager.all()  # noqa: SLF001

    @cached_property
    def columns(self) -> dict[str, "Field[Any, Any]"]:
        """By the name of the attribute: `version_id`."""
        fields = self.model._meta.concrete_fields  # noqa: SLF001
        found = {each.attname: each for each in fields if not each.primary_key}
        return {name: each for name, each in found.items() if each.name not in self.beside}

    @cached_property
    def many(self) -> tuple[str, ...]:
        """Relations to many that are kept as a list of what the others are called."""
        fields = self.model._meta.many_to_many  # noqa: SLF001
        return tuple(each.name for each in fields if each.name not in self.beside)

    def word(self, column: str) -> str:
        """The column as people call it."""
        found = self.model._meta.get_field(column.removesuffix("_id"))  # noqa: SLF001
        return str(getattr(found, "verbose_name", column))


TABLES: dict[str, Table] = {
    table.label: table
    for table in (
        Table(
            PromotionRequest,
            "Request #{id}",
            {
                "evidence": "Held against its fingerprint, which is sealed.",
                "waits_for": "Worked out anew from rule and approvals; it only says in whose inbox the request is.",
            },
        ),
        Table(Comment, "Comment {id} on request #{request_id}"),
        Table(Review, "Review {id} of request #{request_id}", personal=frozenset({"signed_name"})),
        Table(Finding, "Finding {id} of review {review_id}"),
        Table(
            CheckResult,
            "Check {id} of request #{request_id}",
            {"attempts": QUEUE, "next_attempt_at": QUEUE, "called_at": QUEUE, "token": ADDRESS},
        ),
        Table(
            OutboxEntry,
            "Delivery {id} of request #{request_id}",
            dict.fromkeys(
                (
                    "available_at",
                    "attempts",
                    "claimed_by",
                    "lease_expires_at",
                    "waiting_since",
                    "last_error",
                    "held_until",
                    "held_by",
                    "plan",
                ),
                QUEUE,
            ),
        ),
        Table(Probation, "The probation of request #{request_id}", {"token": ADDRESS}),
    )
}


def unsettled(table: Table, row: Row) -> frozenset[str]:
    """Columns that still change without an event, as the row is now."""
    if table.model is CheckResult and row["outcome"] == Outcome.WAITING:
        return frozenset({"reason"})  # of the last call, until the answer
    return frozenset()
