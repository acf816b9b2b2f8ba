"""The rows of the matrix: one model each, with a cell for each target."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q
from django.urls import reverse

from approvals import policy
from approvals.models import Probation, PromotionRequest, Status, Target, Tenure, Verdict
from mirror.models import RegisteredModel
from registry_ui.selectors.overview import coming, standings
from registry_ui.selectors.overview.question import Question
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


def requests(question: Question, found: Sequence[RegisteredModel]) -> list[PromotionRequest]:
    """The open requests for the columns of these models, and those of which something is due soon. One query."""
    shown = question.asked.filter(version__model__in=found).values("pk")
    due = PromotionRequest.objects.filter(pk__in=coming.soon(question.now).values("pk")).values("pk")
    approvals = Count("reviews", filter=Q(reviews__voided_at=None, reviews__verdict=Verdict.APPROVE))
    return list(
        PromotionRequest.objects.filter(pk__in=shown.union(due))
        .select_related("version__model", "target", "probation")
        .only(
            "kind",
            "status",
            "rule",
            "expires_at",
            "afterwards_at",
            "afterwards_due_at",
            "target__name",
            "version__number",
            "version__model__name",
            "probation__ends_at",
            "probation__closed_at",
        )
        .annotate(given=approvals)
        .order_by("pk")
    )


def rows(question: Question, found: Sequence[RegisteredModel], asked: Sequence[PromotionRequest]) -> list[Row]:
    """In the order of the models; `asked` are their `requests`. One query."""
    targets = question.targets
    held: defaultdict[tuple[str, int], list[Tenure]] = defaultdict(list)
    for tenure in _tenures(found, targets):
        held[tenure.model_name, tenure.target_id].append(tenure)
    waits: defaultdict[tuple[int, int], list[Asked]] = defaultdict(list)
    for request in asked:
        if request.is_open:
            waits[request.version.model_id, request.target_id].append(_asked(request))
    return [
        Row(
            model,
            getattr(model, "group", ""),
            [
                Cell(each, _held(held.get((model.name, each.pk), [])), waits.get((model.pk, each.pk), []))
                for each in targets
            ],
        )
        for model in found
    ]


def _tenures(found: Sequence[RegisteredModel], targets: Sequence[Target]) -> Iterable[Tenure]:
    """That of a stage before that of an alias, the highest version first: the first is what serving code loads."""
    return sorted(
        Tenure.objects.open()
        .filter(model_name__in=[each.name for each in found], target__in=targets)
        .annotate(rank=standings.RANK)
        .select_related("request__probation")
        .only(
            "model_name",
            "version_number",
            "target_id",
            "place",
            "origin",
            "started_at",
            "request__status",
            "request__probation__ends_at",
            "request__probation__closed_at",
        ),
        key=lambda each: (each.is_alias, -each.version_number),
    )


def _asked(request: PromotionRequest) -> Asked:
    given = getattr(request, "given", 0)
    return Asked(request, given, policy.Rule.from_json(request.rule).approvals)


def _held(tenures: Sequence[Tenure]) -> Held | None:
    if not tenures:
        return None
    first = tenures[0]
    worst = max(tenures, key=lambda each: each.rank)  # type: ignore[attr-defined]  # annotated
    own = [each for each in tenures if each.version_number == first.version_number]
    until = [at for each in own if (at := _probation_until(each))]
    return Held(
        number=first.version_number,
        url=reverse("version", args=[first.model_name, first.version_number]),
        since=first.started_at,
        standing=Standing(worst.rank),  # type: ignore[attr-defined]
        request_id=first.request_id,
        probation_until=min(until, default=None),
        is_first_seen=first.origin == Tenure.Origin.FOUND,
        beside=sorted({each.version_number for each in tenures} - {first.version_number}, reverse=True),
    )


def _probation_until(tenure: Tenure) -> datetime | None:
    """While it runs."""
    probation: Probation | None = getattr(tenure.request, "probation", None) if tenure.request else None
    return probation.ends_at if probation and probation.closed_at is None else None
