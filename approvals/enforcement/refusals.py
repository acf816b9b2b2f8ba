"""What MLflow's gate refused, as it reports it: an event of the ledger each, so that a refusal can become a request.
Never an incident: nothing was changed.

What is reported is MLflow's word. Models and versions that are not mirrored yet are taken as text.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils.crypto import salted_hmac
from mlflow_gate.policy import DOCTOR, ENFORCE, PROBE

from accounts.models import User
from approvals import ledger
from approvals.enforcement.reading import Unreadable, line, listed, number
from approvals.models import Action, AuditEvent, ChainHead, Refusal, Target
from approvals.webhooks.mlflow_events import read_anew
from approvals.webhooks.reply import Reply, Verdict
from mirror.models import Alias, ModelVersion

logger = structlog.get_logger(__name__)

MLFLOW = "MLflow"
"""Who acts in these events: that it was this person is what MLflow says."""

MOST_BYTES, MOST_AT_ONCE = 512 * 1024, 1000
TOGETHER = timedelta(minutes=1)
"""The same attempt within this time after the last one is counted, and is no event of its own."""

LONGEST = timedelta(hours=1)
"""So long at most: a program that tries for ever has an event an hour."""

MOST_A_MINUTE = 60
"""Events; beyond, MLflow is asked to report later. Who floods MLflow must not flood the ledger."""


@dataclass(frozen=True, slots=True)
class Reported:
    id: str
    who: str
    """MLflow's user; "" where it knows none."""

    operation: str
    model: str
    version: int | None
    place: str
    """`stage:Production`, `alias:champion`, `note`, `tag:countersign.request`, …"""

    at: datetime
    mode: str
    address: str

    @property
    def is_trial(self) -> bool:
        """Whether it was only tried if the gate is there."""
        return self.model.startswith((PROBE, DOCTOR))

    @property
    def key(self) -> str:
        """The same of what counts as the same attempt; it names no one without the installation's secret."""
        said = [self.who.lower() or self.address, self.model, self.version, self.place, self.mode]
        return salted_hmac("approvals.enforcement.refusals", json.dumps(said), algorithm="sha256").hexdigest()


def receive(body: bytes, *, now: datetime) -> Reply:
    """Takes a list of refusals; of each id one, however often it comes."""
    try:
        reported = [_read(each, now) for each in listed(body, MOST_AT_ONCE)]
    except Unreadable as error:
        return Reply(Verdict.UNREADABLE, str(error))
    for each in reported:
        if not each.is_trial and not _take(each, now):
            logger.warning("gate.too_many_refusals", model=each.model, version=each.version)
            return Reply(Verdict.TOO_MANY, f"More than {MOST_A_MINUTE} different refusals a minute; report later.")
    return Reply(Verdict.TAKEN, "Recorded.")


def _read(said: Mapping[str, Any], now: datetime) -> Reported:
    at = said.get("at")
    told = datetime.fromtimestamp(at, UTC) if isinstance(at, int | float) and 0 < at < 1e11 else now
    return Reported(
        id=line(said, "id", 100),
        who=line(said, "who", 200, required=False),
        operation=line(said, "operation", 80),
        model=line(said, "model", 256, required=False),
        version=number(said, "version"),
        place=line(said, "place", 200),
        # A clock that is far off says nothing; what waited in MLflow's queue while we were away may be hours old.
        at=told if now - timedelta(days=2) < told < now + timedelta(minutes=1) else now,
        mode=line(said, "mode", 20, required=False) or ENFORCE,
        address=line(said, "address", 60, required=False),
    )


def _take(reported: Reported, now: datetime) -> bool:
    """Whether it is recorded or counted now, or was before; False: not now."""
    if _counted(reported, now):
        return True
    with transaction.atomic():
        # One process after the other from here on: the same attempt is no two events.
        ChainHead.objects.select_for_update().get(pk=1)
        if _counted(reported, now):
            return True
        lately = Refusal.objects.filter(event__at__gt=now - timedelta(minutes=1))
        if lately.count() >= MOST_A_MINUTE:
            return False
        event = _record(reported)
        Refusal.objects.create(event=event, key=reported.key, last_at=now, messages=[reported.id])
    return True


