"""Records in MirrorState whether MLflow answers; pages and /readyz know it from there alone. When it is seen again
after a gap, the gap is kept as an Outage: nobody can say what happened in it."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Coalesce
from django.utils import timezone

from registry_ui.mirror.models import MirrorState, Outage
from registry_ui.mirror.registry import RegistryError


def answered(**facts: Any) -> None:
    """MLflow answered; `facts` are further columns (pulled_at, swept_at, cursor, …)."""
    if _is_gap(MirrorState.objects.current(), timezone.now()):
        _answered_after_a_gap(facts)
    else:
        MirrorState.objects.record(failing_since=None, error="", **facts)


def failed(error: RegistryError) -> None:
    """MLflow refused or did not answer. `failing_since` keeps the first time."""
    now = timezone.now()
    MirrorState.objects.record(failing_since=Coalesce("failing_since", now), failed_at=now, error=error.message[:2000])


def _is_gap(state: MirrorState, now: datetime) -> bool:
    """MLflow failed since it was last seen, or nobody asked for longer than STALE_AFTER_SECONDS: the worker stood
    still."""
    seen_at = state.seen_at
    is_stale = seen_at is not None and (now - seen_at).total_seconds() > settings.STALE_AFTER_SECONDS
    return state.is_failing or is_stale


@transaction.atomic
def _answered_after_a_gap(facts: dict[str, Any]) -> None:
    """The row is locked and looked at again, so that of two who see the end of a gap one keeps it."""
    state, now = MirrorState.objects.select_for_update().get(pk=1), timezone.now()
    if _is_gap(state, now):
        began = min(at for at in (state.seen_at, state.failing_since, now) if at is not None)
        Outage.objects.create(started_at=began, ended_at=now, error=state.error if state.is_failing else "")
    MirrorState.objects.record(failing_since=None, error="", **facts)
