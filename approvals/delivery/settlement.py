"""Our own side of a delivery: the claim on the outbox row, and the one transaction in which it ends."""

import os
import socket
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.db import transaction
from django.db.models import Model, QuerySet

from approvals import ledger, tenures, workflow
from approvals.models import Action, AuditEvent, OutboxEntry, PromotionRequest, Status, Tenure
from approvals.workflow import locks
from mirror import clock, sync
from mirror.port import Unreachable, VersionSnapshot


class ClaimLost(Exception):
    """The lease ran out and another worker took over; this one must not write any more."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to deliver one entry until the lease ends; `renew` prolongs it."""

    entry: OutboxEntry
    token: str

    @classmethod
    def of(cls, entry_id: int) -> Self | None:
        """None when the entry is not due, closed, or held by another worker."""
        token = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        entry = OutboxEntry.objects.claim(entry_id, by=token, lease=_lease())
        return None if entry is None else cls(entry, token)

    def renew(self, **fields: Any) -> None:
        """Prolongs the lease, and keeps `fields` on the row. Raises ClaimLost when another worker has taken over."""
        if not self._held().update(lease_expires_at=clock.in_update(_lease()), **fields):
            raise ClaimLost

    def release(self, message: str, **fields: Any) -> str:
        """Gives the entry back unpaid: it is due again after a pause that doubles up to the cap. Returns "waiting", or
        "skipped" when another worker has taken over."""
        now = clock.now()
        pause = min(2 ** min(self.entry.attempts - 1, 16), settings.DELIVERY_BACKOFF_CAP_SECONDS)
        given_back = self._held().update(
            claimed_by="",
            lease_expires_at=None,
            available_at=now + timedelta(seconds=pause),
            waiting_since=self.entry.waiting_since or now,
            last_error=message,
            **fields,
        )
        return "waiting" if given_back else "skipped"

    def give_back(self, **fields: Any) -> None:
        """Ends the claim and keeps `fields` on the row. Raises ClaimLost when another worker has taken over."""
        if not self._held().update(claimed_by="", lease_expires_at=None, **fields):
            raise ClaimLost

    def close(self, outcome: OutboxEntry.Outcome, **fields: Any) -> None:
        """Raises ClaimLost when another worker has taken over."""
        if not self._held().update(closed_at=clock.in_update(), outcome=outcome, lease_expires_at=None, **fields):
            raise ClaimLost

    def _held(self) -> QuerySet[OutboxEntry]:
        return OutboxEntry.objects.filter(pk=self.entry.pk, claimed_by=self.token, closed_at=None)


@transaction.atomic
def settle(
    request: PromotionRequest,
    claim: Claim,
    *,
    snapshots: list[VersionSnapshot],
    asked_at: datetime,
    champion_before: int | None,
    replaced: Iterable[tuple[int, str]],
    accepted: str = "",
    reached: Collection[str] | None = None,
) -> None:
    """Request, outbox, mirror rows (`snapshots`, asked for at `asked_at`), one event for the promotion and one for each
    version that it replaced: its number and what happened to it. Of a half that a person `accepted`, with that reason,
    only the places `reached`. Raises ClaimLost when another worker has settled."""
    name, number, target = request.version.model.name, request.version.number, request.target
    # The target first, as in every verb; shared with deliveries of other models, which else would go one by one.
    entries = locks.lock_place(name, target.pk)
    reached = tenures.places_of(target) if reached is None else reached
    has_alias = bool(target.alias) and tenures.alias_place(target.alias) in reached
    # Do not write anything before it: who lost the claim ends here, and another person has settled.
    claim.close(OutboxEntry.Outcome.APPLIED, is_at_rest=False)
    _move(request, Status.APPLIED, accepted)
    # Locked before the first event, although they end after it.
    on_probation = workflow.running_beside(request)
    # The mirror in the transaction of the tenures: the watch compares the two, and must not see one without the other.
    model_id = request.version.model_id
    sync.store_versions(snapshots, asked_at=asked_at, known={name: model_id})
    if has_alias:
        sync.store_alias(name, target.alias, number, pk=model_id)
    data: dict[str, Any] = {
        "stage": target.stage if target.stage in reached else "",
        "alias": target.alias if has_alias else "",
        "replaced": champion_before if champion_before != number else None,
        "requested_by": request.requester.label,
        "fingerprint": request.fingerprint,
        "attempts": claim.entry.attempts,
    }
    if accepted:
        data |= {"accepted": accepted, "missing": claim.entry.missing}
    if request.is_urgent:
        data["kind"] = str(request.kind)
    # Do not take them over from the approval note: who changed their address since would stand in the event by name.
    approvers = workflow.approver_labels(request)

    def promote(event: AuditEvent) -> list[Model]:
        return [claim.entry, *tenures.promoted(request, event, places=reached)]

    told = [ledger.Sequel(Action.VERSION_REPLACED, other, {"by": number, "how": how}) for other, how in replaced]
    _record(Action.VERSION_PROMOTED, request, data, allowed_by=approvers, rows=promote, then=told)
    workflow.settle_probations(request, on_probation)
    _end_halves_beside(request, [entry for entry in entries if entry.pk != claim.entry.pk and entry.is_at_rest])