def _counted(reported: Reported, now: datetime) -> bool:
    for known in Refusal.objects.filter(key=reported.key, last_at__gt=now - LONGEST).order_by("-last_at"):
        if reported.id in known.messages:
            return True
        if now - known.last_at <= TOGETHER and now - known.event.at <= LONGEST:
            again = {"last_at": now, "messages": [*known.messages[-99:], reported.id]}
            Refusal.objects.filter(pk=known.pk).update(times=F("times") + 1, **again)
            return True
    return False


def _record(reported: Reported) -> AuditEvent:
    person, place, asks = known_person(reported.who), _place(reported.place), _asks(reported)
    if reported.version and not _mirrored(reported).exists():
        read_anew(reported.model)  # the person who was refused is about to request it
    target = _target(reported.place)
    return ledger.record(
        Action.REFUSED_IN_MLFLOW if reported.mode == ENFORCE else Action.PASSED_IN_MLFLOW,
        actor=None,
        acting=MLFLOW,
        model_name=reported.model,
        version_number=reported.version,
        target_name=target.name if target else "",
        data={
            "who": person.label if person else reported.who,
            "attempt": _attempt(reported, place, asks=asks),
            "asks": asks,
            "place": place,
            "operation": reported.operation,
            "address": reported.address,
            "tried_at": reported.at.isoformat(),
        },
    )


def known_person(who: str) -> User | None:
    """The active account that has this name or address, also one that an administrator noted; None where none has it,
    or several."""
    found = [each for each in User.objects.people().active() if who.lower() in each.known_as] if who else []
    return found[0] if len(found) == 1 else None


def _target(place: str) -> Target | None:
    kind, _, name = place.partition(":")
    field = {"stage": "stage__iexact", "alias": "alias__iexact"}.get(kind)
    return Target.objects.current().filter(**{field: name}).first() if field and name else None


def _place(place: str) -> str:
    """`Production`, `@champion`, `note`."""
    kind, _, name = place.partition(":")
    return {"stage": name, "alias": f"@{name}"}.get(kind, place)


def _attempt(reported: Reported, place: str, *, asks: bool) -> str:
    """What was tried, after "attempt to": `move churn_predictor version 7 to Production`."""
    version = f"{reported.model} version {reported.version}" if reported.version else reported.model
    match reported.operation:
        case "transition_model_version_stage" if asks:
            return f"move {version} to {place}"
        case "transition_model_version_stage":
            return f"take {version} out of {place}"
        case "set_registered_model_alias":
            return f"make {version} {place}"
        case "delete_registered_model_alias":
            return f"take {place} away from {version}"
        case "update_model_version":
            return f"change the approval note of {version}"
        case "delete_model_version" | "delete_registered_model":
            return f"delete {version}"
        case "rename_registered_model":
            return f"rename {reported.model}"
        case "set_model_version_tag" | "set_registered_model_tag":
            return f"set the {place.replace(':', ' ')} of {version}"
        case "delete_model_version_tag" | "delete_registered_model_tag":
            return f"delete the {place.replace(':', ' ')} of {version}"
        case other:
            return f"call {other} on {version or 'MLflow'}"


def _asks(reported: Reported) -> bool:
    """Whether a promotion would have done what was tried: it was to take the place, not to leave it."""
    kind, _, name = reported.place.partition(":")
    if not reported.version:
        return False
    match reported.operation, kind:
        case "transition_model_version_stage", "stage":
            return not _mirrored(reported).filter(stage__iexact=name).exists()
        case "set_registered_model_alias", "alias":
            held = Alias.objects.filter(name__iexact=name, model__name=reported.model, number=reported.version or 0)
            return not held.exists()
    return False


def _mirrored(reported: Reported) -> "QuerySet[ModelVersion]":
    return ModelVersion.objects.filter(model__name=reported.model, number=reported.version or 0)
