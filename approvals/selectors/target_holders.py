"""Who holds which target of which model, since when, and whether the gate put it there. A fixed number of queries for
any number of models; the definition of a champion is that of `approvals.selectors`. How it got there is what its tenure
says; where the watch has not made one yet, what the applied requests say."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Max, QuerySet

from accounts.models import User
from approvals.models import PromotionRequest, Review, Status, Target, Tenure, Verdict
from approvals.tenures import labels
from mirror import composed
from mirror.models import HEAVY, Alias, ModelVersion, RegisteredModel

GATE, BEFORE, OUTSIDE = "gate", "before", "outside"


@dataclass(frozen=True, slots=True)
class Holding:
    """One version holds one target."""

    target: Target
    version: ModelVersion
    via: str
    """`gate`: a request put it there. `before`: it was there when Countersign first looked, or, without a tenure, no
    request for this target was ever applied. `outside`: a person changed MLflow directly."""

    since: datetime | None = None
    """When MLflow was changed, for `gate`; when that was seen, for `outside`, where it is known."""

    request_id: int | None = None
    tenure: Tenure | None = None
    """What the watch has of it; None where it has not seen it yet."""

    has_alias: bool = False
    """The target's alias names it, in the mirror."""

    @property
    def before_the_gate(self) -> str:
        """What `before` means for this one."""
        if self.request_id:
            return "It was there before; a request has approved it since."
        return "No request put it there; it was there before."


def of(models: Sequence[RegisteredModel], targets: Sequence[Target]) -> dict[int, list[Holding]]:
    """The champions of each model by its primary key, in the order of the targets; targets that nothing holds are
    left out. Four queries; a fifth where the watch has not seen one of them yet."""
    numbers, named = _champion_numbers(models, targets)
    by_pk = {model.pk: model for model in models}
    wanted = {(model_id, number) for (model_id, _), number in numbers.items()}
    found = composed.objects(_versions, tuple(by_pk), tuple(sorted({number for _, number in wanted})))
    versions = {(row.model_id, row.number): row for row in found if (row.model_id, row.number) in wanted}
    running = _running(models, targets)
    unseen = {
        pk
        for (pk, target), number in numbers.items()
        if (pk, number) in versions and (by_pk[pk].name, target, number) not in running
    }
    applied = _applied(unseen, targets) if unseen else {}
    result: dict[int, list[Holding]] = {pk: [] for pk in by_pk}
    for target in targets:
        for pk, model in by_pk.items():
            version = versions.get((pk, numbers.get((pk, target.pk), 0)))
            if version is not None:
                version.model = model
                tenure = running.get((model.name, target.pk, version.number))
                holding = (
                    _known(target, version, tenure)
                    if tenure is not None
                    else _holding(target, version, applied.get((pk, target.pk), {}))
                )
                has_alias = named.get((pk, target.pk)) == version.number
                result[pk].append(replace(holding, has_alias=True) if has_alias else holding)
    return result


def _versions(models: tuple[int, ...], numbers: tuple[int, ...]) -> QuerySet[ModelVersion]:
    return ModelVersion.objects.filter(model__in=models, number__in=numbers, deleted_at=None).defer(*HEAVY)


Numbers = dict[tuple[int, int], int]
"""(model, target) to the number of a version."""


def _champion_numbers(models: Sequence[RegisteredModel], targets: Sequence[Target]) -> tuple[Numbers, Numbers]:
    """The highest version in the target's stage, else the one with its alias; and the one with its alias alone."""
    stages = {target.stage: target.pk for target in targets if target.stage}
    aliases = {target.alias: target.pk for target in targets if target.alias}
    known = tuple(model.pk for model in models)
    found = composed.objects(_named, known, tuple(aliases))
    named = {(model, aliases[name]): number for model, name, number in found}
    staged = composed.objects(_staged, known, tuple(stages))
    return named | {(model, stages[stage]): number for model, stage, number in staged}, named


def _named(models: tuple[int, ...], aliases: tuple[str, ...]) -> QuerySet[Any, Any]:
    return Alias.objects.filter(model__in=models, name__in=aliases).values_list("model_id", "name", "number")


def _staged(models: tuple[int, ...], stages: tuple[str, ...]) -> QuerySet[Any, Any]:
    found = ModelVersion.objects.filter(model__in=models, stage__in=stages, deleted_at=None)
    return found.values_list("model_id", "stage").annotate(Max("number"))


def _running(models: Sequence[RegisteredModel], targets: Sequence[Target]) -> dict[tuple[str, int, int], Tenure]:
    """(model's name, target, version) to its open tenure: that of the stage before that of the alias."""
    names, known = tuple(model.name for model in models), tuple(target.pk for target in targets)
    rows = composed.objects(_open, names, known)
    return {
        (row.model_name, row.target_id, row.version_number): row
        for row in sorted(rows, key=lambda row: not row.is_alias)
    }


def _open(model_names: tuple[str, ...], targets: tuple[int, ...]) -> QuerySet[Tenure]:
    found: QuerySet[Tenure] = Tenure.objects.open().filter(model_name__in=model_names, target__in=targets)
    return found.select_related("request").defer(
        "request__evidence", "request__rule", "request__parts", "request__justification"
    )


_VIA = {labels.OUTSIDE: OUTSIDE, labels.BEFORE: BEFORE, labels.IMPORTED: BEFORE}


def _known(target: Target, version: ModelVersion, tenure: Tenure) -> Holding:
    via = _VIA.get(labels.look(tenure), GATE)
    return Holding(target, version, via, None if via == BEFORE else tenure.started_at, tenure.request_id, tenure)


Applied = Mapping[int, tuple[datetime, int]]


def _applied(models: Collection[int], targets: Sequence[Target]) -> dict[tuple[int, int], Applied]:
    """(model, target) to {version: (when its last request was applied, that request)}."""
    rows = (
        PromotionRequest.objects.filter(version__model__in=models, target__in=targets, status=Status.APPLIED)
        .values_list("version__model_id", "target_id", "version_id")
        .annotate(Max("closed_at"), Max("pk"))
        .order_by()
    )
    found: dict[tuple[int, int], dict[int, tuple[datetime, int]]] = {}
    for model, target, version, at, request in rows:
        found.setdefault((model, target), {})[version] = (at, request)
    return dict(found)


def _holding(target: Target, version: ModelVersion, applied: Applied) -> Holding:
    if not applied:
        return Holding(target, version, BEFORE)
    own = applied.get(version.pk)
    # Where several versions may share a stage, a later promotion of another one takes nothing away.
    is_single = target.archives_existing or not target.stage
    if own is None or (is_single and own != max(applied.values())):
        return Holding(target, version, OUTSIDE)
    return Holding(target, version, GATE, *own)


def approvers(request_ids: Iterable[int]) -> dict[int, list[User]]:
    """The people whose approval stands, by request, in the order in which they approved. One query."""
    return {request: [each.reviewer for each in given] for request, given in approvals(request_ids).items()}


def approvals(request_ids: Iterable[int]) -> dict[int, list[Review]]:
    """The same with all that each approval says. One query."""
    found: dict[int, list[Review]] = {}
    for review in composed.objects(_approvals, tuple(request_ids)):
        found.setdefault(review.request_id, []).append(review)
    return found


def _approvals(requests: tuple[int, ...]) -> QuerySet[Review]:
    found: QuerySet[Review] = Review.objects.live().filter(request__in=requests, verdict=Verdict.APPROVE)
    return found.select_related("reviewer").order_by("created_at", "pk")
