"""The files of what holds a place, read once more from time to time: an approval was for these bytes."""

import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from approvals import policy, tenures
from approvals.models import Incident, Tenure
from approvals.selectors import rules
from approvals.watch import deliveries, incidents
from approvals.watch.incidents import Found
from mirror import identity, inspection
from mirror.isolation import alone
from mirror.models import ModelVersion
from mirror.port import Registry, RegistryError, Unreachable

TURN_SECONDS = 60.0
"""After so long no further holder is begun; one alone may take COUNTERSIGN_INSPECTION_SECONDS."""


def check_files(registry: Registry, *, seconds: float = TURN_SECONDS) -> int:
    """Reads the files of the holders that are due, the one that waits longest first; returns how many were read."""
    started, done = time.monotonic(), 0
    tried: list[int] = []
    while time.monotonic() - started < seconds:
        tenure = _due().exclude(pk__in=tried).first()
        if tenure is None:
            break
        tried.append(tenure.pk)
        try:
            identity.confirm(registry, within=identity.OFTEN)
            with alone("holder.not_read", model=tenure.model_name, version=tenure.version_number, but=(Unreachable,)):
                _check(tenure, registry)
        except Unreachable:
            break  # nothing is stamped: it is due again next time
        done += 1
    return done


def _due() -> Any:
    oldest = timezone.now() - timedelta(seconds=settings.HOLDER_FILES_SECONDS)
    return (
        Tenure.objects.open()
        .filter(Q(files_checked_at=None) | Q(files_checked_at__lt=oldest))
        .filter(target__retired_at=None)
        .select_related("target", "request")
        .order_by(F("files_checked_at").asc(nulls_first=True), "pk")
    )


def _check(tenure: Tenure, registry: Registry) -> None:
    """Raises Unreachable; whatever else MLflow says is no digest, and says nothing about the bytes."""
    name, number = tenure.model_name, tenure.version_number
    same = Tenure.objects.open().filter(model_name=name, version_number=number)
    version = ModelVersion.objects.select_related("model").filter(model__name=name, number=number).first()
    digest = ""
    if version is not None:
        digest = _digest(version, registry, _limit(tenure))
    _settle(tenure, digest)
    same.update(files_checked_at=timezone.now())


def _limit(tenure: Tenure) -> int | None:
    if tenure.request is not None:
        return policy.Rule.from_json(tenure.request.rule).files_limit_bytes
    return rules.rule_for(tenure.model_name, tenure.target).files_limit_bytes


def _digest(version: ModelVersion, registry: Registry, limit: int | None) -> str:
    """ "" when the files are not to be hashed, or cannot be."""
    try:
        found = inspection.hash_files(
            registry, version, files_limit_bytes=limit, seconds=settings.INSPECTION_SECONDS
        )  # fmt: skip
    except Unreachable:
        raise
    except RegistryError:
        return ""
    return str(found.get("digest") or "")


@transaction.atomic
def _settle(tenure: Tenure, digest: str) -> None:
    tenures.hold_settlements()
    running = Tenure.objects.open().select_related("target").filter(pk=tenure.pk).first()
    # It may have left its place while its files were read, or a delivery be at the model by now.
    if running is None or not digest or deliveries.half_done([tenure.model_name]):
        return
    name, number = running.model_name, running.version_number
    same = Tenure.objects.open().filter(model_name=name, version_number=number)
    # What no one approved by its bytes is held to those that were read first.
    if not running.files_digest:
        same.filter(files_digest="").update(files_digest=digest)
        return
    known = Incident.objects.open().filter(model_name=name, kind=Incident.Kind.FILES, details__version=number)
    if digest == running.files_digest:
        for incident in known.select_related("target", "request"):
            incidents.close(incident, Incident.Resolution.UNDONE, reason="The files are back to what they were.")
        return
    told = Incident.objects.filter(
        Q(resolved_at=None) | Q(resolution=Incident.Resolution.EXPLAINED), kind=Incident.Kind.FILES, model_name=name
    )
    if told.filter(details__version=number, details__digest=digest).exists():
        return  # these very bytes stand in an incident already; resolved, a person has said why they may stay
    incidents.open_incident(
        Found(
            kind=Incident.Kind.FILES,
            model=name,
            target=running.target,
            place=running.place,
            before=[number],
            after=[number],
            approved=[number],
            seen_at=timezone.now(),
            not_before=max(running.files_checked_at or running.started_at, running.started_at),
            version=number,
            details={"version": number, "digest": digest, "approved_digest": running.files_digest},
        )
    )
