"""Which version holds a target: now, as the mirror has it, or at a moment, as the record has it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from ninja import Query, Router
from pydantic import WithJsonSchema

from api import cursors
from api.auth import ApiRequest, Token, need
from api.problems import NotFound, Problem
from api.resources.models import find_model, mirrored_at
from api.schemas import MOMENT, Moment, Person, Place, RequestLink, Shape, Subject, person, place, request_link, url
from approvals import administration
from approvals.models import Review, Target, Tenure
from approvals.selectors import target_holders
from approvals.selectors.target_holders import Holding
from approvals.tenures import as_of, labels
from approvals.tenures.as_of import Question
from mirror import composed
from mirror.models import RegisteredModel

router = Router(tags=["Holders"], auth=Token("read"))

Via = Literal["gate", "emergency", "before", "outside", "imported"]
At = Annotated[
    Moment | None,
    WithJsonSchema(MOMENT),
    Query(None, description="A moment, such as 2026-05-01 or 2026-05-01T12:00Z; without it: now. Needs a role."),
]


class Approval(Shape):
    by: Person
    meaning: str
    at: datetime


class Holder(Subject):
    """One version holds one target."""

    version: str
    target: str
    places: list[Place]
    uris: list[str]
    """What serving code loads it by."""

    via: Via
    """`gate`: through Countersign. `emergency`: so, but without approvals. `before`: it was there when Countersign
    first looked. `outside`: changed in MLflow directly. `imported`: as earlier records say."""

    how: str
    since: datetime | None
    until: datetime | None = None
    is_possible: bool = False
    """Seen only after the moment that was asked for; it may have been so at it."""

    may_have_ended: bool = False
    request: RequestLink | None
    approvals: list[Approval]
    url: str | None


class OneHolder(Holder):
    at: datetime | None
    mirrored_at: datetime | None


class Holders(Shape):
    items: list[Holder]
    next: str | None
    at: datetime | None
    mirrored_at: datetime | None


@router.get(
    "/models/{model:model}/targets/{target}/holder", response=OneHolder, summary="The version that holds a target"
)
def get_holder(request: ApiRequest, model: str, target: str, at: At = None) -> OneHolder:
    """Of several, the one that serving code loads: 404 `no_holder` where there is none. `?at=` asks the record."""
    there = _target(target, is_past=at is not None)
    if at is None:
        found = _now([find_model(model)], [there])
    else:
        _may_look_back(request, at)
        found = _then(Question(at, model, there), [model])
        if not found:
            find_model(model)
    if not found:
        when = "holds" if at is None else "held"
        raise NotFound("no_holder", f"No version of {model} {when} {there.name}{' then' if at else ''}.")
    return OneHolder(**found[0].model_dump(), at=at, mirrored_at=mirrored_at())


@router.get("/holders", response=Holders, summary="All holders, model by model")
def list_holders(
    request: ApiRequest,
    response: HttpResponse,
    at: At = None,
    limit: cursors.Limit = cursors.FIRST,
    cursor: cursors.Cursor = "",
) -> dict[str, Any]:
    """`limit` counts models. Now: of the models that MLflow has, so a page can be short. `?at=` asks the record."""
    if at is None:
        models = RegisteredModel.objects.filter(deleted_at=None)
        page = cursors.page(models, "name", limit=limit, cursor=cursor)
        found = _now(page.items, list(Target.objects.current()))
        listed = cursors.listed(request, response, page, found)
    else:
        _may_look_back(request, at)
        question = Question(at)
        names = as_of.names_after(question, cursors.read(cursor, "at") or "", most=limit + 1)
        named = cursors.cut(names, "at", limit=limit, of=lambda name: name)
        listed = cursors.listed(request, response, named, _then(question, named.items))
    return listed | {"at": at, "mirrored_at": mirrored_at()}


def _target(name: str, *, is_past: bool) -> Target:
    found: Target | None = next(iter(composed.objects(_targets, name)), None)
    if found is None or (found.retired_at is not None and not is_past):
        raise NotFound("no_such_target", f"There is no target {name}.")
    return found


def _targets(name: str) -> QuerySet[Target]:
    return Target.objects.filter(name=name)


def _may_look_back(request: ApiRequest, at: datetime) -> None:
    need(request.auth.user, administration.HISTORY)
    if at > timezone.now():
        detail = "This moment is in the future."
        raise Problem(422, "invalid", detail, errors=[{"pointer": "/query/at", "detail": detail}])


def _now(models: Sequence[RegisteredModel], targets: Sequence[Target]) -> list[Holder]:
    """Of these models, in their order. A fixed number of queries."""
    holdings = [each for found in target_holders.of(models, targets).values() for each in found]
    approvals = target_holders.approvals(each.request_id for each in holdings if each.request_id)
    return [_holding(each, approvals.get(each.request_id or 0, ())) for each in holdings]


def _holding(found: Holding, approvals: Sequence[Review]) -> Holder:
    version, target = found.version, found.target
    is_staged = bool(target.stage) and version.stage == target.stage
    held = [Place(type="stage", name=target.stage)] if is_staged else []
    held += [Place(type="alias", name=target.alias)] if found.has_alias else []
    name = version.model.name
    return Holder(
        model=name,
        version=str(version.number),
        target=target.name,
        places=held,
        uris=[f"models:/{name}{'@' if each.type == 'alias' else '/'}{each.name}" for each in held],
        via=_via(found.tenure) if found.tenure else _VIA[found.via],
        how=labels.sentence(found.tenure) if found.tenure else _HOW[found.via],
        since=found.since,
        request=request_link(found.request_id) if found.request_id else None,
        approvals=_approvals(approvals),
        url=url("version", name, version.number),
    )


def _then(question: Question, names: Sequence[str]) -> list[Holder]:
    return [
        _holder(model.name, target, holder)
        for model in as_of.models(question, names)
        for target, holders in model.targets
        for holder in holders
    ]


def _holder(name: str, target: Target, found: as_of.Holder) -> Holder:
    tenure = found.tenure
    return Holder(
        model=name,
        version=str(found.number),
        target=target.name,
        places=[place(each) for each in found.places],
        uris=list(found.loaded_as),
        via=_via(tenure),
        how=found.how,
        since=tenure.started_at,
        until=tenure.ended_at,
        is_possible=found.is_possible,
        may_have_ended=found.may_have_ended,
        request=request_link(tenure.request_id) if tenure.request_id else None,
        approvals=_approvals(found.approvals),
        url=url("version", name, found.number) if found.is_mirrored else None,
    )


def _approvals(given: Iterable[Review]) -> list[Approval]:
    return [
        Approval(by=person(each.reviewer), meaning=each.meaning or "approved", at=each.created_at) for each in given
    ]


_VIA: dict[str, Via] = {"gate": "gate", "before": "before", "outside": "outside"}
_HOW = {
    "gate": "Promoted through Countersign.",
    "before": "No request put it there; it was there before.",
    "outside": "Changed outside Countersign.",
}
_LOOKS: dict[str, Via] = {
    labels.GATE: "gate",
    labels.GLASS: "emergency",
    labels.BEFORE: "before",
    labels.OUTSIDE: "outside",
    labels.IMPORTED: "imported",
}


def _via(tenure: Tenure) -> Via:
    return _LOOKS[labels.look(tenure)]
