"""Our own side of a delivery: the claim on the outbox row, and the one transaction in which it ends."""

import os
import socket
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.db import transaction
from django.db.models import Model, QuerySet
from django.utils import timezone

from approvals import ledger, standing, tenures, workflow
from approvals.models import Action, AuditEvent, OutboxEntry, PromotionRequest, Status
from registry_ui.mirror import sync
from registry_ui.mirror.registry import Unreachable, VersionSnapshot


class ClaimLost(Exception):
    """The lease ran out and another worker took over; this one must not write any more."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to deliver one entry until the lease ends; `renew` prolongs it."""

    entry: OutboxEntry
    token: str

    @classmethod
    def of(cls, entry_id: int) -> Self | None:
        token = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        entry = OutboxEntry.objects.claim(entry_id, by=token, lease=_lease())
        return None if entry is None else cls(entry, token)

    def renew(self, **fields: Any) -> None:
        """Prolongs the lease, and keeps `fields` on the row. Raises ClaimLost when another worker has taken over."""
        if not self._held().update(lease_expires_at=timezone.now() + _lease(), **fields):
            raise ClaimLost

    def release(self, message: str) -> str:
        """Gives the entry back unpaid: it is due again after a pause that doubles up to the cap."""
        now = timezone.now()
        pause = min(2 ** min(self.entry.attempts - 1, 16), settings.DELIVERY_BACKOFF_CAP_SECONDS)
        self._held().update(
            claimed_by="",
            lease_expires_at=None,
            available_at=now + timedelta(seconds=pause),
            waiting_since=self.entry.waiting_since or now,
            last_error=message,
        )
        return "waiting"

    def give_back(self, **fields: Any) -> None:
        """Ends the claim and keeps `fields` on the row. Raises ClaimLost when another worker has taken over."""
        if not self._held().update(claimed_by="", lease_expires_at=None, **fields):
            raise ClaimLost

    def close(self, outcome: OutboxEntry.Outcome, **fields: Any) -> None:
        """Raises ClaimLost when another worker has taken over."""
        if not self._held().update(closed_at=timezone.now(), outcome=outcome, lease_expires_at=None, **fields):
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
) -> None:
    """Request, outbox, mirror rows (`snapshots`, asked for at `asked_at`), one event for the promotion and one for each
    version that it replaced: its number and what happened to it. Raises ClaimLost when another worker has settled."""
    name, number, target = request.version.model.name, request.version.number, request.target
    standing.lock_targets([target.pk])
    claim.close(OutboxEntry.Outcome.APPLIED)
    _move(request, Status.APPLIED, "")
    on_probation = workflow.running_beside(request)
    sync.store_versions(snapshots, asked_at=asked_at)
    if target.alias:
        sync.store_alias(name, target.alias, number)
    data = {
        "stage": target.stage,
        "alias": target.alias,
        "replaced": champion_before if champion_before != number else None,
        "requested_by": request.requester.label,
        "fingerprint": request.fingerprint,
        "attempts": claim.entry.attempts,
    }
    if request.is_urgent:
        data["kind"] = str(request.kind)
    approvers = workflow.approver_labels(request)

    def promote(event: AuditEvent) -> list[Model]:
        tenures.promoted(request, event)
        return [claim.entry, *tenures.touched(event.sequence, name)]

    _record(Action.VERSION_PROMOTED, request, data, allowed_by=approvers, rows=promote)
    for replaced_number, how in replaced:
        told = {"by": number, "how": how}
        _record(Action.VERSION_REPLACED, request, told, allowed_by=approvers, version_number=replaced_number)
    workflow.settle_probations(request, on_probation)


@transaction.atomic
def settle_unapplied(
    request: PromotionRequest, claim: Claim, *, outcome: OutboxEntry.Outcome, message: str, is_plan_kept: bool
) -> None:
    """The same for a delivery that failed. The plan is kept if the move had begun, for the retry. Raises ClaimLost."""
    standing.lock_targets([request.target_id])
    claim.close(outcome, last_error=message, **({} if is_plan_kept else {"plan": None}))
    _move(request, Status.FAILED, message)
    told = {"reason": message, "attempts": claim.entry.attempts}
    _record(Action.DELIVERY_FAILED, request, told, allowed_by=workflow.approver_labels(request), rows=[claim.entry])


@transaction.atomic
def settle_reopened(request: PromotionRequest, claim: Claim, *, message: str) -> None:
    """The same for a delivery that found something else than what was approved: the request goes back to review, and
    approvals that do not look at what changed may complete it at once. Raises ClaimLost, or Unreachable when the mirror
    shows no change by now (it is then tried again)."""
    standing.lock_targets([request.target_id])
    claim.close(OutboxEntry.Outcome.REOPENED, last_error=message, plan=None)
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
    version_number: int | None = None,
    rows: Iterable[Model] | Callable[[AuditEvent], Iterable[Model]] = (),
) -> AuditEvent:
    """The worker acted; the approvers allowed."""
    return ledger.record(
        action,
        actor=None,
        request=request,
        version_number=version_number,
        allowed_by=allowed_by,
        data=data,
        rows=rows,
    )


def _lease() -> timedelta:
    return timedelta(seconds=settings.DELIVERY_LEASE_SECONDS)
