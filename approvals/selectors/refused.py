"""What MLflow refused lately and nobody has requested since: for the pages on which it can be requested."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from approvals.models import Action, AuditEvent, PromotionRequest, Refusal

SHOWN_FOR = timedelta(days=14)
MOST = 50
"""Events that are looked through."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A change that one person tried to make in MLflow, and that a request could make."""

    version_number: int
    target_name: str
    who: str
    """By name, or "" where MLflow knows no user."""

    did: str
    """What was tried, with "it" for the version: `move it to Production`."""

    at: datetime
    times: int


def unrequested(model_name: str, version_number: int | None = None) -> list[Attempt]:
    """Of a model, or of one version: the newest attempt of each version and target for which no request was made since,
    the newest first. One query where there is none, four where there are."""
    since = timezone.now() - SHOWN_FOR
    events = AuditEvent.objects.filter(action=Action.REFUSED_IN_MLFLOW, at__gte=since, model_name=model_name)
    events = events.exclude(version_number=None).exclude(target_name="").order_by("-sequence")
    if version_number is not None:
        events = events.filter(version_number=version_number)
    tried = [event for event in events[:MOST] if event.data.get("asks")]
    if not tried:
        return []
    numbers = {event.version_number or 0 for event in tried}
    made = PromotionRequest.objects.filter(
        version__model__name=model_name, version__number__in=numbers, created_at__gte=since
    )
    asked: dict[tuple[int, str], datetime] = {}
    for number, target, at in made.order_by("created_at").values_list("version__number", "target__name", "created_at"):
        asked[number, target] = at
    times = dict(Refusal.objects.filter(event__in=tried).values_list("event_id", "times"))
    return _newest(tried, asked, times)


def _newest(
    tried: Sequence[AuditEvent], asked: dict[tuple[int, str], datetime], times: dict[int, int]
) -> list[Attempt]:
    found: dict[tuple[int, str], Attempt] = {}
    for event in tried:
        key = (event.version_number or 0, event.target_name)
        if key in found or (key in asked and asked[key] > event.at):
            continue
        data = event.data
        place = str(data.get("place", ""))
        found[key] = Attempt(
            version_number=key[0],
            target_name=event.target_name,
            who=str(data.get("who", "")).partition(" <")[0],
            did=f"make it {place}" if place.startswith("@") else f"move it to {place}",
            at=_moment(data.get("tried_at"), event.at),
            times=times.get(event.sequence, 1),
        )
    return list(found.values())


def _moment(text: object, otherwise: datetime) -> datetime:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return otherwise
