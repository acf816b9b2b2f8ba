"""What `frozen_evidence.changes` reads of many requests, at a glance: whether any of it has moved since the last look
is told without freezing anything."""

from typing import Any

from django.db.models import F, JSONField, Model, QuerySet, TextField
from django.db.models.functions import Cast

from approvals.models import PromotionRequest, Target
from approvals.selectors import champions, frozen_evidence
from mirror.models import Exhibit, Inspection, ModelVersion

NO_FACTS = frozenset({"read_at", "facts_at", "started_at", "inspected_at", "curves"}) | {
    f"{what}_{how_far}" for what in ("files", "bytes") for how_far in ("done", "total")
}
"""Columns that move while nothing else does, and that no evidence has."""

Digest = int
"""For one process alone, as Python's own hashes are."""


def digests(requests: "QuerySet[PromotionRequest]") -> dict[int, Digest]:
    """Number of each request → a digest of everything its evidence and its comparison depend on. Three queries,
    however many there are. All columns count but `NO_FACTS`, so that nothing is left out by oversight."""
    columns = ("kind", "justification", "fingerprint", *_columns(Target, "target__"), "version__model__name")
    asked = requests.annotate(champion_now=champions.pk_now(), files_of=frozen_evidence.files_of())
    facts = [*columns, Cast("rule", TextField()), "files_of", *_facts("version__")]
    rows = list(asked.values_list("pk", "version_id", "champion_id", "champion_now", *facts))
    others = ModelVersion.objects.filter(pk__in={pk for row in rows for pk in row[2:4]} - {None})
    compared = {pk: hash(tuple(row)) for pk, *row in others.values_list("pk", *_facts(""))}
    exhibits: dict[int, list[Any]] = {}
    shown = Exhibit.objects.filter(version__in={row[1] for row in rows}).order_by("version_id", "path")
    for version, *exhibit in shown.values_list("version_id", "path", "sha256"):
        exhibits.setdefault(version, []).append(tuple(exhibit))
    return {
        pk: hash((*facts, tuple(exhibits.get(version, ())), asked_for, compared.get(asked_for), compared.get(now)))
        for pk, version, asked_for, now, *facts in rows
    }


def _facts(of: str) -> list[Any]:
    """All that is known of a version and its files; documents as the text that the database has, since no one looks
    into them."""
    return [*_columns(ModelVersion, of), *_columns(Inspection, f"{of}inspection__")]


def _columns(model: type[Model], of: str) -> list[Any]:
    return [
        Cast(f"{of}{each.attname}", TextField()) if isinstance(each, JSONField) else F(f"{of}{each.attname}")
        for each in model._meta.concrete_fields  # noqa: SLF001  public in all but name
        if each.name not in NO_FACTS
    ]
