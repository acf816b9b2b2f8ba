"""The people whom the ledger names against the people there are: two who were swapped, one who took another's name."""

from collections.abc import Callable, Iterator

from django.db.models import Max

from approvals.ledger.verdicts import Fault
from approvals.models import AuditEvent
from registry_ui.accounts.models import User


def faults() -> Iterator[tuple[Fault, Callable[[], Fault | None] | None]]:
    """People change their names; but nobody's name is the one that the ledger last knew somebody else by."""
    found = _first()
    if found:
        yield found, _first


def _first() -> Fault | None:
    acted = AuditEvent.objects.filter(actor__isnull=False).order_by().values("actor").annotate(last=Max("sequence"))
    newest = dict(acted.values_list("actor", "last"))
    known = {event.actor_id: event for event in _events(sorted(newest.values()))}
    owners = {event.actor_label: event for event in known.values()}
    for person in User.objects.filter(pk__in=known).order_by("pk").iterator():
        own, other = known[person.pk], owners.get(person.label)
        if other is not None and other.actor_id != person.pk:
            return Fault(
                f"Two people were swapped, or one took another's name: {person.label} is whom event {own.sequence} "
                f"calls {own.actor_label}; whom event {other.sequence} calls {person.label} is somebody else.",
                min(own.sequence, other.sequence),
            )
    return None


def _events(numbers: list[int]) -> Iterator[AuditEvent]:
    for at in range(0, len(numbers), 500):
        yield from AuditEvent.objects.filter(sequence__in=numbers[at : at + 500])
