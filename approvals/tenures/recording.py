"""Which version held which place of which target, from when until when. The only writer of `Tenure`: delivery tells it
of promotions, the watch of what it found. Each function runs in the caller's transaction."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import DateTimeField, F, Q, QuerySet, Value
from django.db.models.functions import Greatest

from approvals.models import AuditEvent, ChainHead, PromotionRequest, Target, Tenure
from approvals.models.requests import AfterVerdict, RequestKind
from mirror import composed
from mirror.models import ModelVersion

MOST_EARLIER = 500
"""Tenures that are looked at for an earlier holder."""


def alias_place(alias: str) -> str:
    return f"@{alias}"


def places_of(target: Target) -> list[str]:
    """The target's stage and alias, as far as it has them: ["Production", "@champion"]."""
    stage = [target.stage] if target.stage else []
    return stage + ([alias_place(target.alias)] if target.alias else [])


def is_sole(target: Target, place: str) -> bool:
    """Whether what takes the place through Countersign has it alone: an alias always, a stage where it archives."""
    return place.startswith("@") or target.archives_existing


def takes_alone(request: PromotionRequest, place: str) -> bool:
    """The same of what one request delivers: a rollback leaves nothing beside it, since MLflow would continue serving
    the higher version that is left."""
    return is_sole(request.target, place) or request.is_rollback


def hold_settlements() -> None:
    """Until the end of the transaction no other one can end or begin a tenure: each of them writes an event, and so
    waits for the head of the chain."""
    ChainHead.objects.select_for_update().get(pk=1)


def promoted(
    request: PromotionRequest,
    event: AuditEvent,
    *,
    origin: Tenure.Origin = Tenure.Origin.DELIVERY,
    places: Collection[str] | None = None,
) -> list[Tenure]:
    """The request's version has reached its target, or of that only `places`; `event` says so. What it replaced ends,
    and so does what the version held in another stage, since MLflow knows one stage a version. Returns what ran, as it
    was, and what begins: all that the event can have changed of the model."""
    version, target, name = request.version, request.target, request.version.model.name
    places = places_of(target) if places is None else places
    # Read once: who writes events has the head of the chain, so no one else changes tenures meanwhile.
    running = composed.objects(_running, name)
    here = [held for held in running if held.target_id == target.pk and held.place in places]
    mine = [held for held in here if held.version_number == version.number]
    over = [held for held in here if held not in mine and takes_alone(request, held.place)]
    if target.stage in places:
        in_stage = [held for held in running if held.version_number == version.number and not held.is_alias]
        over += [held for held in in_stage if held not in mine]
    # Before the new one begins: the database allows one holder where a place is held alone.
    if over:
        ended = Tenure.objects.filter(pk__in=[held.pk for held in over])
        finish(ended, at=event.at, how=Tenure.End.REPLACED, sequence=event.sequence)
    if mine:
        adopt(Tenure.objects.filter(pk__in=[held.pk for held in mine]), request)
    begun: dict[str, Any] = {
        "at": event.at,
        "origin": origin,
        "request": request,
        "sequence": event.sequence,
        "version": version,
    }
    new = [place for place in places if place not in {held.place for held in mine}]
    made = [_new(model_name=name, number=version.number, target=target, place=place, **begun) for place in new]
    return [*running, *Tenure.objects.bulk_create(made)]


def _running(model_name: str) -> QuerySet[Tenure]:
    return Tenure.objects.open().filter(model_name=model_name)


def begin(
    *,
    model_name: str,
    number: int,
    target: Target,
    place: str,
    at: datetime,
    origin: Tenure.Origin,
    request: PromotionRequest | None = None,
    sequence: int | None = None,
    version: ModelVersion | None = None,
    after: datetime | None = None,
    sole: bool | None = None,
) -> Tenure:
    """Opens one. `after` is the last moment at which it was known not to hold; `version` the mirrored row. It is held
    to the files that its request's reviewers saw; what no one saw, to those that the watch reads first."""
    made = _new(
        model_name=model_name,
        number=number,
        target=target,
        place=place,
        at=at,
        origin=origin,
        request=request,
        sequence=sequence,
        version=version,
        after=after,
        sole=sole,
    )
    made.save(force_insert=True)
    return made


