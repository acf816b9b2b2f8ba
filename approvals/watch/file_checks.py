"""The files of what holds a place, read once more from time to time: an approval was for these bytes."""

import time
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from approvals import policy, tenures
from approvals.models import Incident, Tenure
from approvals.selectors import rules
from approvals.watch import deliveries, incidents
from approvals.watch.incidents import Found
from mirror import clock, identity, inspection
from mirror.isolation import alone
from mirror.models import ModelVersion
from mirror.port import Registry, RegistryError, Unreachable

TURN_SECONDS = 60.0
"""After so long no further holder is begun; one alone may take COUNTERSIGN_INSPECTION_SECONDS."""

PER_TURN = 1000
"""Holders of one turn at most."""


def check_files(registry: Registry, *, seconds: float = TURN_SECONDS) -> int:
    """Reads the files of the holders that are due, the one that waits longest first; returns how many were read."""
    started, done = time.monotonic(), 0
    for pk in _due_numbers():
        # Its version may have been read for another place, or have left its place.
        tenure = _due().select_related("target", "request").filter(pk=pk).first()
        if tenure is None:
            continue
        if time.monotonic() - started >= seconds:
            break
        try:
            identity.confirm(registry, within=identity.OFTEN)
            with alone("holder.not_read", model=tenure.model_name, version=tenure.version_number, but=(Unreachable,)):
                _check(tenure, registry)
        except Unreachable:
            break  # nothing is stamped: it is due again next time
        done += 1
    return done


def _due_numbers() -> list[int]:
    """Once a turn, and each part by the index: whoever asks for the next one after each holder sorts them all."""
    never = _due().filter(files_checked_at=None).order_by("pk")
    before = _due().filter(files_checked_at__isnull=False).order_by("files_checked_at", "pk")
    found = list(never.values_list("pk", flat=True)[:PER_TURN])
    return found + list(before.values_list("pk", flat=True)[: PER_TURN - len(found)])


def _due() -> "QuerySet[Tenure]":
    oldest = timezone.now() - timedelta(seconds=settings.HOLDER_FILES_SECONDS)
    due = Q(files_checked_at=None) | Q(files_checked_at__lt=oldest)
    return Tenure.objects.open().filter(due, target__retired_at=None)


def _check(tenure: Tenure, registry: Registry) -> None:
    """Raises Unreachable; whatever else MLflow says is no digest, and says nothing about the bytes."""
    name, number = tenure.model_name, tenure.version_number
    same = Tenure.objects.open().filter(model_name=name, version_number=number)
    version = ModelVersion.objects.select_related("model").filter(model__name=name, number=number).first()
    digest = ""
    if version is not None:
        digest = _digest(version, registry, _limit(tenure))
    _settle(tenure, digest)
    same.update(files_checked_at=clock.now())


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


def _settle(tenure: Tenure, digest: str) -> None:
    known = Incident.objects.open().filter(
        model_name=tenure.model_name, kind=Incident.Kind.FILES, details__version=tenure.version_number
    )
    # Nothing is to be written of the same bytes, so no one is held up for them: of most holders, every day.
    as_before = Tenure.objects.open().filter(pk=tenure.pk, files_digest=digest)
    if digest and not (as_before.exists() and not known.exists()):
        _judge(tenure, digest, known)


@transaction.atomic
def _judge(tenure: Tenure, digest: str, known: "QuerySet[Incident]") -> None:
    tenures.hold_settlements()
    running = Tenure.objects.open().select_related("target").filter(pk=tenure.pk).first()
    # It may have left its place while its files were read, or a delivery be at the model by now.
    if running is None or deliveries.half_done([tenure.model_name]):
        return
    name, number = running.model_name, running.version_number
    same = Tenure.objects.open().filter(model_name=name, version_number=number)
    # What no one approved by its bytes is held to those that were read first.
    if not running.files_digest:
        same.filter(files_digest="").update(files_digest=digest)
        return
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
            seen_at=clock.now(),
            not_before=max(running.files_checked_at or running.started_at, running.started_at),
            version=number,
            details={"version": number, "digest": digest, "approved_digest": running.files_digest},
        )
    )
