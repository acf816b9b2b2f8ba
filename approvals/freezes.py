"""Reads the freeze windows and hands them to `policy.freezes`: what holds a model and a target now, and what will."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils import timezone

from approvals.models import FreezeWindow, Target
from approvals.policy.freezes import Freeze, Window, frozen_until, next_freeze

NEAR = timedelta(days=3)
"""How long before it begins a freeze is announced."""


def windows() -> list[FreezeWindow]:
    return list(FreezeWindow.objects.current())


def concerning(model_name: str, target_id: int, known: Sequence[FreezeWindow] | None = None) -> list[Window]:
    """Those that concern the model and the target; of `known`, where the caller asks for many."""
    found = windows() if known is None else known
    return [each.window for each in found if each.concerns(model_name, target_id)]


def holding(
    model_name: str, target_id: int, *, now: datetime | None = None, known: Sequence[FreezeWindow] | None = None
) -> Freeze | None:
    """The freeze that holds what is approved for this model and target now."""
    return frozen_until(concerning(model_name, target_id, known), now or timezone.now())


def coming(model_name: str, target: Target, *, known: Sequence[FreezeWindow] | None = None) -> Freeze | None:
    """The freeze that begins soon, where none is on."""
    return next_freeze(concerning(model_name, target.pk, known), timezone.now(), within=NEAR)
