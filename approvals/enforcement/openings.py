"""That the operator of MLflow opened its gate: an incident, which a person reviews afterwards and resolves with a
reason. Mostly told late, because Countersign was away when it happened."""

from datetime import UTC, datetime, timedelta

from django.db import transaction

from approvals.enforcement.reading import Unreadable, line, number, single
from approvals.models import Enforcement, Incident, Target
from approvals.watch import incidents
from approvals.webhooks.reply import Reply, Verdict
from approvals.workflow import locks

MOST_BYTES = 16 * 1024
LONGEST_AGO = timedelta(days=365)


def receive(body: bytes, *, now: datetime) -> Reply:
    """Takes one opening; of each id one, however often it comes."""
    try:
        said = single(body)
        opened = line(said, "id", 100)
        reason, who = line(said, "reason", 1000), line(said, "who", 200, required=False)
    except Unreadable as error:
        return Reply(Verdict.UNREADABLE, str(error))
    at = said.get("at")
    told = datetime.fromtimestamp(at, UTC) if isinstance(at, int | float) and 0 < at < 1e11 else now
    at = told if now - LONGEST_AGO < told < now + timedelta(minutes=1) else now
    minutes = number(said, "minutes") or 0
    details = {"id": opened, "reason": reason, "who": who, "minutes": minutes, "opened_at": at.isoformat()}
    details["trouble"] = f"{who or 'Its operator'} opened the gate {_at(at)} for {_minutes(minutes)}. Reason: {reason}"
    return _taken(details, now)


@transaction.atomic
def _taken(details: dict[str, object], now: datetime) -> Reply:
    target = _target()
    if target is None:
        return Reply(Verdict.TAKEN, "There is no target, so there is nothing to review.")
    locks.lock_targets([target.pk])
    incidents.lock(incidents.EVERY_MODEL)
    known = Incident.objects.filter(kind=Incident.Kind.OPENED, details__id=details["id"])
    if not known.exists():
        incidents.open_incident(incidents.of_every_model(Incident.Kind.OPENED, target, seen_at=now, details=details))
    return Reply(Verdict.TAKEN, "It is an incident to review.")


def _target() -> Target | None:
    """What it is filed under: of all that it opened, the target that people look at most."""
    found = list(Target.objects.current())
    by_mode = {mode: [each for each in found if each.enforcement == mode] for mode in Enforcement}
    return next((some[-1] for mode in reversed(Enforcement) if (some := by_mode[mode])), None)


def _at(at: datetime) -> str:
    return f"at {at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _minutes(count: int) -> str:
    return f"{count} minute{'' if count == 1 else 's'}" if count else "a time"
