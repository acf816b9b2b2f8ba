"""Whether the gate stands in MLflow: asked every minute, over several connections, with what changes nothing.

A server that was started without it, of which some processes lack it, or which its operator has opened, is told on
every page for administrators, in `/readyz` and on the System page, and is an incident for each target that is enforced.
All of that ends when the gate stands again. Called by `approvals.tasks`, and by tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import structlog
from django.db import transaction

from approvals.models import Enforcement, Incident, Target
from approvals.watch import incidents
from approvals.workflow import locks
from mirror import clock
from mirror.models import MirrorState
from mirror.port import Gate, Refused, Registry, RegistryError, Unsigned

logger = structlog.get_logger(__name__)

CONNECTIONS = 8
"""So often it is asked: MLflow has several processes, and each answers for itself."""

NOT_WANTED = "Countersign does not have this target enforced any more."


class State(StrEnum):
    STANDS = "stands"
    PARTLY = "partly"
    """Some processes have it, and others have not."""
    MISSING = "missing"
    UNKNOWN = "unknown"
    """MLflow refuses what the gate is asked with: its own permissions stand before it. That is told and is no incident,
    since the gate may well stand behind them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one round."""

    state: State
    gates: Sequence[Gate] = ()
    error: str = ""

    @property
    def trouble(self) -> str:
        """Why what Countersign has enforced is not; "" when it is, as a sentence."""
        match self.state:
            case State.MISSING:
                return "MLflow does not enforce the gate: anyone who may write to it can promote directly."
            case State.PARTLY:
                many = f"{CONNECTIONS - len(self.gates)} of {CONNECTIONS}"
                return f"MLflow does not enforce the gate everywhere: {many} connections were answered without it."
            case State.UNKNOWN:
                return f"Countersign cannot tell whether MLflow enforces the gate. {self.error}"
        if any(gate.mode != Enforcement.ENFORCE for gate in self.gates):
            return "MLflow does not enforce the gate: its operator has opened it or set COUNTERSIGN_GATE_MODE."
        return ""


def probe(registry: Registry) -> str:
    """For the schedule: asks, keeps what was found, and opens or ends incidents. Returns the state, "" when no target
    is to be enforced or MLflow did not answer: what is known stays as it was then."""
    watched = Target.objects.current().exclude(enforcement=Enforcement.OFF)
    if not watched.exists():
        if MirrorState.objects.current().gate:
            _settle(None, clock.now())
        return ""
    try:
        found = ask(registry)
    except RegistryError as error:
        logger.info("gate.not_asked", error=error.message)
        return ""
    _settle(found, clock.now())
    return str(found.state)


def ask(registry: Registry) -> Finding:
    """One round. Raises a RegistryError when MLflow does not answer, or does not accept the credentials."""
    try:
        answers = [registry.gate() for _ in range(CONNECTIONS)]
    except Unsigned:
        raise
    except Refused as error:
        return Finding(State.UNKNOWN, error=error.message)
    gates = [gate for gate in answers if gate is not None]
    if len(gates) == CONNECTIONS:
        return Finding(State.STANDS, gates)
    return Finding(State.PARTLY if gates else State.MISSING, gates)


@transaction.atomic
def _settle(found: Finding | None, at: datetime) -> None:
    """`found` is None when no target is to be enforced or observed."""
    # The targets first, as in every verb; another worker that has asked as well waits here.
    enforced = list(Target.objects.current().filter(enforcement=Enforcement.ENFORCE).order_by("pk"))
    about = Incident.objects.open().filter(kind=Incident.Kind.UNENFORCED)
    locks.lock_targets([*(target.pk for target in enforced), *about.values_list("target_id", flat=True)])
    trouble = found.trouble if found and enforced else ""
    before = MirrorState.objects.current().gate
    since = str(before["since"]) if before.get("trouble") and trouble else at.isoformat()
    MirrorState.objects.record(gate=_as_plain(found, trouble, since, at) if found else {})
    if bool(before.get("trouble")) != bool(trouble):
        logger.warning("gate.changed", trouble=trouble)
    incidents.lock(incidents.EVERY_MODEL)
    wanted = {target.pk for target in enforced}
    for incident in about.select_related("target", "request").order_by("pk"):
        if not trouble or incident.target_id not in wanted:
            stands = "MLflow enforces the gate again." if incident.target_id in wanted else NOT_WANTED
            incidents.close(incident, Incident.Resolution.UNDONE, reason=stands)
    if not found or not trouble or found.state == State.UNKNOWN:
        return
    # What a person has resolved with a reason stays resolved, until it was well in between.
    told = Incident.objects.filter(kind=Incident.Kind.UNENFORCED, details__since=since)
    known = set(told.values_list("target_id", flat=True))
    for target in enforced:
        if target.pk not in known:
            _open(target, at, {"since": since, "trouble": trouble}, not_before=before.get("at"))


def _open(target: Target, at: datetime, details: dict[str, str], *, not_before: str | None) -> None:
    incidents.open_incident(
        incidents.of_every_model(
            Incident.Kind.UNENFORCED,
            target,
            seen_at=at,
            details=details,
            not_before=datetime.fromisoformat(not_before) if not_before else None,
        )
    )


def _as_plain(found: Finding, trouble: str, since: str, at: datetime) -> dict[str, Any]:
    """What pages know of it; `serial` is the oldest policy that a process enforces."""
    return {
        "state": str(found.state),
        "modes": sorted({gate.mode for gate in found.gates}),
        "versions": sorted({gate.version for gate in found.gates}),
        "serial": min((gate.serial for gate in found.gates), default=0),
        "trouble": trouble,
        "since": since,
        "at": at.isoformat(),
    }
