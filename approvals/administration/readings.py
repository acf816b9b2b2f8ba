"""What programs read of the history, on the record."""

import json
from datetime import timedelta

from django.utils import timezone

from accounts.models import User
from approvals.administration.people import record_export
from approvals.administration.shared import EXPORT, require
from approvals.models import Action, AuditEvent

EVERY = timedelta(days=1)


AFTER = "After event"
"""The filter by whose name a reading is told from an export."""


def record_reading(*, by: User, after: int) -> None:
    """Notes that the history behind an event is read through the API, once a day for each account: a program asks again
    and again for what is new, and each note would be new. What lies before what the day's notes say is noted by itself.
    One query where nothing is. Raises NotAllowed."""
    require(by, EXPORT)
    since = timezone.now() - EVERY
    found = AuditEvent.objects.filter(actor=by, action=Action.HISTORY_EXPORTED, at__gt=since)
    noted = (json.loads(each).get("filters", {}).get(AFTER) for each in found.values_list("payload", flat=True))
    if not any(each is not None and int(each) <= after for each in noted):
        record_export(by=by, filters={AFTER: str(after)})
