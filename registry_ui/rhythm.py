"""How often MLflow is asked, why, and how soon what was changed there past Countersign is seen. For the System page."""

from django.conf import settings

from mirror import pace
from mirror.models import MirrorState


def pulls(state: MirrorState) -> str:
    every, took = pace.pull_every(state), pace.typical(state.pull_took)
    seen = f"A stage changed in MLflow is seen within {lasting(every + took + settings.DRAIN_SECONDS)}."
    if every == settings.PULL_SECONDS and every >= pace.PULL_APART * took:
        return f"Pulled every {lasting(every)}. {seen}"
    return (
        f"Pulled every {lasting(every)}, not every {lasting(settings.PULL_SECONDS)}: MLflow takes {lasting(took)} to "
        f"list what changed, {_share(every, took, pace.PULL_APART, 'COUNTERSIGN_PULL_SECONDS_MOST')} {seen}"
    )


def sweeps(state: MirrorState) -> str:
    every, took = pace.sweep_every(state), pace.typical(state.sweep_took)
    seen = f"An alias or tag changed in MLflow, or a deletion, is seen within {lasting(every + took)}."
    if every == settings.SWEEP_SECONDS and every >= pace.SWEEP_APART * took:
        return f"All models and versions are read every {lasting(every)}. {seen}"
    told = "" if settings.MLFLOW_WEBHOOK_SECRET else " With MLflow's webhooks, an alias is seen at once."
    return (
        f"All models and versions are read every {lasting(every)}, not every {lasting(settings.SWEEP_SECONDS)}: MLflow "
        f"takes {lasting(took)} to list them, {_share(every, took, pace.SWEEP_APART, 'COUNTERSIGN_SWEEP_SECONDS_MOST')}"
        f" {seen}{told}"
    )


def lasting(seconds: float) -> str:
    """`0.3 seconds`, `45 seconds`, `80 minutes`, `3 h 20 min`; from minutes on rounded up, as a bound is."""
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " seconds"
    if seconds <= 100:
        return f"{seconds:.0f} seconds"
    minutes = -int(-seconds // 60)
    return f"{minutes} minutes" if minutes <= 100 else f"{minutes // 60} h {minutes % 60} min"


def _share(every: int, took: float, apart: int, setting: str) -> str:
    if every >= apart * took:
        return f"and this keeps below {100 // apart} % of one of its processors."
    return f"and by {setting} it is asked this often all the same, for {100 * took / every:.0f} % of one processor."
