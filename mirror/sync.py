"""The only writer of the mirror: pull (every few seconds), sweep (all of it), and targeted refreshes for delivery.

Called from tasks, commands and `approvals.delivery`; never from a web request.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from mirror import by_name, clock, composed, facts, health, identity, pace, rows
from mirror.isolation import alone
from mirror.leases import held
from mirror.models import Alias, MirrorState, ModelVersion, RefreshHint, RegisteredModel
from mirror.port import Denied, ModelSnapshot, NotFound, Registry, RegistryError, Unreachable, Unsigned, VersionSnapshot
from mirror.sweep import SweepReport, sweep

__all__ = [
    "PullReport",
    "SweepReport",
    "confirm_missing",
    "follow_hints",
    "hint",
    "pull",
    "refresh_facts",
    "refresh_model",
    "refresh_places",
    "refresh_version",
    "store_alias",
    "store_versions",
    "sweep",
]

PAGES = (100, 1_000, 10_000)
"""MLflow sorts its whole table for every page, so the first one is small, and those after it are few."""

FEW_MODELS, FEW_OF = 20, 10
"""Up to so many changed models, or one in ten of all, are asked for one by one: a model by its name takes MLflow about
ten times as long as one more on a page of all models."""

FEW_HIDDEN = 5
"""So many models that MLflow does not list are asked for by name in one pull."""

FACTS_PER_PULL = 400
REREAD = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class PullReport:
    changed: int = 0
    facts: int = 0
    error: str = ""


def pull(registry: Registry) -> PullReport:
    """Mirrors what changed since the last pull: reads newest-first until known, then the facts of new versions. Does
    not see deletions, aliases and tags that moved alone: MLflow gives those no time, the sweep finds them. The first
    pull of all is a sweep. A registry error is recorded in MirrorState and reported, not raised."""
    started, state = time.perf_counter(), MirrorState.objects.current()
    try:
        if state.swept_at is None:
            with held("sweeping_until") as is_ours:
                if not is_ours:
                    return PullReport()
                report = sweep(registry)
            health.answered(pulled_at=Now())
            return PullReport(changed=report.added + report.changed, facts=report.facts)
        identity.confirm(registry, within=60)
        changed, asking, seen = _pull_versions(registry, state.cursor)
        asked = time.perf_counter()
        changed += _pull_hidden(registry)
        asking += time.perf_counter() - asked
        health.answered(**seen, **pace.pulled(state, asking=asking, ago=time.perf_counter() - started))
        return PullReport(changed=changed, facts=facts.read(registry, facts.unread(), limit=FACTS_PER_PULL))
    except RegistryError as error:
        health.failed(error, **pace.pull_failed(state, ago=time.perf_counter() - started))
        return PullReport(error=error.message)


def _pull_versions(registry: Registry, known_until: int) -> tuple[int, float, dict[str, Any]]:
    """How many changed, the seconds that MLflow took for the page that every pull asks for, and what MirrorState is to
    know."""
    newest, changed, is_caught_up, asking, listed = known_until, 0, False, 0.0, known_until == 0
    began_at: datetime | None = None
    for page_size in PAGES:
        pages = iter(registry.versions(page_size=page_size))
        while not is_caught_up:
            asked_at, started = clock.now(), time.perf_counter()
            began_at = began_at or asked_at
            page = next(pages, ())
            asking = asking or time.perf_counter() - started
            newest, listed = max(newest, page[0].last_updated_at if page else 0), listed or bool(page)
            changed += _take(registry, page, asked_at)
            # Versions of the very same millisecond as the cursor may be new, so the page must reach below it.
            is_caught_up = len(page) < page_size or page[-1].last_updated_at < known_until
            if page_size != PAGES[-1]:
                break
    # An empty answer where there was something says nothing of stages.
    looked = {"stages_asked_at": began_at} if listed else {}
    return changed, asking, {"pulled_at": Now(), "cursor": newest, "latency_ms": asking * 1000, **looked}


def _pull_hidden(registry: Registry) -> int:
    """Looks at models that MLflow does not list, the longest unread first: a stage that is moved moves the model's
    time, and an alias is named with the model. Reads in full what differs; returns how many did."""
    changed = 0
    hidden = RegisteredModel.objects.filter(deleted_at=None, hidden_at__isnull=False).order_by("read_at")
    for name in list(hidden.values_list("name", flat=True)[:FEW_HIDDEN]):
        with suppress(NotFound, Denied, by_name.Contradiction):  # the sweep sees to it
            asked_at, model = clock.now(), registry.model(name)
            if rows.known_models({name}).get(name) != rows.model_digest(model):
                by_name.store(by_name.read(registry, name))
                changed += 1
            else:
                RegisteredModel.objects.filter(name=name, read_at__lt=asked_at).update(read_at=asked_at)
    return changed


def _take(registry: Registry, page: Sequence[VersionSnapshot], asked_at: datetime) -> int:
    """Stores what differs in a page, with the models it belongs to (and so their aliases)."""
    fitting = rows.fitting_versions(page)
    known = rows.known_versions(fitting)
    changed = [each for each in fitting if known.get((each.model, each.number)) != rows.version_digest(each)]
    if changed:
        identity.confirm(registry, within=1)
        _refresh_models(registry, {each.model for each in changed})
        rows.put_versions(changed, asked_at)
    return len(changed)


def _refresh_models(registry: Registry, names: set[str]) -> None:
    asked_at = clock.now()
    found: list[ModelSnapshot] = []
    if len(names) > FEW_MODELS and len(names) * FEW_OF > RegisteredModel.objects.count():
        found = [each for page in registry.models() for each in page if each.name in names]
    for name in sorted(names - {each.name for each in found}):
        try:
            found.append(registry.model(name))
        except Unsigned:
            raise
        except (NotFound, Denied):  # deleted since the page was read; its versions are then left out
            continue
    found, _ = rows.fitting_models(found)
    known = rows.known_models(names)
    rows.put_models(
        [
            each
            for each in found
            if known.get(each.name) != rows.model_digest(each) and (each.name in known or not each.is_prompt)
        ],
        asked_at,
    )


# --- Targeted


def refresh_model(registry: Registry, name: str) -> ModelSnapshot:
    """Mirrors one model with its aliases, all its versions and their facts. Raises NotFound, and marks it deleted,
    when MLflow has no such model."""
    identity.confirm(registry, within=identity.OFTEN)
    asked_at = clock.now()
    try:
        found = by_name.read(registry, name)
    except NotFound:
        rows.mark_deleted(name, asked_at)
        raise
    if found.model.is_prompt and not _is_mirrored(name):
        raise NotFound(f"{name} is a prompt, not a model.")
    by_name.store(found)
    facts.read(
        registry,
        ModelVersion.objects.filter(model__name=name, deleted_at=None).order_by("-number"),
        limit=FACTS_PER_PULL,
    )
    return found.model


def refresh_places(registry: Registry, name: str, numbers: Collection[int]) -> datetime:
    """Mirrors one model with its aliases, and of its versions these and the newest of each stage, each asked for by
    name: no listing is believed. Returns when it asked. Raises NotFound, and marks it deleted, when MLflow has no such
    model."""
    identity.confirm(registry, within=identity.OFTEN)
    asked_at = clock.now()
    try:
        model = by_name.model(registry, name)
    except NotFound:
        rows.mark_deleted(name, asked_at)
        raise
    wanted = {*numbers, *model.latest}
    found: list[VersionSnapshot] = []
    for number in sorted(wanted):
        with suppress(NotFound):
            found.append(registry.version(name, number))
    rows.put_models([model], asked_at)
    rows.put_versions(found, asked_at)
    rows.mark_deleted(name, asked_at, wanted - {each.number for each in found})
    return asked_at


def refresh_version(registry: Registry, model: str, number: int) -> VersionSnapshot:
    """Mirrors one version and its facts. Raises NotFound when it is a prompt, and, marking it deleted, when MLflow has
    no such version."""
    identity.confirm(registry, within=identity.OFTEN)
    asked_at = clock.now()
    rows_of_it = ModelVersion.objects.filter(model__name=model, number=number)
    try:
        version = registry.version(model, number)
    except NotFound:
        rows_of_it.filter(deleted_at=None, read_at__lt=asked_at).update(deleted_at=asked_at, read_at=asked_at)
        raise
    known = dict(composed.rows(_mirrored, model))
    if not known:
        _refresh_models(registry, {model})
        if not _is_mirrored(model):
            raise NotFound(f"{model} is a prompt, not a model.")
    rows.put_versions([version], asked_at, known or None)
    facts.read_batch(registry, composed.objects(_whole, model, number))
    return version


def _mirrored(name: str) -> "QuerySet[RegisteredModel, Any]":
    return RegisteredModel.objects.filter(name=name, deleted_at=None).values_list("name", "pk")


def _whole(model: str, number: int) -> "QuerySet[ModelVersion]":
    return ModelVersion.objects.filter(model__name=model, number=number).select_related("model")


def _is_mirrored(model: str) -> bool:
    """What a thing is, is fixed when it is first mirrored: marked as a prompt later, a model stays one."""
    return RegisteredModel.objects.filter(name=model).exists()


def refresh_facts(registry: Registry, versions: "QuerySet[ModelVersion]", *, limit: int) -> int:
    """Reads the facts of the mirrored versions that were not read for a while; returns how many."""
    stale = versions.filter(deleted_at=None, facts_at__lt=clock.now() - REREAD).order_by("facts_at")
    return facts.read(registry, stale, limit=limit)


def confirm_missing() -> dict[str, int]:
    """Lets the sweeps ask for everything that is missing, and mark what MLflow says does not exist; returns what is
    missing, {} when nothing is or a person has confirmed it. In the transaction of the caller, who records it."""
    state: MirrorState = MirrorState.objects.select_for_update().filter(pk=1).first() or MirrorState()
    if not state.is_stopped:
        return {}
    MirrorState.objects.record(missing_confirmed_at=clock.now(), sweep_due_at=None)
    return dict(state.missing)


def store_versions(
    snapshots: Sequence[VersionSnapshot], *, asked_at: datetime | None = None, known: Mapping[str, int] | None = None
) -> None:
    """Stores versions that the caller has just read, inside the caller's transaction; `asked_at` is from before it
    asked. `known`: the numbers of their models' rows by name, where the caller has them."""
    rows.put_versions(snapshots, asked_at or clock.now(), known)


