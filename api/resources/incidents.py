"""Changes outside Countersign."""

from datetime import datetime
from typing import Annotated, Any, Literal

from django.db.models import BigIntegerField
from django.http import HttpResponse
from ninja import Router
from pydantic import Field

from api import cursors
from api.auth import ApiRequest, Token
from api.problems import NotFound
from api.resources.requests import IsOpen, Name
from api.schemas import Person, Place, RequestLink, Sent, Shape, Subject, person, place, request_link, url
from approvals import watch
from approvals.models import Incident
from approvals.watch import wording

router = Router(tags=["Incidents"])

KindWord = Literal["moved", "deleted", "exchanged", "renamed", "files", "prompt", "hidden", "unenforced", "opened"]


class IncidentOut(Subject):
    """One change outside Countersign. `model` is `*` where it is about MLflow itself."""

    id: int
    what: KindWord
    title: str
    target: str
    place: Place
    before: list[str]
    """Versions that held the place."""

    after: list[str]
    seen_at: datetime
    not_before: datetime | None
    """It was not so then; None where that is not known."""

    response: Literal["report", "put_back", "review"]
    """What the policy asks for."""

    is_open: bool
    request: RequestLink | None
    """The review that was asked for afterwards."""

    resolved_at: datetime | None
    resolved_by: Person | None
    resolution: Literal["", "explained", "put_back", "reviewed", "undone", "superseded"]
    reason: str
    opened_event: int
    """Number of the event that records it."""

    url: str


class OneIncident(IncidentOut):
    response_sentence: str
    done: list[str]
    resolution_sentence: str


class Incidents(Shape):
    items: list[IncidentOut]
    next: str | None


class ResolveIn(Sent):
    reason: Annotated[str, Field(max_length=4000)]


@router.get("/incidents", auth=Token("read"), response=Incidents, summary="Incidents, newest first")
def list_incidents(
    request: ApiRequest,
    response: HttpResponse,
    is_open: IsOpen = None,
    what: KindWord | None = None,
    model: Name = "",
    target: Name = "",
    limit: cursors.Limit = cursors.FIRST,
    cursor: cursors.Cursor = "",
) -> dict[str, Any]:
    found = Incident.objects.select_related("target", "request", "resolved_by")
    if is_open is not None:
        found = found.filter(resolved_at__isnull=is_open)
    wanted = {"kind": what, "model_name": model, "target__name": target}
    found = found.filter(**{name: value for name, value in wanted.items() if value})
    page = cursors.page(found, "-pk", limit=limit, cursor=cursor)
    return cursors.listed(request, response, page, [IncidentOut(**_told(each)) for each in page.items])


@router.get("/incidents/{int:number}", auth=Token("read"), response=OneIncident, summary="One incident")
def get_incident(request: ApiRequest, number: int) -> OneIncident:
    return _shown(_one(number))


@router.post(
    "/incidents/{int:number}/resolve", auth=Token("reviews:write"), response=OneIncident, summary="Resolve an incident"
)
def resolve_incident(request: ApiRequest, number: int, body: ResolveIn) -> OneIncident:
    """With a reason, by a person who may; what was found stays as it is."""
    watch.resolve(_one(number), by=request.auth.user, reason=body.reason)
    return _shown(_one(number))


def _one(number: int) -> Incident:
    related = ("target", "request__version__model", "request__target", "resolved_by")
    known = Incident.objects.select_related(*related).filter(pk=number) if number <= BigIntegerField.MAX_BIGINT else []
    found = next(iter(known), None)
    if found is None:
        raise NotFound("no_such_incident", f"There is no incident #{number}.")
    return found


def _shown(incident: Incident) -> OneIncident:
    return OneIncident(
        **_told(incident),
        response_sentence=wording.response(incident),
        done=wording.done(incident),
        resolution_sentence=wording.resolution(incident),
    )


def _told(incident: Incident) -> dict[str, Any]:
    return {
        "model": incident.model_name,
        "id": incident.pk,
        "what": incident.kind,
        "title": wording.title(incident),
        "target": incident.target.name,
        "place": place(incident.place),
        "before": [str(number) for number in incident.before],
        "after": [str(number) for number in incident.after],
        "seen_at": incident.seen_at,
        "not_before": incident.not_before,
        "response": incident.response,
        "is_open": incident.is_open,
        "request": request_link(incident.request) if incident.request else None,
        "resolved_at": incident.resolved_at,
        "resolved_by": person(incident.resolved_by) if incident.resolved_by else None,
        "resolution": incident.resolution,
        "reason": incident.reason,
        "opened_event": incident.opened_sequence,
        "url": url("approvals:incident", incident.pk),
    }
