"""Where a person's name still stands that pseudonymising does not take away: in MLflow, in frozen evidence, in what
people typed, and in events from before there were tokens. For the page that asks before, since afterwards no one knows
what to look for. Looks through whole tables: for rare use."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import JSONField, Model, Q, TextField
from django.db.models.functions import Cast
from django.urls import reverse

from approvals.models import (
    AuditEvent,
    CheckResult,
    Comment,
    Finding,
    FreezeWindow,
    Incident,
    ModelMetrics,
    Policy,
    PolicyVersion,
    Probation,
    PromotionRequest,
    Review,
    Target,
    Tenure,
    Webhook,
)
from mirror.models import Inspection, ModelVersion, RegisteredModel

MOST = 20
"""So many places are listed under each heading."""


@dataclass(frozen=True, slots=True)
class Place:
    words: str
    """`churn_predictor version 7: description`."""

    url: str = ""


@dataclass(slots=True)
class Remains:
    """One heading of the list."""

    title: str
    advice: str
    places: list[Place] = field(default_factory=list)
    has_more: bool = False


@dataclass(frozen=True, slots=True)
class _Where:
    model: type[Model]
    columns: Sequence[str]
    words: Callable[[Any], str]
    url: Callable[[Any], str] = lambda row: str(row.get_absolute_url())
    related: Sequence[str] = ()


def _of_request(row: Any) -> str:
    return str(row.request.get_absolute_url())


def _at(name: str) -> Callable[[Any], str]:
    return lambda row: reverse(name, args=[row.pk])


def _no_page(_: Any) -> str:
    return ""


_MLFLOW = [
    _Where(RegisteredModel, ["description", "tags"], str),
    _Where(
        ModelVersion,
        ["description", "tags", "run", "params", "source"],
        lambda row: f"{row.model.name} version {row.number}",
        related=["model"],
    ),
    _Where(
        Inspection,
        ["packaging"],
        lambda row: f"{row.version.model.name} version {row.version.number}: MLmodel file",
        url=lambda row: str(row.version.get_absolute_url()),
        related=["version__model"],
    ),
]
_FROZEN = [
    _Where(PromotionRequest, ["evidence"], lambda row: f"Evidence of request #{row.pk}"),
]
_TYPED = [
    _Where(PromotionRequest, ["justification"], lambda row: f"Justification of request #{row.pk}"),
    _Where(PromotionRequest, ["status_reason", "afterwards_comment"], lambda row: f"Outcome of request #{row.pk}"),
    _Where(Comment, ["body"], lambda row: f"Comment on request #{row.request_id}", _of_request, ["request"]),
    _Where(
        Review,
        ["comment", "void_reason"],
        lambda row: f"Review of request #{row.request_id}",
        _of_request,
        ["request"],
    ),
    _Where(
        CheckResult,
        ["reason", "override_reason"],
        lambda row: f"Check of request #{row.request_id}",
        _of_request,
        ["request"],
    ),
    _Where(
        Finding, ["text", "closing_note"], lambda row: f"Finding #{row.pk}", lambda _: reverse("approvals:findings")
    ),
    _Where(FreezeWindow, ["name", "reason"], lambda row: f"Freeze {row.name}", _at("approvals:freeze")),
    _Where(
        Webhook,
        ["name"],
        lambda row: f"Webhook {row.name}",
        lambda row: "" if row.retired_at else str(row.get_absolute_url()),
    ),
    _Where(Policy, ["terms"], lambda row: f"Policy {row.pk}", _at("approvals:policy")),
    _Where(PolicyVersion, ["terms"], lambda row: f"Policy {row.policy_id}, version {row.number}", _no_page),
    _Where(ModelMetrics, ["metrics"], lambda row: f"Metrics of record of {row.model_name}", _no_page),
    _Where(Target, ["name", "description"], lambda row: f"Target {row.name}", _no_page),
    _Where(Incident, ["reason", "details"], lambda row: f"Incident #{row.pk}", _no_page),
    _Where(Probation, ["reason"], lambda row: f"Probation #{row.pk}", _no_page),
    _Where(
        Tenure,
        ["requested_by", "approved_by", "note"],
        lambda row: f"Imported history of {row.model_name} version {row.version_number}",
        _no_page,
    ),
]
_LEDGER = [
    _Where(
        AuditEvent,
        ["stored_actor", "stored_allowed_by", "payload"],
        lambda row: f"Event {row.sequence}: {row.get_action_display().lower()}",
    ),
]
_HEADINGS = [
    ("In MLflow", "Edit descriptions and tags there; the next sweep takes the change over.", _MLFLOW),
    ("In frozen evidence", "It stays: reviewers signed exactly this.", _FROZEN),
    (
        "In what people typed",
        "It stays as part of the record. Policies, freezes, webhooks and targets can be edited.",
        _TYPED,
    ),
    (
        "In the history, as text",
        "It stays permanently: a person typed it, or the event is older than the tokens.",
        _LEDGER,
    ),
]


def of(names: Sequence[str]) -> list[Remains]:
    """What is found for these names and addresses, whatever their case; headings with nothing are left out."""
    found = []
    for title, advice, wheres in _HEADINGS:
        remains = Remains(title, advice)
        for place in _places(wheres, names):
            if len(remains.places) == MOST:
                remains.has_more = True
                break
            remains.places.append(place)
        if remains.places:
            found.append(remains)
    return found


def _places(wheres: Sequence[_Where], names: Sequence[str]) -> Iterator[Place]:
    for where in wheres:
        casts = {f"text_{column}": Cast(column, TextField()) for column in where.columns}
        rows = where.model._default_manager.select_related(*where.related).alias(**casts)  # noqa: SLF001
        wanted = Q()
        for column in where.columns:
            for name in _spelled(where.model, column, names):
                wanted |= Q(**{f"text_{column}__icontains": name})
        for row in rows.filter(wanted).order_by("-pk")[: MOST + 1]:
            yield Place(where.words(row), where.url(row))


def _spelled(model: type[Model], column: str, names: Sequence[str]) -> set[str]:
    """JSON columns may have letters beyond ASCII as escapes; SQLite keeps them as they were written."""
    if isinstance(model._meta.get_field(column), JSONField):  # noqa: SLF001
        return {*names, *(json.dumps(name)[1:-1] for name in names)}
    return set(names)
