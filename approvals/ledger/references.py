"""What the ledger says against the tables beside it: requests and reviews here, tenures and people in modules of their
own. Anyone who changes one of them has to change the ledger as well, and the chain shows that.

Read in portions, so memory stays bounded. A fault that is found while people work may be a change that was half seen:
it is looked at again under the lock that every event is written with, before it is told.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Max

from approvals import evidence
from approvals.ledger import people, pseudonyms, sealed, tenancy
from approvals.ledger.verdicts import Fault
from approvals.models import Action, AuditEvent, ChainHead, PromotionRequest, RequestKind, Review, Status, Verdict
from mirror.models import Exhibit

PORTION = 500
"""Requests, tenures or people that are read at once."""

A, S = Action, Status
_REVIEWED: dict[str, str] = {
    A.REVIEW_APPROVED: Verdict.APPROVE,
    A.REVIEW_REJECTED: Verdict.REJECT,
    A.REVIEW_CHANGES_REQUESTED: Verdict.REQUEST_CHANGES,
}
_LEAVES: dict[str, Sequence[str]] = {
    # The statuses that a request can have after an event of this kind, until the next one in this table.
    A.REQUEST_CREATED: (S.CHECKING,),
    A.REQUEST_RESUBMITTED: (S.CHECKING,),
    A.REQUEST_REOPENED: (S.CHECKING,),
    A.REQUEST_CHECKED: (S.CHECKING, S.PENDING),
    A.REVIEW_CHANGES_REQUESTED: (S.CHANGES_REQUESTED,),
    A.REVIEW_REJECTED: (S.REJECTED,),
    A.REVIEW_UNDONE: (S.CHECKING, S.PENDING, S.CHANGES_REQUESTED, S.REJECTED),  # it says which: see `_leaves`
    A.REQUEST_APPROVED: (S.APPROVED,),
    A.DELIVERY_RETRIED: (S.APPROVED,),
    A.DELIVERY_HALFWAY: (S.APPROVED,),
    A.DELIVERY_FAILED: (S.FAILED,),
    A.GLASS_BROKEN: (S.CHECKING, S.PENDING, S.APPROVED),
    A.VERSION_PROMOTED: (S.APPLIED,),
    A.REQUEST_WITHDRAWN: (S.WITHDRAWN,),
    A.REQUEST_EXPIRED: (S.EXPIRED,),
}
_SUPERSEDED = "delivery.superseded"
"""No action any more; requests that ended with it read as rejected."""

_READ = (*_LEAVES, *_REVIEWED, A.REVIEWED_AFTERWARDS, _SUPERSEDED)
_SAID: Mapping[str, tuple[Sequence[str], str, str | None]] = {
    # Column of a request: the events of which the last says what it is, under which key, and what it is where none
    # does (None: not known then).
    "justification": ((A.REQUEST_CREATED, A.REQUEST_RESUBMITTED), "justification", None),
    "kind": ((A.REQUEST_CREATED,), "kind", RequestKind.PROMOTION),
    "afterwards_verdict": ((A.REVIEWED_AFTERWARDS,), "verdict", ""),
    "afterwards_comment": ((A.REVIEWED_AFTERWARDS,), "comment", ""),
}


@dataclass(frozen=True, slots=True)
class Told:
    """An event, as far as it is compared."""

    sequence: int
    action: str
    actor: int | None
    version_number: int | None
    data: dict[str, Any]


def verify(progress: Callable[[str], None] = lambda _: None, *, remarks: list[str] | None = None) -> Fault | None:
    """The first fault, in the order requests and reviews, tenures, people, kept figures, all rows column by column.
    `progress` is told what is looked at, again with each portion; `remarks` takes sentences on what could not be held
    against anything."""
    for words, look in (
        ("requests and reviews", _requests),
        ("tenures", tenancy.faults),
        ("people", people.faults),
        ("kept figures", _exhibits),
        ("all rows, column by column", partial(sealed.faults, [] if remarks is None else remarks)),
    ):
        progress(words)
        for found in look():
            if found is None:
                progress(words)
                continue
            fault, again = found
            if not again:
                return fault
            with transaction.atomic():
                ChainHead.objects.select_for_update().get(pk=1)
                if confirmed := again():
                    return confirmed
    return None


Suspicion = tuple[Fault, Callable[[], Fault | None] | None] | None
"""A fault, and how to look again; None after a portion, as a sign of life."""


def _requests() -> Iterator[Suspicion]:
    yield from _orphans()
    last = PromotionRequest.objects.aggregate(last=Max("pk"))["last"] or 0
    at = 0
    while at < last:
        keys = list(PromotionRequest.objects.filter(pk__gt=at).order_by("pk").values_list("pk", flat=True)[:PORTION])
        for pk, fault in _compare(keys):
            yield fault, partial(_again, pk)
        at = keys[-1] if keys else last
        yield None


def _again(pk: int) -> Fault | None:
    return next((fault for _, fault in _compare([pk])), None)


def _exhibits() -> Iterator[Suspicion]:
    """The bytes of kept figures and tables against their digest; the digest is in the evidence of what was decided."""
    rows = Exhibit.objects.order_by("pk").values_list("pk", "path", "size", "sha256", "content")
    for count, (pk, path, size, digest, content) in enumerate(rows.iterator(chunk_size=10), start=1):
        if count % PORTION == 0:
            yield None
        if hashlib.sha256(content).hexdigest() != digest or len(content) != size:
            yield Fault(f"The kept bytes of {path} (exhibit {pk}) were altered: they do not fit their digest."), None


def _orphans() -> Iterator[Suspicion]:
    """Events of requests that are not there: only where the database does not hold foreign keys, as SQLite may be told
    not to."""
    lost = AuditEvent.objects.filter(request_id__isnull=False).exclude(
        request_id__in=PromotionRequest.objects.values("pk")
    )
    for sequence, pk in lost.order_by("sequence").values_list("sequence", "request_id")[:1]:
        yield Fault(f"Request #{pk} is missing: event {sequence} records it.", sequence), None


def _compare(keys: Sequence[int]) -> Iterator[tuple[int, Fault]]:
    events: dict[int, list[Told]] = defaultdict(list)
    told = AuditEvent.objects.filter(request_id__in=keys, action__in=_READ).order_by("sequence")
    for pk, sequence, action, actor, number, payload in told.values_list(
        "request_id", "sequence", "action", "actor_id", "version_number", "payload"
    ):
        events[pk].append(Told(sequence, action, actor, number, json.loads(payload)))
    reviews: dict[int, list[dict[str, Any]]] = defaultdict(list)
    columns = ("pk", "request_id", "reviewer_id", "verdict", *_SIGNED)
    for review in Review.objects.filter(request_id__in=keys).order_by("pk").values(*columns):
        reviews[review["request_id"]].append(review)
    asked = PromotionRequest.objects.filter(pk__in=keys).order_by("pk")
    about = (
        "status",
        "requester_id",
        "fingerprint",
        "evidence",
        "version__number",
        "afterwards_at",
        "afterwards_by_id",
    )
    for request in asked.values("pk", *about, *_SAID).iterator(chunk_size=PORTION):
        pk = request["pk"]
        found = _fault_of_request(request, events[pk]) or _fault_of_reviews(pk, reviews[pk], events[pk])
        if found:
            yield pk, found


def _fault_of_request(request: Mapping[str, Any], events: Sequence[Told]) -> Fault | None:
    name, status = f"Request #{request['pk']}", request["status"]
    if not events:
        return Fault(f"{name} is in no event: it was not made by Countersign.")
    first = events[0]
    if first.action == A.REQUEST_CREATED and first.actor != request["requester_id"]:
        return Fault(f"{name} names another requester than event {first.sequence}, which tells that it was made.",
                     first.sequence)  # fmt: skip
    if first.version_number not in (None, request["version__number"]):
        was = f"version {first.version_number}, as event {first.sequence} says"
        return Fault(
            f"{name} is about version {request['version__number']} now; it was made for {was}.", first.sequence
        )
    promoted = [event for event in events if event.action == A.VERSION_PROMOTED]
    if status == S.APPLIED and not promoted and request["kind"] != RequestKind.RETROACTIVE:
        return Fault(f"{name} is applied, but no event says that its version was promoted.", events[-1].sequence)
    if status != S.APPLIED and promoted:
        return Fault(f"{name} is {status}, but event {promoted[0].sequence} says that its version was promoted.",
                     promoted[0].sequence)  # fmt: skip
    if len(promoted) > 1:
        return Fault(f"{name} was promoted twice: by events {promoted[0].sequence} and {promoted[1].sequence}.",
                     promoted[1].sequence)  # fmt: skip
    last = next((event for event in reversed(events) if event.action in _LEAVES or event.action == _SUPERSEDED), None)
    if last and status not in _leaves(last) and not promoted and not _before_checks(last, status):
        return Fault(f"{name} is {status}, which does not follow from event {last.sequence} ({last.action}).",
                     last.sequence)  # fmt: skip
    return _fault_of_words(name, request, events) or _fault_of_evidence(name, request, events)


def _leaves(event: Told) -> Sequence[str]:
    """The statuses that the request can have after it."""
    if event.action == A.REVIEW_UNDONE:
        return (event.data["status"],)
    return _LEAVES.get(event.action, (S.REJECTED,))


def _before_checks(last: Told, status: str) -> bool:
    """Whether it is from version 0.1, whose rules knew no checks: reviewers were asked at once."""
    return status == S.PENDING and "checks" not in last.data.get("rule", {"checks": ()})


def _fault_of_words(name: str, request: Mapping[str, Any], events: Sequence[Told]) -> Fault | None:
    """What events say since before there were seals; of the review afterwards also that there was one."""
    given = next((event for event in reversed(events) if event.action == A.REVIEWED_AFTERWARDS), None)
    if given is None and request["afterwards_at"]:
        return Fault(f"{name} was never reviewed afterwards: it is marked so, but no event records it.")
    if given and given.actor != request["afterwards_by_id"]:
        return Fault(
            f"{name} was reviewed afterwards by another person, as event {given.sequence} records.", given.sequence
        )
    for column, (actions, key, without) in _SAID.items():
        event = next((each for each in reversed(events) if each.action in actions), None)
        said = event.data.get(key, without) if event else without
        if said is not None and not pseudonyms.reads(said, request[column]):
            where = f"than event {event.sequence} records" if event else "though no event records one"
            words = f"{name} has another {column.replace('_', ' ')} {where}."
            return Fault(words, event.sequence if event else None)
    return None


def _fault_of_evidence(name: str, request: Mapping[str, Any], events: Sequence[Told]) -> Fault | None:
    """Of a decided request, what was decided on is what the last decision's event signed for."""
    if evidence.fingerprint(request["evidence"]) != request["fingerprint"]:
        return Fault(f"The evidence of {name[0].lower()}{name[1:]} was altered: it does not fit its fingerprint.")
    for event in reversed(events):
        signed = event.data.get("fingerprint")
        if event.action in (A.REQUEST_APPROVED, A.VERSION_PROMOTED) and signed:
            if request["status"] in (S.APPROVED, S.APPLIED) and signed != request["fingerprint"]:
                return Fault(f"{name} has other evidence than event {event.sequence} says.", event.sequence)
            break
    return None


