"""How often MLflow is asked what changed, and for everything: as often as the settings say, and so seldom that it keeps
under 15 % of one processor of MLflow, however long its answers take. Pages read it too, to say what that came to.

What MLflow is busy with while it is asked counts as its processor's time, which is an upper bound. The median of the
last few is what counts, so that one slow answer stalls nothing.
"""

import math
import statistics
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models.functions import Now

from mirror.models import MirrorState

PULL_APART, SWEEP_APART = 20, 10
"""Times as long as it takes: 5 % and 10 % of one processor."""

KEPT = 5

SWEEP_TICK = 60
"""Seconds, at most, between two looks of beat whether a sweep is due."""


def sweep_tick() -> int:
    return min(SWEEP_TICK, settings.SWEEP_SECONDS)


def pull_every(state: MirrorState) -> int:
    """Seconds from the beginning of one pull to the next: whole ticks of beat."""
    least, most = settings.PULL_SECONDS, settings.PULL_SECONDS_MOST
    return _whole(PULL_APART * typical(state.pull_took), least, most, tick=least)


def sweep_every(state: MirrorState) -> int:
    """The same of sweeps."""
    least, most = settings.SWEEP_SECONDS, settings.SWEEP_SECONDS_MOST
    return _whole(SWEEP_APART * typical(state.sweep_took), least, most, tick=sweep_tick())


def stale_after(state: MirrorState) -> int:
    """Seconds without an answer from which on the mirror is called stale: three pulls that did not come."""
    return max(settings.STALE_AFTER_SECONDS, 3 * pull_every(state))


def sweep_late_after(state: MirrorState) -> int:
    return 3 * sweep_every(state)


def typical(took: Sequence[float]) -> float:
    """Seconds; 0 before the first time."""
    return statistics.median_low(took) if took else 0.0


def pulled(state: MirrorState, *, asking: float, ago: float) -> dict[str, Any]:
    """Columns of MirrorState after a pull that began `ago` seconds ago and waited so many for what every pull asks."""
    state.pull_took = [*state.pull_took, round(asking, 4)][-KEPT:]
    return {"pull_took": state.pull_took, "pull_due_at": _due(pull_every(state), settings.PULL_SECONDS, ago)}


def pull_failed(state: MirrorState, *, ago: float) -> dict[str, Any]:
    """The same of one that MLflow did not answer; how long it did not says nothing of how long it takes."""
    return {"pull_due_at": _due(pull_every(state), settings.PULL_SECONDS, ago)}


def swept(state: MirrorState, *, took: float, ago: float) -> dict[str, Any]:
    """The same of a sweep that took so many seconds, without what is read once and for all."""
    state.sweep_took = [*state.sweep_took, round(took, 2)][-KEPT:]
    return {"sweep_took": state.sweep_took, "sweep_due_at": _due(sweep_every(state), sweep_tick(), ago)}


def sweep_failed(*, ago: float) -> dict[str, Any]:
    """It cost MLflow what it cost, and so is not tried again at once; nor as late as after a whole one."""
    every = _whole(SWEEP_APART * ago, settings.SWEEP_SECONDS, settings.SWEEP_SECONDS_MOST, tick=sweep_tick())
    return {"sweep_due_at": _due(every, sweep_tick(), ago)}


def _whole(seconds: float, least: int, most: int, *, tick: int) -> int:
    return max(least, math.ceil(min(seconds, most) / tick) * tick)


def _due(every: int, tick: int, ago: float) -> Any:
    """By the database's clock. Half a tick early: beat does not come by to the millisecond."""
    return Now() + timedelta(seconds=every - tick / 2 - ago)
