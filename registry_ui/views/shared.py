"""What several pages need: bounded pages of a list, and the part of the history that is about one thing."""

from collections.abc import Sequence
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.urls import reverse

from accounts.models import User
from approvals import administration
from approvals.models import AuditEvent
from mirror import composed

NEWEST_EVENTS = 10


def own_history(user: User, model_name: str, version_number: int | None = None) -> Sequence[AuditEvent] | None:
    """The newest events about a model or one of its versions; None where the person may not read the history."""
    if not administration.may(user, administration.HISTORY):
        return None
    if version_number is None:
        return composed.objects(_of_model, model_name)
    return composed.objects(_of_version, model_name, version_number)


def _of_model(model_name: str) -> QuerySet[AuditEvent]:
    return AuditEvent.objects.filter(model_name=model_name).order_by("-sequence")[:NEWEST_EVENTS]


def _of_version(model_name: str, number: int) -> QuerySet[AuditEvent]:
    found = AuditEvent.objects.filter(model_name=model_name, version_number=number)
    return found.order_by("-sequence")[:NEWEST_EVENTS]


def history_url(model_name: str, version_number: int | None = None) -> str:
    """The history page, filtered to a model or one of its versions."""
    query = {"model": model_name} | ({} if version_number is None else {"version": str(version_number)})
    return f"{reverse('approvals:history')}?{urlencode(query)}"
