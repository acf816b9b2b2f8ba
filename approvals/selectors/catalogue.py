"""The list of models and the versions of one model, with everything their rows show, in a fixed number of queries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, QuerySet, Subquery

from accounts.models import User
from approvals.models import PromotionRequest, Status, Target
from approvals.models.requests import OPEN, RequestQuerySet
from approvals.selectors import target_holders
from approvals.selectors.target_holders import Holding
from mirror import composed
from mirror.models import HEAVY, Alias, ModelVersion, RegisteredModel

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
        # By their numbers: PostgreSQL would hold each model against each open request.
        found = found.filter(pk__in={pk for (pk,) in composed.rows(_asked_for)})
    elif show == "idle":
        found = found.filter(~_in_a_stage(targets), ~_under_an_alias(targets))
    fields = SORTS[sort.removeprefix("-")]
    return found.order_by(*(F(name).desc() if sort.startswith("-") else F(name).asc() for name in fields))


def _asked_for() -> "QuerySet[Any, Any]":
    known = PromotionRequest.objects.open().order_by().values("pk")  # which an index alone has
    return PromotionRequest.objects.filter(pk__in=known).values_list("version__model")


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
    known = tuple(one.pk for one in page)
    newest, asked = dict(composed.objects(_newest, known)), dict(composed.objects(_asked, known))
    return [
        ModelRow(
            one,
            [held[one.pk].get(target.pk, Vacancy(target)) for target in targets],
            newest[one.pk],
            asked.get(one.pk, 0),
        )
        for one in page
    ]


def _newest(models: tuple[int, ...]) -> QuerySet[Any, Any]:
    """One by one along the index: a group would read every version of these models."""
    its = ModelVersion.objects.filter(model=OuterRef("pk"), deleted_at=None).order_by("-number").values("number")[:1]
    return RegisteredModel.objects.filter(pk__in=models).values_list("pk", Subquery(its))


def _asked(models: tuple[int, ...]) -> QuerySet[Any, Any]:
    found = PromotionRequest.objects.open().filter(version__model__in=models).values_list("version__model_id")
    return found.annotate(Count("pk")).order_by()


def versions(model: RegisteredModel) -> "QuerySet[ModelVersion]":
    """Newest first, deleted ones included, without their heavy columns."""
    return ModelVersion.objects.filter(model=model).defer(*HEAVY).order_by("-number")


def version_rows(page: Sequence[ModelVersion], metrics: Sequence[str]) -> list[VersionRow]:
    """What the rows of one model's versions say. Three queries."""
    rows = {each.pk: VersionRow(each, [(name, each.metrics.get(name)) for name in metrics]) for each in page}
    by_number = {version.number: rows[version.pk] for version in page}
    for name, number in aliases(page):
        by_number[number].aliases.append(name)
    for request in composed.objects(_applied_or_open, tuple(rows)):
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
    return composed.objects(_aliases, page[0].model_id, tuple(version.number for version in page))


def _aliases(model: int, numbers: tuple[int, ...]) -> QuerySet[Any, tuple[str, int]]:
    return Alias.objects.filter(model=model, number__in=numbers).order_by("name").values_list("name", "number")


def _applied_or_open(versions: tuple[int, ...]) -> RequestQuerySet:
    return _requests(versions).filter(status__in=(Status.APPLIED, *OPEN))


def requests_of(page: Sequence[ModelVersion]) -> RequestQuerySet:
    """Newest first, with what a row names and without the frozen evidence."""
    return _requests([each.pk for each in page])


def _requests(versions: Sequence[int]) -> RequestQuerySet:
    return (
        PromotionRequest.objects.filter(version__in=versions)
        .select_related("target", "requester")
        .defer("evidence", "rule")
        .order_by("-pk")
    )