def store_alias(model: str, alias: str, number: int | None, *, pk: int | None = None) -> None:
    """Stores an alias that the caller has just set in MLflow and read back; None: that it has deleted. `pk`: the number
    of the model's row, where the caller has it."""
    with transaction.atomic(savepoint=False):
        pk = pk or RegisteredModel.objects.values_list("pk", flat=True).get(name=model)
        RegisteredModel.objects.filter(pk=pk).update(read_at=clock.in_update())
        if number is None:
            Alias.objects.filter(model=pk, name=alias).delete()
        else:
            row = Alias(model_id=pk, name=alias, number=number)
            Alias.objects.bulk_create(
                [row], update_conflicts=True, unique_fields=["model", "name"], update_fields=["number"]
            )


# --- Hints


def hint(model: str) -> None:
    """Notes that the model wants reading anew: an event of MLflow named it. Safe to say again."""
    RefreshHint.objects.update_or_create(model_name=model, defaults={"heard_at": clock.now()})


def follow_hints(registry: Registry, *, limit: int = 50) -> int:
    """Reads anew what hints name, the oldest first; returns how many. A hint that comes meanwhile stays, and so do all
    when MLflow does not answer."""
    done = 0
    for name, heard_at in list(RefreshHint.objects.order_by("heard_at").values_list("model_name", "heard_at")[:limit]):
        try:
            with alone("hint.not_followed", model=name, but=(RegistryError,)):  # the next sweep sees it
                refresh_model(registry, name)
        except Unreachable as error:
            health.failed(error)
            break
        except RegistryError:  # no such model, or a prompt: there is nothing to read
            pass
        RefreshHint.objects.filter(model_name=name, heard_at=heard_at).delete()
        done += 1
    return done
