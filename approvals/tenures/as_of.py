"""Time travel: what held each target of each model at a moment, on whose approval, and how far that is known. Built on
tenures alone; a fixed number of queries for a page of models."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Q, QuerySet

from approvals.models import PromotionRequest, RequestKind, Review, Target, Tenure, Verdict
from approvals.tenures import labels
from mirror.models import ModelVersion

MODELS_PER_PAGE = 25


@dataclass(frozen=True, slots=True)
class Question:
    """`moment` is aware. `model` is a name, or, where no model is called exactly that, a part of names."""

    moment: datetime
    model: str = ""
    target: Target | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """One version in one target at the moment. Places whose tenures are alike are told together."""

    moment: datetime
    tenures: tuple[Tenure, ...]
    approvals: Sequence[Review]
    """Approvals that stand, in the order in which they were given."""

    loaded_as: Sequence[str]
    """What serving code wrote to get this version then: `models:/churn_predictor/Production`."""

    is_mirrored: bool
    """Whether the version has a page."""

    @property
    def tenure(self) -> Tenure:
        return self.tenures[0]

    @property
    def number(self) -> int:
        return self.tenure.version_number

    @property
    def places(self) -> list[str]:
        return [each.place for each in self.tenures]

    @property
    def request(self) -> PromotionRequest | None:
        return self.tenure.request

    @property
    def is_possible(self) -> bool:
        """It was seen only later, and MLflow may have had it so at the moment already."""
        return self.tenure.started_at > self.moment

    @property
    def may_have_ended(self) -> bool:
        """MLflow last said so before the moment, and said otherwise after it."""
        return self.tenure.ended_after is not None and self.tenure.ended_after <= self.moment

    @property
    def is_approved_later(self) -> bool:
        """Its approvals were given after the moment."""
        return bool(self.approvals) and all(each.created_at > self.moment for each in self.approvals)

    @property
    def has_certificate(self) -> bool:
        return bool(self.approvals) and self.request is not None and self.request.kind == RequestKind.PROMOTION

    @property
    def how(self) -> str:
        return labels.sentence(self.tenure)

    @property
    def short(self) -> str:
        return labels.short(self.tenure)

    @property
    def icon(self) -> str:
        return labels.ICONS[labels.look(self.tenure)]

    @property
    def colour(self) -> str:
        return labels.COLOURS[labels.look(self.tenure)]


@dataclass(frozen=True, slots=True)
class ModelThen:
    """What one model's targets were held by; only targets that something held."""

    name: str
    targets: Sequence[tuple[Target, Sequence[Holder]]]

    @property
    def is_mirrored(self) -> bool:
        """Whether the model has a page; one whose history was imported may never have been seen in MLflow."""
        return any(holder.is_mirrored for _, holders in self.targets for holder in holders)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The last change before a moment and the first one after it."""

    before: datetime | None
    after: datetime | None


def narrowed(question: Question) -> QuerySet[Tenure]:
    """Tenures of the models and the target that are asked about, of all times. At most one query."""
    found = Tenure.objects.all()
    if question.target is not None:
        found = found.filter(target=question.target)
    if question.model:
        is_exact = Tenure.objects.filter(model_name=question.model).exists()
        found = found.filter(**{"model_name" if is_exact else "model_name__icontains": question.model})
    return found


def page_of(question: Question, number: str | int | None, *, size: int = MODELS_PER_PAGE) -> "Page[str]":
    """The names of the models that had a holder then, `size` a page; nonsense gives the first page. Two queries, and
    that of `narrowed`."""
    names = _then(narrowed(question), question.moment).order_by("model_name")
    return Paginator(names.values_list("model_name", flat=True).distinct(), size).get_page(number)


def names_after(question: Question, name: str, *, most: int) -> list[str]:
    """The first so many names, after this one, of models that had a holder then. One query, and that of `narrowed`."""
    names = _then(narrowed(question), question.moment).filter(model_name__gt=name).order_by("model_name")
    return list(names.values_list("model_name", flat=True).distinct()[:most])


def models(question: Question, names: Sequence[str]) -> list[ModelThen]:
    """What held the targets of these models at the moment, in the order of `names`. Three queries."""
    found = _then(Tenure.objects.filter(model_name__in=names), question.moment)
    if question.target is not None:
        found = found.filter(target=question.target)
    rows = list(found.select_related("target", "request__requester", "request__afterwards_by").defer(*_HEAVY))
    approvals = approvals_of(each.request_id for each in rows if each.request_id)
    mirrored = _mirrored(rows)
    grouped: defaultdict[str, defaultdict[Target, list[Tenure]]] = defaultdict(lambda: defaultdict(list))
    for row in sorted(rows, key=lambda each: (each.target.position, each.target.name)):
        grouped[row.model_name][row.target].append(row)
    return [
        ModelThen(
            name,
            [
                (target, _holders(question.moment, held, approvals, mirrored))
                for target, held in grouped.get(name, {}).items()
            ],
        )
        for name in names
    ]


def holders_at(moment: datetime) -> dict[tuple[str, str, str], list[int]]:
    """(model, target's name, place) to the numbers of the versions that held it then, ascending; everything at once,
    so for checks rather than for pages. One query."""
    found: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
    rows = Tenure.objects.at(moment).order_by("version_number")
    for name, target, place, number in rows.values_list("model_name", "target__name", "place", "version_number"):
        found[name, target, place].append(number)
    return dict(found)


def neighbours(question: Question) -> Neighbours:
    """Changes are beginnings and ends of tenures. Four queries, and that of `narrowed`."""
    found, at = narrowed(question), question.moment
    before = [
        found.filter(**{f"{field}__lt": at}).order_by(f"-{field}").values_list(field, flat=True).first()
        for field in ("started_at", "ended_at")
    ]
    after = [
        found.filter(**{f"{field}__gt": at}).order_by(field).values_list(field, flat=True).first()
        for field in ("started_at", "ended_at")
    ]
    return Neighbours(
        before=max((each for each in before if each is not None), default=None),
        after=min((each for each in after if each is not None), default=None),
    )


def beginning() -> datetime | None:
    """The first moment of which anything is known. One query."""
    first: datetime | None = Tenure.objects.order_by("started_at").values_list("started_at", flat=True).first()
    return first


def names_in(question: Question, *, since: datetime, until: datetime, most: int) -> list[str]:
    """The first models by name whose tenures touch the span. One query, and that of `narrowed`."""
    found = narrowed(question).filter(started_at__lte=until).filter(Q(ended_at=None) | Q(ended_at__gte=since))
    return list(found.order_by("model_name").values_list("model_name", flat=True).distinct()[:most])


def of_span(
    names: Iterable[str], *, since: datetime, until: datetime, target: Target | None, most: int
) -> tuple[list[Tenure], bool]:
    """Tenures of these models that touch the span, oldest first, at most so many (the newest), and whether there are
    more. One query."""
    found = Tenure.objects.filter(model_name__in=list(names), started_at__lte=until)
    found = found.filter(Q(ended_at=None) | Q(ended_at__gte=since))
    if target is not None:
        found = found.filter(target=target)
    rows = list(found.select_related("target", "request").defer(*_HEAVY).order_by("-started_at", "-pk")[: most + 1])
    return rows[:most][::-1], len(rows) > most


def approvals_of(request_ids: Iterable[int]) -> dict[int, list[Review]]:
    """The approvals that stand, by request, in the order in which they were given. One query."""
    given: defaultdict[int, list[Review]] = defaultdict(list)
    rows = Review.objects.live().filter(request__in=set(request_ids), verdict=Verdict.APPROVE)
    for review in rows.select_related("reviewer").order_by("created_at", "pk"):
        given[review.request_id].append(review)
    return dict(given)


_HEAVY = ("request__evidence", "request__rule", "request__parts", "request__justification")


def _then(found: QuerySet[Tenure], moment: datetime) -> QuerySet[Tenure]:
    """What ran at the moment, and what was seen only later and may have run. The first comparison holds for both (what
    was found has no `started_after` later than its start), and keeps what came much later out."""
    begun = Q(started_at__lte=moment) & (Q(ended_at=None) | Q(ended_at__gt=moment))
    return found.filter(begun | Q(started_after__lte=moment, started_at__gt=moment))


def _holders(
    moment: datetime,
    held: Sequence[Tenure],
    approvals: dict[int, list[Review]],
    mirrored: set[tuple[str, int]],
) -> list[Holder]:
    """The one that the stage's address loads first: MLflow answers with the highest number. What is only possible comes
    last."""
    alike: defaultdict[tuple[Any, ...], list[Tenure]] = defaultdict(list)
    for tenure in sorted(held, key=lambda each: each.is_alias):
        span = (tenure.started_at, tenure.started_after, tenure.ended_at, tenure.ended_after, tenure.end)
        alike[(tenure.version_number, tenure.origin, tenure.request_id, *span)].append(tenure)
    sure = [each for each in held if each.started_at <= moment]
    top = {place: max(t.version_number for t in sure if t.place == place) for place in {t.place for t in sure}}
    found = [
        Holder(
            moment,
            tuple(group),
            approvals.get(group[0].request_id or 0, []),
            [
                address(each)
                for each in group
                if each.started_at <= moment and top.get(each.place) == each.version_number
            ],
            (group[0].model_name, group[0].version_number) in mirrored,
        )
        for group in alike.values()
    ]
    return sorted(found, key=lambda each: (each.is_possible, each.tenure.is_alias, -each.number))


def address(tenure: Tenure) -> str:
    """`models:/churn_predictor/Production` or `models:/churn_predictor@champion`."""
    return f"models:/{tenure.model_name}{'' if tenure.is_alias else '/'}{tenure.place}"


def _mirrored(rows: Sequence[Tenure]) -> set[tuple[str, int]]:
    numbers = {each.version_number for each in rows}
    found = ModelVersion.objects.filter(model__name__in={each.model_name for each in rows}, number__in=numbers)
    return set(found.values_list("model__name", "number"))


def as_plain(name: str, target: Target, holder: Holder) -> dict[str, Any]:
    """One holder as plain data for machines, times aware. `docs/workflow.md` explains each field."""
    tenure, request = holder.tenure, holder.request
    return {
        "model": name,
        "target": target.name,
        "version": holder.number,
        "places": holder.places,
        "loaded_as": list(holder.loaded_as),
        "is_possible": holder.is_possible,
        "may_have_ended": holder.may_have_ended,
        "since": tenure.started_at,
        "not_before": tenure.started_after,
        "until": tenure.ended_at,
        "held_until_at_least": tenure.ended_after,
        "origin": str(tenure.origin),
        "how": holder.how,
        "end": str(tenure.end),
        "request": None
        if request is None
        else {
            "number": request.pk,
            "kind": str(request.kind),
            "requested_by": request.requester.label,
            "fingerprint": request.fingerprint,
        },
        "approvals": [
            {"by": each.reviewer.label, "meaning": each.meaning or "approved", "at": each.created_at}
            for each in holder.approvals
        ],
        "records": None
        if tenure.origin != Tenure.Origin.IMPORTED
        else {"requested_by": tenure.requested_by, "approved_by": tenure.approved_by, "note": tenure.note},
        "event": tenure.start_sequence,
    }
