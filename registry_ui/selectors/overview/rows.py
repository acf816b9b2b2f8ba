"""The rows of the matrix: one model each, with a cell for each target."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import OuterRef, Subquery

from approvals import policy
from approvals.evidence import comparison
from approvals.evidence.comparison import MetricRow
from approvals.models import Probation, PromotionRequest, Status, Target, Tenure
from approvals.policy import MetricRule
from approvals.selectors import metrics_of_record
from components import addresses
from mirror.models import ModelVersion, RegisteredModel
from registry_ui.selectors.overview import standings
from registry_ui.selectors.overview.question import Question
from registry_ui.selectors.overview.requests import Known
from registry_ui.selectors.overview.standings import Standing


@dataclass(frozen=True, slots=True)
class Held:
    """What holds one target of one model."""

    number: int
    url: str
    since: datetime
    """When it began; of what was there before the gate, when that was first seen."""

    standing: Standing
    request_id: int | None
    probation_until: datetime | None
    metric: MetricRow | None
    """The metric of record, beside that of the version which held the target when this one was asked for."""

    beside: Sequence[int]
    """Other versions that hold the target too."""

    is_first_seen: bool
    """Since when it holds the target is not known."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An open request for one target of one model."""

    request: PromotionRequest
    given: int
    needed: int

    @property
    def number(self) -> int:
        return self.request.version.number

    @property
    def words(self) -> str:
        """After the version: `waits 1/2`."""
        match self.request.status:
            case Status.PENDING:
                return f"waits {self.given}/{self.needed}"
            case Status.CHECKING:
                return "in checks"
            case Status.CHANGES_REQUESTED:
                return "changes requested"
            case Status.FAILED:
                return "delivery failed"
        return "being delivered"

    @property
    def colour(self) -> str:
        return {Status.FAILED: "red", Status.APPROVED: "blue"}.get(Status(self.request.status), "amber")


@dataclass(frozen=True, slots=True)
class Cell:
    target: Target
    held: Held | None
    asked: Sequence[Asked]

    @property
    def is_vacant(self) -> bool:
        """Nothing holds it and nothing is asked for."""
        return self.held is None and not self.asked


@dataclass(frozen=True, slots=True)
class Row:
    model: RegisteredModel
    group: str
    cells: Sequence[Cell]
    """One per target, in their order."""


def rows(question: Question, found: Sequence[RegisteredModel], known: Sequence[Known]) -> list[Row]:
    """In the order of the models; `known` are their requests. Two queries."""
    targets, yardsticks = question.targets, metrics_of_record.load()
    held: defaultdict[tuple[str, int], list[Tenure]] = defaultdict(list)
    for tenure in _tenures(found, targets):
        held[tenure.model_name, tenure.target_id].append(tenure)
    waits: defaultdict[tuple[int, int], list[Asked]] = defaultdict(list)
    for each in known:
        if each.request.is_open:
            waits[each.request.version.model_id, each.request.target_id].append(_asked(each))
    return [
        Row(
            model,
            getattr(model, "group", ""),
            [
                Cell(
                    target,
                    _held(held.get((model.name, target.pk), []), yardsticks.of(model, target)),
                    waits.get((model.pk, target.pk), []),
                )
                for target in targets
            ],
        )
        for model in found
    ]


def _tenures(found: Sequence[RegisteredModel], targets: Sequence[Target]) -> Iterable[Tenure]:
    """That of a stage before that of an alias, the highest version first: the first is what serving code loads."""
    version = ModelVersion.objects.filter(model__name=OuterRef("model_name"), number=OuterRef("version_number"))
    return sorted(
        Tenure.objects.open()
        .filter(model_name__in=[each.name for each in found], target__in=targets)
        .annotate(rank=standings.RANK, metrics=Subquery(version.values("metrics")[:1]))
        .select_related("request__probation", "request__champion")
        .only(
            "model_name",
            "version_number",
            "target_id",
            "place",
            "origin",
            "started_at",
            "request__version",
            "request__champion__number",
            "request__champion__metrics",
            "request__probation__ends_at",
            "request__probation__closed_at",
        ),
        key=lambda each: (each.is_alias, -each.version_number),
    )


def _asked(known: Known) -> Asked:
    return Asked(known.request, len(known.approvers), policy.Rule.from_json(known.request.rule).approvals)


def _held(tenures: Sequence[Tenure], metrics: Sequence[MetricRule]) -> Held | None:
    if not tenures:
        return None
    first = tenures[0]
    worst = max(tenures, key=lambda each: each.rank)  # type: ignore[attr-defined]  # annotated
    own = [each for each in tenures if each.version_number == first.version_number]
    until = [at for each in own if (at := _probation_until(each))]
    return Held(
        number=first.version_number,
        url=addresses.reverse("version", first.model_name, first.version_number),
        since=first.started_at,
        standing=Standing(worst.rank),  # type: ignore[attr-defined]
        request_id=first.request_id,
        probation_until=min(until, default=None),
        is_first_seen=first.origin == Tenure.Origin.FOUND,
        metric=_of_record(first, metrics),
        beside=sorted({each.version_number for each in tenures} - {first.version_number}, reverse=True),
    )


def _probation_until(tenure: Tenure) -> datetime | None:
    """While it runs."""
    probation: Probation | None = getattr(tenure.request, "probation", None) if tenure.request else None
    return probation.ends_at if probation and probation.closed_at is None else None


def _of_record(tenure: Tenure, metrics: Sequence[MetricRule]) -> MetricRow | None:
    own = getattr(tenure, "metrics", None)
    before = tenure.request.replaces if tenure.request else None
    rows = comparison.metric_rows(own or {}, before.metrics if before else None, rules=metrics)
    return comparison.of_record(rows) if own else None
