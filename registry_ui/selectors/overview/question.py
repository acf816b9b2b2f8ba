"""Which models the overview shows and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Case, Count, F, Max, OuterRef, Q, QuerySet, Subquery, TextField, Value, When, Window
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Left, Replace, StrIndex

from approvals.models import PromotionRequest, Target, Tenure
from approvals.models.requests import UNDECIDED, RequestQuerySet
from mirror.models import RegisteredModel
from registry_ui.selectors.overview import standings
from registry_ui.selectors.overview.standings import Standing

WEEK = timedelta(days=7)
ALWAYS = datetime.max.replace(tzinfo=UTC)
STATES = {
    "": "Any state",
    "approved": "Held through approval",
    "outside": "Held without approval",
    "before": "Found before Countersign",
    "waiting": "Request waiting",
    "delivered": "Delivered in the last 7 days",
}
SORTS = {"name": "Name", "-since": "Latest change", "since": "Longest unchanged", "state": "Worst state"}
PREFIX, BY_TAG = "prefix", "tag:"


@dataclass(frozen=True, slots=True)
class Question:
    """What the address asks for."""

    targets: Sequence[Target]
    """The columns."""

    now: datetime
    q: str = ""
    tag: str = ""
    """`team`, or `team=risk`."""

    state: str = ""
    """A key of STATES."""

    sort: str = "name"
    """A key of SORTS."""

    group: str = ""
    """"", PREFIX, or BY_TAG and the tag's name."""

    @property
    def is_narrowed(self) -> bool:
        return bool(self.q or self.tag or self.state)

    @property
    def in_any_state(self) -> "Question":
        """Alike for all who ask for the same columns, name and tag: what `composed` keeps a query by. Targets are alike
        by their number, so no such query may hang on what they mean, which changes."""
        return Question(tuple(self.targets), ALWAYS, self.q, self.tag)

    @property
    def begun(self) -> QuerySet[Tenure]:
        """What ever held one of the columns, of the models that `q` and `tag` leave."""
        found = Tenure.objects.filter(target__in=self.targets)
        return found.filter(model_name__in=narrowed(self).values("name")) if self.q or self.tag else found

    @property
    def held(self) -> QuerySet[Tenure]:
        """What holds it now."""
        return self.begun.filter(ended_at=None)

    @property
    def asked(self) -> RequestQuerySet:
        """Open requests for the columns, of the same models. By their keys first, which an index alone has: the rows
        are long."""
        known = PromotionRequest.objects.order_by().open().values("pk")
        found = PromotionRequest.objects.filter(pk__in=known, target__in=self.targets)
        return found.filter(version__model__in=narrowed(self).values("pk")) if self.q or self.tag else found


def narrowed(question: Question) -> QuerySet[RegisteredModel]:
    """By name and tag alone."""
    found = RegisteredModel.objects.filter(deleted_at=None)
    if question.q:
        found = found.filter(name__icontains=question.q)
    key, has_value, value = (part.strip() for part in question.tag.partition("="))
    if key:
        found = found.alias(told=_tag(key))
        found = found.filter(told=value) if has_value else found.filter(told__isnull=False)
    return found


def _tag(key: str) -> Cast:
    """Its value as text; without the cast, what it is compared with would be read as JSON."""
    return Cast(KeyTextTransform(key, "tags"), TextField())


def models(question: Question) -> QuerySet[RegisteredModel]:
    """Those that hold one of the targets or are asked for, in order; each with its `group` and the `total` of all."""
    held, asked = question.held, question.asked
    match question.state:
        case "approved":
            which = Q(name__in=standings.names(held, Standing.APPROVED))
        case "before":
            which = Q(name__in=standings.names(held, Standing.BEFORE))
        case "outside":
            which = Q(name__in=standings.names(held, Standing.EMERGENCY, Standing.OUTSIDE))
        case "waiting":
            which = Q(pk__in=asked.filter(status__in=UNDECIDED).values("version__model"))
        case "delivered":
            begun = held.filter(origin=Tenure.Origin.DELIVERY, started_at__gt=question.now - WEEK)
            which = Q(name__in=begun.values("model_name"))
        case _:
            which = Q(name__in=held.values("model_name")) | Q(pk__in=asked.values("version__model"))
    found = _grouped(narrowed(question).filter(which), question.group)
    order = [F("group").asc(nulls_last=True), *_order(question)]
    return found.annotate(total=Window(Count("*"))).order_by(*order).defer("description")


def _grouped(found: QuerySet[RegisteredModel], group: str) -> QuerySet[RegisteredModel]:
    """A prefix ends before the first of `_ - . /`; a name without one is a group by itself. Models without the tag make
    one group, which has no name."""
    if group.startswith(BY_TAG):
        return found.annotate(group=_tag(group.removeprefix(BY_TAG)))
    if group != PREFIX:
        return found.annotate(group=Value(""))
    name: Any = F("name")
    for mark in "-./":
        name = Replace(name, Value(mark), Value("_"))
    cut = StrIndex(name, Value("_"))
    return found.alias(cut=cut).annotate(group=Case(When(cut__gt=1, then=Left("name", F("cut") - 1)), default="name"))


def _order(question: Question) -> list[Any]:
    # The same by the constraint; by `ended_at`, SQLite would look through all that run for each model.
    open_ones = Tenure.objects.filter(end="") if connection.vendor == "sqlite" else Tenure.objects.open()
    running = open_ones.filter(target__in=question.targets, model_name=OuterRef("name"))
    ran = running.order_by().values("model_name")
    match question.sort:
        case "state":
            worst = Subquery(ran.annotate(rank=Max(standings.RANK)).values("rank"))
            return [worst.desc(nulls_last=True), "name"]
        case "since":
            return [Subquery(ran.annotate(at=Max("started_at")).values("at")).asc(nulls_last=True), "name"]
        case "-since":
            return [Subquery(ran.annotate(at=Max("started_at")).values("at")).desc(nulls_last=True), "name"]
    return ["name"]
