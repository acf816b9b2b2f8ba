"""Records in MirrorState whether MLflow answers, of pulls and of sweeps apart: a pull that succeeds says nothing of a
sweep that failed. Pages and /readyz know it from there alone. When MLflow is seen again after a gap, the gap is kept as
an Outage: no one can say what happened in it."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models.functions import Coalesce, Now

from mirror import clock, pace
from mirror.models import MirrorState, Outage
from mirror.port import RegistryError


def answered(**facts: Any) -> None:
    """A pull got its answers; `facts` are further columns (pulled_at, cursor, …)."""
    _record(is_pull=True, failing_since=None, error="", **facts)


def swept(**facts: Any) -> None:
    """A sweep came to its end."""
    _record(is_pull=False, sweep_failing_since=None, sweep_error="", **facts)


def failed(error: RegistryError, **facts: Any) -> None:
    """MLflow refused or did not answer a pull. `failing_since` keeps the first time."""
    now = clock.now()
    MirrorState.objects.record(
        failing_since=Coalesce("failing_since", now), failed_at=now, error=error.message[:2000], **facts
    )


def sweep_failed(error: RegistryError, **facts: Any) -> None:
    now = clock.now()
    MirrorState.objects.record(
        sweep_failing_since=Coalesce("sweep_failing_since", now),
        sweep_failed_at=now,
        sweep_error=error.message[:2000],
        **facts,
    )


def _record(*, is_pull: bool, **facts: Any) -> None:
    state = MirrorState.objects.annotate(now=Now()).filter(pk=1).first()
    if state is not None and _is_gap(state, state.now, is_pull=is_pull):
        _end_gap(facts, is_pull=is_pull)
    else:
        MirrorState.objects.record(**facts)


def _is_gap(state: MirrorState, now: datetime, *, is_pull: bool) -> bool:
    """Pulls failed since MLflow was last seen, or no one asked for longer than pulls are apart: the worker stood
    still."""
    seen_at = state.seen_at
    is_stale = seen_at is not None and (now - seen_at).total_seconds() > pace.stale_after(state)
    return (is_pull and state.is_failing) or is_stale


@transaction.atomic
def _end_gap(facts: dict[str, Any], *, is_pull: bool) -> None:
    """The row is locked and looked at again, so that of two who see the end of a gap one keeps it."""
    state, now = MirrorState.objects.select_for_update().get(pk=1), clock.now()
    if _is_gap(state, now, is_pull=is_pull):
        began = min(at for at in (state.seen_at, state.failing_since, now) if at is not None)
        Outage.objects.create(started_at=began, ended_at=now, error=state.error if state.is_failing else "")
    MirrorState.objects.record(**facts)
