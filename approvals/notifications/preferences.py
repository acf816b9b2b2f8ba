"""How each person wants to be told: at once, in a daily digest or not at all. What no one chose is the default."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from django.db import transaction
from django.db.models import Q

from accounts.models import User
from approvals.models import DigestTime, How, Kind, Notification, NotificationChoice
from mirror import clock

DEFAULTS: dict[Kind, How] = dict.fromkeys(Kind, How.NOW) | {Kind.EXPIRED: How.DIGEST, Kind.WITHDRAWN: How.DIGEST}
DIGEST_HOUR = 8
TIME_ZONE = "UTC"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What one person wants."""

    choices: Mapping[Kind, How] = field(default_factory=dict)
    hour: int = DIGEST_HOUR
    time_zone: str = TIME_ZONE

    def how(self, kind: Kind) -> How:
        return self.choices.get(kind, DEFAULTS[kind])

    def due_at(self, kind: Kind, now: datetime) -> datetime | None:
        """When a notification of this kind is to be sent; None: not at all."""
        match self.how(kind):
            case How.NOW:
                return now
            case How.DIGEST:
                return next_digest(self.hour, self.time_zone, now)
            case How.NEVER:
                return None


@cache
def time_zones() -> tuple[str, ...]:
    """Names of places and UTC, in order; without the historical ones such as `EST5EDT`."""
    return ("UTC", *sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/")))


def next_digest(hour: int, time_zone: str, after: datetime) -> datetime:
    """The next moment (UTC) after `after` at which clocks there show this hour. Where a clock skips the hour, it is the
    moment to which the clock jumps or shortly after."""
    zone = ZoneInfo(time_zone if time_zone in time_zones() else TIME_ZONE)  # names come and go with the system's list
    day = after.astimezone(zone).date()
    while (found := datetime.combine(day, time(hour), zone).astimezone(UTC)) <= after:
        day += timedelta(days=1)
    return found


def wishes_of(people: Iterable[int]) -> dict[int, Wishes]:
    """By the ids of these people; those who chose nothing have the defaults. Two queries."""
    wanted = set(people)
    choices: dict[int, dict[Kind, How]] = {person: {} for person in wanted}
    for choice in NotificationChoice.objects.filter(person__in=wanted):
        if choice.kind in Kind.values and choice.how in How.values:
            choices[choice.person_id][Kind(choice.kind)] = How(choice.how)
    times = {
        person: (hour, zone)
        for person, hour, zone in DigestTime.objects.filter(person__in=wanted).values_list(
            "person_id", "hour", "time_zone"
        )
    }
    return {person: Wishes(choices[person], *times.get(person, (DIGEST_HOUR, TIME_ZONE))) for person in wanted}


@transaction.atomic
def save(person: User, *, choices: Mapping[Kind, How], hour: int, time_zone: str) -> None:
    """Keeps what the person chose; it also holds for what waits to be sent."""
    for kind, how in choices.items():
        if how == DEFAULTS[kind]:
            NotificationChoice.objects.filter(person=person, kind=kind).delete()
        else:
            NotificationChoice.objects.update_or_create(person=person, kind=kind, defaults={"how": how})
    if (hour, time_zone) == (DIGEST_HOUR, TIME_ZONE):
        DigestTime.objects.filter(person=person).delete()
    else:
        DigestTime.objects.update_or_create(person=person, defaults={"hour": hour, "time_zone": time_zone})
    _apply_to_open(person)


def _apply_to_open(person: User) -> None:
    now = clock.now()
    wishes = wishes_of([person.pk])[person.pk]
    for kind in Kind:
        free = Q(lease_expires_at=None) | Q(lease_expires_at__lte=now)
        rows = Notification.objects.open().filter(free, recipient=person, kind=kind)
        match wishes.how(kind):
            case How.NEVER:
                rows.update(dropped_at=now, last_error="Switched off.")
            case How.NOW:
                rows.filter(is_digest=True).update(is_digest=False, due_at=now)
            case How.DIGEST:
                rows.update(is_digest=True, due_at=next_digest(wishes.hour, wishes.time_zone, now))
