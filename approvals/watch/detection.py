"""Finds the places in which something else is than the tenures say, and lets `classification` decide what that is."""

from dataclasses import dataclass

from approvals.ledger import cut
from approvals.models import WatchState
from approvals.watch import baseline, classification, confirming, hidden_models, late_changes, renames
from approvals.watch.classification import Known
from approvals.watch.places import Key, different, watched
from mirror import clock
from mirror.isolation import alone
from mirror.models import MirrorState
from mirror.port import Registry


@dataclass(frozen=True, slots=True)
class Look:
    """What a look did: how many changes outside Countersign it `found`, and the models that it `passed` over because a
    delivery is at them, or because MLflow has to be asked first."""

    found: int = 0
    passed: tuple[str, ...] = ()


def look(registry: Registry | None = None) -> Look:
    """Compares mirror and tenures once; each change that no delivery made becomes an incident. Cheap when nothing
    differs, and safe beside pulls, sweeps and deliveries; one at a time is `cycle`'s care.

    Of each model that differs, `registry` is asked by name: the mirror may have an older answer, or half of a new one.
    When MLflow does not answer, the model is looked at again next time. Without it the mirror is believed.
    """
    asked = MirrorState.objects.current()  # before the rows are read: they are as new as this says, or newer
    # A ledger that was cut off does not know what was approved since: all of it would look like a bypass.
    if cut.look() or not baseline.take():
        return Look()
    state = WatchState.objects.get_or_create(pk=1)[0]
    places, found, passed = watched(), 0, set()
    for name in sorted({key.model for key in different(places)}):
        passed.add(name)  # also when it is not looked at to the end
        with alone("watch.model_not_judged", model=name):
            known = Known.of(state, name)
            renamed = renames.pair(name, asked=asked, registry=registry)
            if renamed is renames.WAIT:
                continue
            if isinstance(renamed, tuple):
                found += renames.settle(*renamed, places=places, known=known)
            elif classification.is_at_work(name):
                continue  # before MLflow is asked
            else:
                asked_at = confirming.confirm(name, places, registry) if registry else clock.now()
                if asked_at is None:
                    continue
                keys = [Key(name, target.pk, place) for place, target in places.items()]  # as they are by now, not then
                for key in sorted(keys, key=lambda key: key.is_alias):  # stages first
                    found += classification.judge(key, places[key.place], known, asked_at)
                if not confirming.is_current(name, asked_at):
                    continue
            if not classification.is_at_work(name):
                passed.discard(name)
    # What a delivery overwrote, and what MLflow's search hides, is not to be seen in the places.
    found += late_changes.look(state) + hidden_models.look(state, places)
    # As of when the rows were asked for, not of now: it bounds the time of the next change from below. What was passed
    # over keeps the times from before.
    WatchState.objects.filter(pk=1).update(
        looked_at=clock.now(),
        stages_known_at=asked.stages_asked_at or state.stages_known_at,
        aliases_known_at=asked.aliases_asked_at or state.aliases_known_at,
        behind={name: Known.of(state, name).as_plain() for name in sorted(passed)},
    )
    # Only a look at everything proves that nothing from before the backup is left to be reported.
    if not passed:
        cut.settle(stages_asked=asked.stages_asked_at, aliases_asked=asked.aliases_asked_at)
    return Look(found, tuple(sorted(passed)))