def _new(
    *,
    model_name: str,
    number: int,
    target: Target,
    place: str,
    at: datetime,
    origin: Tenure.Origin,
    request: PromotionRequest | None = None,
    sequence: int | None = None,
    version: ModelVersion | None = None,
    after: datetime | None = None,
    sole: bool | None = None,
) -> Tenure:
    approved = digest_of(request)
    return Tenure(
        model_name=model_name,
        version_number=number,
        target=target,
        place=place,
        is_sole=is_sole(target, place) if sole is None else sole,
        origin=origin,
        started_at=at,
        started_after=after,
        request=request,
        start_sequence=sequence,
        version_created_at=version.created_at if version else None,
        files_digest=approved,
        files_checked_at=at if approved and origin == Tenure.Origin.DELIVERY else None,
    )


def digest_of(request: PromotionRequest | None) -> str:
    """Of the files that were approved; "" where the policy did not ask for them, or no one approved."""
    if request is None:
        return ""
    return str((json.loads(request.evidence)["version"].get("files") or {}).get("digest") or "")


def carry_on(
    tenure: Tenure, *, at: datetime, sequence: int, name: str = "", origin: Tenure.Origin | None = None
) -> Tenure:
    """The tenure begun anew: under another name, or after it was interrupted. Origin and approvals stay what they were
    unless `origin` is given; it is still held to the same version and the same files."""
    return Tenure.objects.create(
        model_name=name or tenure.model_name,
        version_number=tenure.version_number,
        target_id=tenure.target_id,
        place=tenure.place,
        is_sole=tenure.is_sole,
        origin=origin or tenure.origin,
        started_at=at,
        request_id=tenure.request_id,
        start_sequence=sequence,
        version_created_at=tenure.version_created_at,
        files_digest=tenure.files_digest,
        files_checked_at=tenure.files_checked_at,
    )


def adopt(held: QuerySet[Tenure], request: PromotionRequest) -> None:
    """Puts the request's approvals behind tenures that run already. One that rests on a request keeps it: who approved
    it then does not change because a person approves it again. What was approved last are the files that it is held
    to."""
    held.filter(request=None).update(request=request)
    if digest := digest_of(request):
        held.update(files_digest=digest)


def finish(
    held: QuerySet[Tenure],
    *,
    at: datetime,
    how: Tenure.End,
    sequence: int | None = None,
    after: datetime | None = None,
) -> int:
    """Ends these; `after` is the last moment at which they were known to hold. Returns how many. Where the clocks of
    two workers differ, a tenure ends no earlier than it began."""
    ended_at = Greatest(Value(at, output_field=DateTimeField()), F("started_at"))
    return held.filter(ended_at=None).update(ended_at=ended_at, end=how, end_sequence=sequence, ended_after=after)


@dataclass(frozen=True, slots=True)
class Earlier:
    """A tenure from before Countersign, as a person's records have it; so are `requested_by` and `approved_by`."""

    model_name: str
    number: int
    target: Target
    place: str
    start: datetime
    end: datetime
    requested_by: str = ""
    approved_by: str = ""
    note: str = ""


def imported(found: Iterable[Earlier], event: AuditEvent) -> list[Tenure]:
    """Stores what an import accepted, and returns it; `event` records it. Marked as imported permanently."""
    return Tenure.objects.bulk_create(
        (
            Tenure(
                model_name=each.model_name,
                version_number=each.number,
                target=each.target,
                place=each.place,
                is_sole=is_sole(each.target, each.place),
                origin=Tenure.Origin.IMPORTED,
                started_at=each.start,
                ended_at=each.end,
                end=Tenure.End.IMPORTED,
                start_sequence=event.sequence,
                end_sequence=event.sequence,
                requested_by=each.requested_by,
                approved_by=each.approved_by,
                note=each.note,
            )
            for each in found
        ),
        batch_size=500,
    )


