"""Finds the places in which something else is than the tenures say, and lets `judging` decide what that is."""

from dataclasses import dataclass

from django.utils import timezone

from approvals.models import WatchState
from approvals.watch import baseline, judging, overlooked, renames
from approvals.watch.judging import Known
from approvals.watch.places import Key, different, watched
from registry_ui.mirror.models import MirrorState
from registry_ui.mirror.registry import Registry


@dataclass(frozen=True, slots=True)
class Look:
    """What a look did: how many changes outside the gate it `found`, and the models that it `passed` over because a
    delivery is at them, or because MLflow has to be asked first."""

    found: int = 0
    passed: tuple[str, ...] = ()


def look(registry: Registry | None = None) -> Look:
    """Compares mirror and tenures once; each change that no delivery made becomes an incident. Cheap when nothing
    differs, and safe beside pulls, sweeps and deliveries; one at a time is `running`'s care.

    `registry` is asked for one thing: whether a model whose versions have appeared under another name is gone. Without
    it, or when MLflow does not answer, such a model is looked at again next time.
    """
    asked = MirrorState.objects.current()  # before the rows are read: they are as new as this says, or newer
    if not baseline.take():
        return Look()
    state = WatchState.objects.get_or_create(pk=1)[0]
    places, found, passed = watched(), 0, set()
    by_model: dict[str, list[Key]] = {}
    for key in different(places):
        by_model.setdefault(key.model, []).append(key)
    for name in sorted(by_model):
        known = Known.of(state, name)
        renamed = renames.pair(name, asked=asked, registry=registry)
        if renamed is renames.WAIT:
            passed.add(name)
            continue
        if isinstance(renamed, tuple):
            outcome = renames.settle(*renamed, places=places, known=known)
        else:
            stages_first = sorted(by_model[name], key=lambda key: key.is_alias)
            outcome = sum(judging.judge(key, places[key.place], known) for key in stages_first)
        if judging.is_at_work(name):
            passed.add(name)
        found += outcome
    found += overlooked.look(state)
    WatchState.objects.filter(pk=1).update(
        looked_at=timezone.now(),
        stages_known_at=asked.stages_asked_at or state.stages_known_at,
        aliases_known_at=asked.aliases_asked_at or state.aliases_known_at,
        behind={name: Known.of(state, name).as_plain() for name in sorted(passed)},
    )
    return Look(found, tuple(sorted(passed)))
