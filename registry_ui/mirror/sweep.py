"""The full sweep: every model, version, alias and tag, and the one place that sees deletions. For `sync` alone.

Nothing is taken for deleted because a listing lacks it: pages are cut by offset, so a version can slip between two
of them while others come and go. What was not listed is asked for by name before it is marked.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from django.utils import timezone

from registry_ui.mirror import facts, health, rows
from registry_ui.mirror.models import MirrorState, ModelVersion, RegisteredModel
from registry_ui.mirror.registry import ModelSnapshot, NotFound, Registry, RegistryError, VersionSnapshot

T = TypeVar("T")

LEASE_SECONDS = 300
"""How long a sweep may show no progress before another may start."""


@dataclass(slots=True)
class SweepReport:
    """What a sweep saw and did; with `dry_run`, what it would have done, each in `changes` as a line."""

    models: int = 0
    versions: int = 0
    added: int = 0
    changed: int = 0
    deleted: int = 0
    facts: int = 0
    seconds: float = 0.0
    changes: list[str] = field(default_factory=list)


OnProgress = Callable[[SweepReport], None]


def sweep(registry: Registry, *, dry_run: bool = False, on_progress: OnProgress | None = None) -> SweepReport:
    """Makes the mirror equal to MLflow. Raises RegistryError when MLflow fails on the way; what was read until then
    is stored, and nothing is marked deleted. Safe beside pulls, deliveries and other sweeps."""
    run = _Sweep(registry, dry_run=dry_run, on_progress=on_progress)
    try:
        return run.run()
    except RegistryError as error:
        if not dry_run:
            health.failed(error)
        raise
    finally:
        if not dry_run:
            MirrorState.objects.record(sweep_progress={}, sweeping_until=None)


class _Sweep:
    def __init__(self, registry: Registry, *, dry_run: bool, on_progress: OnProgress | None) -> None:
        self.registry, self.dry_run, self.on_progress = registry, dry_run, on_progress
        self.report = SweepReport()
        self.started_at = timezone.now()
        self.newest = 0

    def run(self) -> SweepReport:
        started = time.perf_counter()
        server = self.registry.ping()
        models_at_start, versions_at_start = rows.known_models(), rows.known_versions()
        models = self._models(models_at_start)
        versions = self._versions(versions_at_start, models)
        self._deletions(models_at_start, models, {key for key in versions_at_start if key not in versions})
        if not self.dry_run:
            self._facts()
            now = timezone.now()
            health.answered(
                swept_at=now,
                cursor=self.newest,
                server_version=server.version,
                latency_ms=server.latency_ms,
                stages_asked_at=self.started_at,
                aliases_asked_at=self.started_at,
            )
        self.report.seconds = time.perf_counter() - started
        return self.report

    def _models(self, known: dict[str, int]) -> set[str]:
        seen: set[str] = set()
        for asked_at, page in read_ahead(self.registry.models()):
            self._put_models(
                [each for each in page if known.get(each.name) != rows.model_digest(each)], known, asked_at
            )
            seen.update(each.name for each in page)
            self.report.models = len(seen)
            self._progress()
        return seen

    def _versions(self, known: dict[rows.Key, int], models: set[str]) -> set[rows.Key]:
        seen: set[rows.Key] = set()
        model_ids = dict(RegisteredModel.objects.values_list("name", "pk"))
        for asked_at, page in read_ahead(self.registry.versions()):
            self.newest = max(self.newest, page[0].last_updated_at if page else 0)
            if unknown := {each.model for each in page} - models:  # registered after the models were listed
                models |= unknown
                self._put_models(self._read_models(unknown), {}, asked_at)
                model_ids = dict(RegisteredModel.objects.values_list("name", "pk"))
            changed = [each for each in page if known.get((each.model, each.number)) != rows.version_digest(each)]
            self._put_versions(changed, known, asked_at, model_ids)
            seen.update((each.model, each.number) for each in page)
            self.report.versions = len(seen)
            self._progress()
        return seen

    def _deletions(self, known: dict[str, int], seen: set[str], unseen_versions: set[rows.Key]) -> None:
        """Asks for each thing that was mirrored before and not listed now; only MLflow's own no marks it deleted."""
        held = set(ModelVersion.objects.filter(deleted_at=None).values_list("model__name", "number"))
        suspects = {name for name, _ in unseen_versions & held}
        suspects |= set(
            RegisteredModel.objects.filter(deleted_at=None, name__in=known.keys() - seen).values_list("name", flat=True)
        )
        for name in sorted(suspects):
            asked_at = timezone.now()
            found = self._read_models({name})
            versions = [each for page in self.registry.versions(model=name) for each in page] if found else []
            if self.dry_run:
                gone = {number for model, number in held if model == name} - {each.number for each in versions}
                self.report.deleted += len(gone)
                self.report.changes += [f"{name} version {number}: deleted" for number in sorted(gone)]
                self.report.changes += [] if found else [f"{name}: deleted"]
                continue
            rows.put_versions(versions, asked_at)
            listed = {each.number for each in versions}
            self.report.deleted += rows.mark_deleted(name, asked_at, but=listed, all_of_it=not found)
            self._progress()

    def _facts(self) -> None:
        def on_batch(done: int) -> None:
            self.report.facts = before + done
            self._progress()

        for waiting, limit in ((facts.unread(), 1_000_000), (facts.due(self.started_at), facts.DUE_PER_SWEEP)):
            before = self.report.facts
            self.report.facts = before + facts.read(self.registry, waiting, limit=limit, on_batch=on_batch)

    def _read_models(self, names: set[str]) -> list[ModelSnapshot]:
        found = []
        for name in sorted(names):
            try:
                found.append(self.registry.model(name))
            except NotFound:
                continue
        return found

    # --- Writing, or only saying

    def _put_models(self, changed: Sequence[ModelSnapshot], known: dict[str, int], asked_at: datetime) -> None:
        if self.dry_run:
            self.report.changes += [f"{each.name}: {'changed' if each.name in known else 'added'}" for each in changed]
        else:
            rows.put_models(changed, asked_at)

    def _put_versions(
        self,
        changed: Sequence[VersionSnapshot],
        known: dict[rows.Key, int],
        asked_at: datetime,
        model_ids: dict[str, int],
    ) -> None:
        new = [each for each in changed if (each.model, each.number) not in known]
        self.report.added += len(new)
        self.report.changed += len(changed) - len(new)
        if self.dry_run:
            self.report.changes += [f"{each.model} version {each.number}: added" for each in new]
            self.report.changes += [self._difference(each) for each in changed if (each.model, each.number) in known]
        else:
            rows.put_versions(changed, asked_at, model_ids)

    def _difference(self, new: VersionSnapshot) -> str:
        old = ModelVersion.objects.get(model__name=new.model, number=new.number)
        name = f"{new.model} version {new.number}"
        if old.deleted_at is not None:
            return f"{name}: back again"
        if old.stage != new.stage:
            return f"{name}: stage {old.stage} → {new.stage}"
        names = [
            each
            for each in ("description", "tags", "status", "source", "run_id")
            if getattr(old, each) != getattr(new, each)
        ]
        return f"{name}: {', '.join(names) or 'time of the last update'}"

    def _progress(self) -> None:
        if not self.dry_run:
            MirrorState.objects.record(
                sweep_progress={
                    "models": self.report.models,
                    "versions": self.report.versions,
                    "facts": self.report.facts,
                },
                sweeping_until=timezone.now() + timedelta(seconds=LEASE_SECONDS),
            )
        if self.on_progress:
            self.on_progress(self.report)


def read_ahead(pages: Iterator[Sequence[T]]) -> Iterator[tuple[datetime, Sequence[T]]]:
    """Each page with the moment it was asked for; the next one is fetched while the caller works on this one."""

    def fetch() -> tuple[datetime, Sequence[T] | None]:
        return timezone.now(), next(pages, None)

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="mirror-pages") as pool:
        asked_at, page = fetch()
        while page is not None:
            coming = pool.submit(fetch)
            yield asked_at, page
            asked_at, page = coming.result()