@dataclass(frozen=True, slots=True)
class Found:
    """A tenure that runs and was never seen to begin; event `sequence` records that it was found at `at`."""

    model_name: str
    number: int
    target: Target
    place: str
    at: datetime
    sequence: int
    version_created_at: datetime | None
    sole: bool


def found(seen: Iterable[Found]) -> None:
    """Opens all of these, which the watch saw on its first look."""
    Tenure.objects.bulk_create(
        (
            Tenure(
                model_name=each.model_name,
                version_number=each.number,
                target=each.target,
                place=each.place,
                is_sole=each.sole,
                origin=Tenure.Origin.FOUND,
                started_at=each.at,
                start_sequence=each.sequence,
                version_created_at=each.version_created_at,
            )
            for each in seen
        ),
        batch_size=500,
    )


def touched(since: int, *models: str) -> QuerySet[Tenure]:
    """What events from this number on, in the same transaction, can have changed of these models: tenures that began or
    ended with them, and those that run."""
    changed = Q(start_sequence__gte=since) | Q(end_sequence__gte=since) | Q(ended_at=None)
    return Tenure.objects.filter(changed, model_name__in=models).only("pk")


# --- Reading ----------------------------------------------------------------------------------------------------------


def is_approved(tenure: Tenure) -> bool:
    """Whether a person answers for it: it came through Countersign, was there before it, or was approved afterwards."""
    return tenure.origin != Tenure.Origin.OUTSIDE or tenure.request_id is not None


def holders(model_name: str, target: Target, place: str) -> list[int]:
    """Numbers of the versions whose tenure of the place runs, ascending."""
    held = Tenure.objects.open().filter(model_name=model_name, target=target, place=place)
    return list(held.order_by("version_number").values_list("version_number", flat=True))


def approved_before(model_name: str, target: Target, *, but: Iterable[int] = ()) -> Sequence[Tenure]:
    """Tenures of the target that a rollback may go back to, the last one first: promoted through Countersign, or there
    before it. Where several versions share a stage, first those that hold it still, the highest before the others. A
    emergency promotion counts once it was found justified. Versions in `but` are left out; each version stands
    once."""
    found = (
        Tenure.objects.filter(model_name=model_name, target=target)
        .filter(
            Q(origin__in=(Tenure.Origin.DELIVERY, Tenure.Origin.RESTORED, Tenure.Origin.FOUND))
            | Q(origin=Tenure.Origin.OUTSIDE, request__isnull=False)  # approved afterwards, or changed back in MLflow
        )
        .exclude(version_number__in=list(but))
        .exclude(Q(request__kind=RequestKind.BREAK_GLASS) & ~Q(request__afterwards_verdict=AfterVerdict.JUSTIFIED))
        .select_related("request")
        .order_by(F("ended_at").desc(nulls_first=True), "-version_number", "-pk")[:MOST_EARLIER]
    )
    by_number: dict[int, Tenure] = {}
    for tenure in found:
        by_number.setdefault(tenure.version_number, tenure)
    return list(by_number.values())


def as_plain(tenure: Tenure) -> dict[str, Any]:
    """One tenure as plain data, for answers that machines read. Times are aware; None where not known."""
    return {
        "model": tenure.model_name,
        "version": tenure.version_number,
        "target": tenure.target.name,
        "place": tenure.place,
        "since": tenure.started_at,
        "not_before": tenure.started_after,
        "until": tenure.ended_at,
        "origin": str(tenure.origin),
        "end": str(tenure.end),
        "request": tenure.request_id,
    }