_SIGNED: Mapping[str, str] = {
    "fingerprint": "is about other evidence than event {} says",
    "comment": "has another comment than event {}",
    "meaning": "has another meaning than event {}",
    "signed_name": "is signed with another name than event {} says",
    "signed_with": "names another proof of identity than event {}",
    "proof_at": "names another time of the proof of identity than event {}",
}


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value or "")


def _fault_of_reviews(pk: int, reviews: Sequence[dict[str, Any]], events: Sequence[Told]) -> Fault | None:
    """Reviews and their events were written two by two, so they follow each other in the same order."""
    told = [event for event in events if event.action in _REVIEWED]
    for review, event in zip(reviews, told, strict=False):
        what = f"Review {review['pk']} of request #{pk}"
        if review["reviewer_id"] != event.actor:
            return Fault(f"{what} names another reviewer than event {event.sequence}.", event.sequence)
        if review["verdict"] != _REVIEWED[event.action]:
            return Fault(f"{what} has another verdict than event {event.sequence}.", event.sequence)
        for key, words in _SIGNED.items():
            if key in event.data and not pseudonyms.reads(event.data[key], _plain(review[key])):
                return Fault(f"{what} {words.format(event.sequence)}.", event.sequence)
    if len(reviews) > len(told):
        extra = reviews[len(told)]["pk"]
        return Fault(f"Review {extra} of request #{pk} is in no event: it was not signed through Countersign.")
    if len(told) > len(reviews):
        event = told[len(reviews)]
        return Fault(f"The review that event {event.sequence} records is missing from request #{pk}.", event.sequence)
    return None