@transaction.atomic
def settle_unapplied(request: PromotionRequest, claim: Claim, *, outcome: OutboxEntry.Outcome, message: str) -> None:
    """The same for a delivery that failed. Raises ClaimLost."""
    locks.lock_targets([request.target_id])
    claim.close(outcome, last_error=message, **OVER)
    _fail(request, message, claim.entry)


@transaction.atomic
def settle_half(
    request: PromotionRequest,
    claim: Claim,
    *,
    snapshots: list[VersionSnapshot],
    asked_at: datetime,
    reached: Sequence[str],
    missing: Sequence[str],
    message: str,
) -> str:
    """The same for a delivery that MLflow did half: mirror and tenures follow what it has, with one event for each
    change of that, and the rest is tried again. Returns "waiting"; raises ClaimLost."""
    locks.lock_targets([request.target_id])
    # Who lost the claim ends here, before anything is written.
    claim.renew()
    half = claim.entry.half or {"places": {}, "missing": [], "since": clock.now().isoformat()}
    sync.store_versions(snapshots, asked_at=asked_at)
    for place in reached:
        if place.startswith("@"):
            sync.store_alias(request.version.model.name, place[1:], request.version.number)
    new = [place for place in reached if place not in half["places"]]
    is_other = set(reached) != set(half["places"]) or list(missing) != half["missing"]

    def follow(event: AuditEvent) -> list[Model]:
        tenures.promoted(request, event, places=new)
        places = {place: half["places"].get(place, event.sequence) for place in reached}
        claim.renew(half=half | {"places": places, "missing": list(missing)})
        return [claim.entry, *tenures.touched(event.sequence, request.version.model.name)]

    # An event for each change of what is there, and none for each try.
    if is_other:
        told = {"reached": list(reached), "missing": list(missing), "reason": message}
        approvers = workflow.approver_labels(request)
        _record(Action.DELIVERY_HALFWAY, request, told, allowed_by=approvers, rows=follow)
    if claim.release(message, is_at_rest=True) != "waiting":
        raise ClaimLost
    return "waiting"


