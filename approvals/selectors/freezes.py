"""Reads the freeze windows and hands them to `policy.freezes`: what holds a model and a target now, and what will."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils import timezone

from approvals.models import FreezeWindow, OutboxEntry, Target
from approvals.policy.freezes import WEEK, Freeze, Window, frozen_until, next_freeze
from mirror import composed

NEAR = timedelta(days=3)
"""How long before it begins a freeze is announced."""


def windows() -> list[FreezeWindow]:
    return composed.objects(_current)


def _current() -> QuerySet[FreezeWindow]:
    found: QuerySet[FreezeWindow] = FreezeWindow.objects.current()
    return found


def concerning(model_name: str, target_id: int, known: Sequence[FreezeWindow] | None = None) -> list[Window]:
    """Those that concern the model and the target; of `known`, where the caller asks for many."""
    found = windows() if known is None else known
    return [each.window for each in found if each.concerns(model_name, target_id)]


def holding(
    model_name: str, target_id: int, *, now: datetime | None = None, known: Sequence[FreezeWindow] | None = None
) -> Freeze | None:
    """The freeze that holds what is approved for this model and target now."""
    return frozen_until(concerning(model_name, target_id, known), now or timezone.now())


@dataclass(frozen=True, slots=True)
class Notice:
    """The freeze that is on, else the one that begins soon; neither where none is near."""

    on: Freeze | None = None
    near: Freeze | None = None


def notice(model_name: str, target: Target, *, known: Sequence[FreezeWindow] | None = None) -> Notice:
    """What to say of freezes where this model and target are asked for. One query, unless all windows are `known`."""
    found, now = concerning(model_name, target.pk, known), timezone.now()
    on = frozen_until(found, now)
    return Notice(on, None if on else next_freeze(found, now, within=NEAR))


@dataclass(frozen=True, slots=True)
class Row:
    """One window for the page: the freeze that is on, else the next one within a week, else None."""

    window: FreezeWindow
    freeze: Freeze | None


@dataclass(frozen=True, slots=True)
class Overview:
    """All windows, each in one list."""

    on: list[Row]
    coming: list[Row]
    weekly: list[Row]
    over: list[Row]
    retired: list[Row]


def overview(*, now: datetime | None = None) -> Overview:
    """One query, whatever there is."""
    now = now or timezone.now()
    found = Overview([], [], [], [], [])
    for window in FreezeWindow.objects.select_related("target").order_by("name", "-retired_at"):
        if window.retired_at:
            found.retired.append(Row(window, None))
        elif on := frozen_until([window.window], now):
            found.on.append(Row(window, on))
        elif window.kind == FreezeWindow.Kind.WEEKLY:
            found.weekly.append(Row(window, next_freeze([window.window], now, within=WEEK)))
        else:
            is_over = window.ends_at is not None and window.ends_at <= now
            (found.over if is_over else found.coming).append(Row(window, None))
    return found


def held_by(window: FreezeWindow) -> list[int]:
    """Ids of the requests that this window holds now."""
    held = OutboxEntry.objects.open().filter(held_until__gt=timezone.now(), held_by=window.name)
    return list(held.order_by("pk").values_list("request_id", flat=True))
