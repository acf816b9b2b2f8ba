"""Evidence for an audit: the population of a period, and a sample of it that anybody can draw again."""

import json
from datetime import datetime
from typing import Annotated, Any

from django.http import HttpResponse
from django.utils import timezone
from ninja import Query, Router

from api import cursors
from api.auth import ApiRequest, Token, need
from api.problems import Problem
from api.schemas import Moment, RequestLink, Shape, request_link
from approvals import administration
from approvals.audit import sampling, tally, units
from approvals.audit.periods import Period
from approvals.audit.population import Scope
from approvals.models import Target
from approvals.tenures.model_names import is_known

router = Router(tags=["Audit"], auth=Token("audit:read"))

Since = Annotated[Moment, Query(..., description="The first moment.")]
Until = Annotated[Moment | None, Query(None, description="The end, which is no part of it; without it: now.")]
Named = Annotated[str, Query("", max_length=256)]
Size = Annotated[int, Query(sampling.DEFAULT_SIZE, ge=1, le=sampling.LARGEST)]
Seed = Annotated[str, Query("", max_length=200)]


class Unit(Shape):
    """One delivery, revert or change outside Countersign, with all that it changed."""

    unit: str
    at: datetime
    not_before: datetime | None
    model: str
    target: str
    place: str
    changes: int
    what: str
    cause: str
    how: str
    event: int | None
    request: RequestLink | None
    requested_by: str
    requested_through: str
    """The API token, its owner, its address and the run of the pipeline; empty where a person used the pages."""

    allowed_by: str
    incident: int | None
    resolution: str


class Population(Shape):
    items: list[Unit]
    next: str | None
    total: int
    since: datetime
    until: datetime
    """The population ends here: nothing that came later is in it, on any of its pages."""


class SampleOut(Shape):
    items: list[Unit]
    """In the order in which they were drawn."""

    total: int
    seed: str
    is_default_seed: bool
    """The seed is the hash of the last event of the period."""

    since: datetime
    until: datetime


@router.get("/audit/population", response=Population, summary="All changes of a period, oldest first")
def list_population(
    request: ApiRequest,
    response: HttpResponse,
    since: Since,
    until: Until = None,
    model: Named = "",
    target: Named = "",
    limit: cursors.Limit = cursors.FIRST,
    cursor: cursors.Cursor = "",
) -> dict[str, Any]:
    """For those who may export. The export is an event, written with the first page; the population ends before it."""
    # Of this account and this scope alone: the event that the first page wrote says what was exported to whom.
    key = json.dumps(["population", request.auth.user.pk, since.isoformat(), model, target])
    place = cursors.read(cursor, key)
    scope = _scope(since, until, model, target)
    if place is None:
        own = administration.record_evidence(by=request.auth.user, what="population", filters=scope.filters, form="api")
        first, scope = 0, scope.before(own)
    else:
        first, scope = int(place[0]), _scope(since, datetime.fromisoformat(place[1]), model, target)
        need(request.auth.user, administration.EXPORT)
    total = tally.of(scope).total
    ids = units.between(scope, first, first + limit, total=total)
    is_last = first + limit >= total
    end = scope.period.until
    page = cursors.Page(ids, None if is_last else cursors.write([first + limit, end.isoformat()], key))
    listed = cursors.listed(request, response, page, [_told(each) for each in units.of(ids)])
    return listed | {"total": total, "since": scope.period.since, "until": end}


@router.get("/audit/sample", response=SampleOut, summary="A random sample of a period")
def draw_sample(
    request: ApiRequest,
    since: Since,
    until: Until = None,
    model: Named = "",
    target: Named = "",
    size: Size = sampling.DEFAULT_SIZE,
    seed: Seed = "",
) -> SampleOut:
    """The same period, seed and size draw the same units. Without a seed it is the hash of the last event of the
    period, which no one chose. The export is an event."""
    scope = _scope(since, until, model, target)
    own = administration.record_evidence(
        by=request.auth.user, what="sample", filters=scope.filters, form="api", seed=seed, size=size
    )
    scope = scope.before(own)
    counted = tally.of(scope)
    drawn = sampling.draw(scope, seed=seed, size=size, counted=counted)
    return SampleOut(
        items=[_told(each) for each in units.of(drawn.ids)],
        total=counted.total,
        seed=drawn.seed,
        is_default_seed=drawn.is_default_seed,
        since=scope.period.since,
        until=scope.period.until,
    )


def _scope(since: datetime, until: datetime | None, model: str, target: str) -> Scope:
    """Raises Problem 422."""
    until = until or timezone.now()
    if since >= until:
        raise _wrong("until", "The end must be after the start.")
    if model and not is_known(model):
        raise _wrong("model", "No model has this name. Names are case-sensitive.")
    there = Target.objects.filter(name=target).order_by("retired_at").first() if target else None
    if target and there is None:
        raise _wrong("target", f"There is no target {target}.")
    return Scope(Period(since, until), model, there)


def _wrong(name: str, detail: str) -> Problem:
    return Problem(422, "invalid", detail, errors=[{"pointer": f"/query/{name}", "detail": detail}])


def _told(unit: units.Unit) -> Unit:
    plain = unit.as_plain()
    number = plain["request"]
    return Unit(**plain | {"request": request_link(number) if number else None})