@transaction.atomic
def settle_reverted(
    request: PromotionRequest,
    claim: Claim,
    *,
    snapshots: list[VersionSnapshot],
    asked_at: datetime,
    aliases: Mapping[str, int | None],
    message: str,
) -> None:
    """The same for a half that was put back: what held a place before continues, with one event for each place, and the
    request has failed. `aliases` says who has each alias again. Raises ClaimLost."""
    locks.lock_targets([request.target_id])
    claim.close(OutboxEntry.Outcome.FAILED, last_error=message, **OVER)
    name, number, target = request.version.model.name, request.version.number, request.target
    sync.store_versions(snapshots, asked_at=asked_at)
    for alias, holder in aliases.items():
        sync.store_alias(name, alias, holder)
    # By the event that began the half in a place, what it ended there is known again, and continues.
    for place, sequence in (claim.entry.half or {}).get("places", {}).items():
        held = Tenure.objects.filter(model_name=name, target=target, place=place)
        before: list[Tenure | None] = list(held.filter(end_sequence=sequence).order_by("version_number"))
        mine = held.filter(version_number=number, start_sequence=sequence)
        for each in before or [None]:

            def restore(event: AuditEvent, mine: QuerySet[Tenure] = mine, each: Tenure | None = each) -> list[Model]:
                tenures.finish(mine, at=event.at, how=Tenure.End.RESTORED, sequence=event.sequence)
                if each is not None:
                    tenures.carry_on(each, at=event.at, sequence=event.sequence, origin=Tenure.Origin.RESTORED)
                return [*tenures.touched(event.sequence, name)]

            ledger.record(
                Action.VERSION_RESTORED,
                actor=None,
                request=request,
                model_name=name,
                version_number=each.version_number if each else None,
                target_name=target.name,
                data={"place": place, "replaced": [number]},
                rows=restore,
            )
    _fail(request, message, claim.entry)


def _end_halves_beside(request: PromotionRequest, halves: Iterable[OutboxEntry]) -> None:
    """What was partly delivered to the same target, which is locked, is not owed any more: this request has taken its
    place."""
    for entry in halves:
        message = f"Request #{request.pk} was delivered to {request.target.name} before this one was complete."
        OutboxEntry.objects.filter(pk=entry.pk).update(
            closed_at=clock.now(), outcome=OutboxEntry.Outcome.FAILED, last_error=message, **OVER
        )
        other = PromotionRequest.objects.with_subject().get(pk=entry.request_id)
        _fail(other, message, entry)


OVER: Mapping[str, Any] = {"plan": None, "half": None, "is_at_rest": False, "ending": ""}
"""Fields of an outbox row of which nothing is left in MLflow."""


def _fail(request: PromotionRequest, message: str, entry: OutboxEntry) -> None:
    _move(request, Status.FAILED, message)
    told = {"reason": message, "attempts": entry.attempts}
    _record(Action.DELIVERY_FAILED, request, told, allowed_by=workflow.approver_labels(request), rows=[entry])


@transaction.atomic
def settle_reopened(request: PromotionRequest, claim: Claim, *, message: str) -> None:
    """The same for a delivery that found something else than what was approved: the request goes back to review, and
    approvals that do not look at what changed may complete it at once. Raises ClaimLost, or Unreachable when the mirror
    shows no change by now (it is then tried again)."""
    locks.lock_targets([request.target_id])
    claim.close(OutboxEntry.Outcome.REOPENED, last_error=message, **OVER)
    if not workflow.reopen(request, sources=(Status.APPROVED,), cause=message, rows=[claim.entry]):
        raise Unreachable("What changed in MLflow has changed back; delivery is tried again.")


def _move(request: PromotionRequest, to: Status, reason: str) -> None:
    if not PromotionRequest.objects.filter(pk=request.pk).move(to, status_reason=reason):
        raise ClaimLost


def _record(
    action: Action,
    request: PromotionRequest,
    data: Mapping[str, Any],
    *,
    allowed_by: Iterable[str],
    rows: Iterable[Model] | Callable[[AuditEvent], Iterable[Model]] = (),
    then: Sequence[ledger.Sequel] = (),
) -> AuditEvent:
    """The worker acted; the approvers allowed."""
    return ledger.record(
        action,
        actor=None,
        request=request,
        allowed_by=allowed_by,
        data=data,
        rows=rows,
        then=then,
    )


def _lease() -> timedelta:
    return timedelta(seconds=settings.DELIVERY_LEASE_SECONDS)
