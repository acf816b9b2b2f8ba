"""The list of models and the versions of one model, with everything their rows show, in a fixed number of queries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Exists, F, Max, OuterRef, QuerySet

from accounts.models import User
from approvals.models import PromotionRequest, Status, Target
from approvals.models.requests import OPEN, RequestQuerySet
from mirror.models import HEAVY, Alias, ModelVersion, RegisteredModel
from registry_ui.selectors import target_holders
from registry_ui.selectors.target_holders import Holding

SORTS = {"name": ("name",), "changed": ("last_updated_at", "name")}
SHOWN = {"": "All models", "open": "With open requests", "idle": "Holding nothing", "deleted": "Deleted in MLflow"}


@dataclass(frozen=True, slots=True)
class Vacancy:
    """Nothing holds the target."""

    target: Target
    version: None = None


@dataclass
class ModelRow:
    model: RegisteredModel
    cells: list[Holding | Vacancy]
    """One per target, in their order."""
    newest: int | None
    open_requests: int

    @property
    def can_be_requested(self) -> bool:
        """Its newest version is worth a request: there is one, none is open, and it is not in the last target yet."""
        there = self.cells[-1].version if self.cells else None
        is_there = there is not None and there.number == self.newest
        return self.newest is not None and not (self.open_requests or is_there or self.model.deleted_at)


@dataclass
class Approval:
    """Through which request a version reached a target, and who let it."""

    request: PromotionRequest
    people: list[User]


@dataclass
class VersionRow:
    version: ModelVersion
    figures: list[tuple[str, Any]]
    """The key metrics, None where this version has no such metric."""
    aliases: list[str] = field(default_factory=list)
    approvals: list[Approval] = field(default_factory=list)
    open_requests: list[PromotionRequest] = field(default_factory=list)


def models(*, q: str, show: str, sort: str, targets: Sequence[Target]) -> "QuerySet[RegisteredModel]":
    """`sort` is a key of SORTS, with "-" in front for descending. Deleted models only where `show` asks for them."""
    found = RegisteredModel.objects.filter(deleted_at__isnull=show != "deleted")
    if q:
        found = found.filter(name__icontains=q)
    if show == "open":
        found = found.filter(pk__in=PromotionRequest.objects.open().values("version__model"))
    elif show == "idle":
        found = found.filter(~_in_a_stage(targets), ~_under_an_alias(targets))
    fields = SORTS[sort.removeprefix("-")]
    return found.order_by(*(F(name).desc() if sort.startswith("-") else F(name).asc() for name in fields))


def _in_a_stage(targets: Sequence[Target]) -> Exists:
    stages = [target.stage for target in targets if target.stage]
    return Exists(ModelVersion.objects.filter(model=OuterRef("pk"), stage__in=stages, deleted_at=None))


def _under_an_alias(targets: Sequence[Target]) -> Exists:
    names = [target.alias for target in targets if target.alias]
    held = ModelVersion.objects.filter(model=OuterRef("model"), number=OuterRef("number"), deleted_at=None)
    return Exists(Alias.objects.filter(Exists(held), model=OuterRef("pk"), name__in=names))


def model_rows(page: Sequence[RegisteredModel], targets: Sequence[Target]) -> list[ModelRow]:
    """One row for each model of the page, in its order, with a holding or vacancy for each target. A fixed number of
    queries."""
    held = {
        pk: {holding.target.pk: holding for holding in found} for pk, found in target_holders.of(page, targets).items()
    }
    newest = dict(
        ModelVersion.objects.filter(model__in=page, deleted_at=None).values_list("model_id").annotate(Max("number"))
    )
    asked = dict(
        PromotionRequest.objects.open()
        .filter(version__model__in=page)
        .values_list("version__model_id")
        .annotate(Count("pk"))
        .order_by()
    )
    return [
        ModelRow(
            one,
            [held[one.pk].get(target.pk, Vacancy(target)) for target in targets],
            newest.get(one.pk),
            asked.get(one.pk, 0),
        )
        for one in page
    ]


def versions(model: RegisteredModel) -> "QuerySet[ModelVersion]":
    """Newest first, deleted ones included, without their heavy columns."""
    return ModelVersion.objects.filter(model=model).defer(*HEAVY).order_by("-number")


def version_rows(page: Sequence[ModelVersion], metrics: Sequence[str]) -> list[VersionRow]:
    """What the rows of one model's versions say. Three queries."""
    rows = {each.pk: VersionRow(each, [(name, each.metrics.get(name)) for name in metrics]) for each in page}
    by_number = {version.number: rows[version.pk] for version in page}
    for name, number in aliases(page):
        by_number[number].aliases.append(name)
    asked = requests_of(page).filter(status__in=(Status.APPLIED, *OPEN))
    for request in asked:
        row = rows[request.version_id]
        if request.is_open:
            row.open_requests.append(request)
        elif all(request.target_id != known.request.target_id for known in row.approvals):
            row.approvals.append(Approval(request, []))
    people = target_holders.approvers(each.request.pk for row in rows.values() for each in row.approvals)
    for row in rows.values():
        for each in row.approvals:
            each.people = people.get(each.request.pk, [])
    return list(rows.values())


def aliases(page: Sequence[ModelVersion]) -> Iterable[tuple[str, int]]:
    """(alias, version number) of these versions of one model."""
    if not page:
        return ()
    numbers = [version.number for version in page]
    found = Alias.objects.filter(model=page[0].model_id, number__in=numbers).order_by("name")
    return found.values_list("name", "number")


def requests_of(page: Sequence[ModelVersion]) -> RequestQuerySet:
    """Newest first, with what a row names and without the frozen evidence."""
    return (
        PromotionRequest.objects.filter(version__in=page)
        .select_related("target", "requester")
        .defer("evidence", "rule")
        .order_by("-pk")
    )
