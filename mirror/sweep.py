"""The full sweep: every model, version, alias and tag, and the one place that sees deletions. For `sync` alone.

Nothing is taken for deleted because a listing lacks it: what was mirrored and is not listed is asked for by name and
number (`by_name`), and so is, in each sweep, what MLflow has and does not list.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

import structlog
from django.conf import settings
from django.utils import timezone

from mirror import by_name, facts, health, identity, rows
from mirror.models import MirrorState, ModelVersion, RegisteredModel
from mirror.port import (
    Denied,
    ModelSnapshot,
    NotFound,
    Refused,
    Registry,
    RegistryError,
    ServerInfo,
    Unsigned,
    VersionSnapshot,
)

T = TypeVar("T")

log = structlog.get_logger(__name__)

MOST_ASKED = 2_000
"""Questions by name and number in one sweep, some 15 seconds of MLflow's time; what is left waits for the next one."""

MOST_NOTES = 50
NOT_READABLE = "MLflow does not let Countersign read"

LEASE_SECONDS = 300
"""How long a sweep may show no progress before another may start."""


FEW = 20
"""So many models, and versions, may be missing at once in however small a registry; they are asked for by name."""


class Doubtful(Refused):
    """So much is missing from MLflow's listings at once that they are not believed."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What was mirrored before and is not listed now: whole models, and versions of models that are listed."""

    models: int
    of_models: int
    versions: int
    of_versions: int

    @property
    def is_doubtful(self) -> bool:
        pairs = ((self.models, self.of_models), (self.versions, self.of_versions))
        return any(gone > max(FEW, known * settings.MISSING_PERCENT / 100) for gone, known in pairs)

    @property
    def words(self) -> str:
        return (
            f"MLflow does not list {self.models:,} of {self.of_models:,} models, and {self.versions:,} of "
            f"{self.of_versions:,} versions beside those. That is too much at once to be believed, so nothing was "
            "marked as deleted. If it is so, an administrator confirms it on the System page or with manage.py sweep "
            "--confirm-deletions."
        )


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
    notes: list[str] = field(default_factory=list)
    """What could not be read or kept, a sentence each."""


OnProgress = Callable[[SweepReport], None]


def sweep(registry: Registry, *, dry_run: bool = False, on_progress: OnProgress | None = None) -> SweepReport:
    """Makes the mirror equal to MLflow. Raises RegistryError when MLflow fails on the way; what was read until then
    is stored, and nothing is marked deleted. Raises Doubtful, with all stored that was listed, when too much is missing
    at once. Safe beside pulls, deliveries and other sweeps."""
    run = _Sweep(registry, dry_run=dry_run, on_progress=on_progress)
    try:
        return run.run()
    except RegistryError as error:
        if not dry_run:
            health.sweep_failed(error)
        raise
    finally:
        if not dry_run:
            MirrorState.objects.record(sweep_progress={}, sweeping_until=None)


class _Sweep:
    def __init__(self, registry: Registry, *, dry_run: bool, on_progress: OnProgress | None) -> None:
        self.registry, self.dry_run, self.on_progress = registry, dry_run, on_progress
        self.report = SweepReport()
        self.started_at = timezone.now()
        self.newest = self.asked = self.unasked = 0

    def run(self) -> SweepReport:
        started = time.perf_counter()
        server = self._server()
        identity.confirm(self.registry, dry_run=self.dry_run)
        models_at_start, versions_at_start = rows.known_models(), rows.known_versions()
        models = self._models(models_at_start)
        versions = self._versions(versions_at_start, models_at_start, set(models))
        identity.confirm(self.registry, dry_run=self.dry_run)  # a long time has passed
        missing = self._unlisted(models_at_start, models, versions_at_start, versions)
        if not self.dry_run:
            self._facts()
        if missing:
            if not self.dry_run:
                MirrorState.objects.record(missing=asdict(missing))
            raise Doubtful(missing.words)
        if not self.dry_run:
            # What was not looked at is not known to be as it was.
            looked = {} if self.unasked else dict.fromkeys(("stages_asked_at", "aliases_asked_at"), self.started_at)
            health.swept(
                swept_at=timezone.now(),
                cursor=self.newest,
                server_version=server.version if server else "",
                latency_ms=server.latency_ms if server else None,
                sweep_notes=self.report.notes[:MOST_NOTES],
                missing={},
                missing_confirmed_at=None,
                **looked,
            )
        self.report.seconds = time.perf_counter() - started
        return self.report

    def _server(self) -> ServerInfo | None:
        """Its version is for display alone: a gateway that does not pass it on stops nothing."""
        try:
            return self.registry.ping()
        except RegistryError as error:
            log.info("sweep.no_version", error=error.message)
            return None

    def _models(self, known: dict[str, int]) -> dict[str, bool]:
        """The listed models, each with whether it has versions."""
        seen: dict[str, bool] = {}
        for asked_at, page in read_ahead(self.registry.models()):
            fitting, refused = rows.fitting_models(page)
            self.report.notes += refused
            models = [each for each in fitting if each.name in known or not each.is_prompt]
            self._put_models(
                [each for each in models if known.get(each.name) != rows.model_digest(each)], known, asked_at
            )
            seen.update((each.name, bool(each.latest)) for each in models)
            self.report.models = len(seen)
            self._progress()
        return seen

    def _versions(self, known: dict[rows.Key, int], known_models: dict[str, int], asked_for: set[str]) -> set[rows.Key]:
        """The listed versions. A model that is only mentioned here was registered after the models were listed, or is
        not listed: it is asked for, unless `_unlisted` will do that."""
        seen: set[rows.Key] = set()
        prompts: set[str] = set()
        model_ids = dict(RegisteredModel.objects.values_list("name", "pk"))
        asked_for |= set(RegisteredModel.objects.filter(deleted_at=None).values_list("name", flat=True))
        for asked_at, listed in read_ahead(self.registry.versions()):
            self.newest = max(self.newest, listed[0].last_updated_at if listed else 0)
            page = rows.fitting_versions(listed)
            if unknown := {each.model for each in page} - asked_for:
                asked_for |= unknown
                found = self._read_models(unknown)
                prompts |= {each.name for each in found if each.is_prompt and each.name not in known_models}
                self._put_models([each for each in found if each.name not in prompts], known_models, asked_at)
                model_ids = dict(RegisteredModel.objects.values_list("name", "pk"))
            changed = [
                each
                for each in page
                if each.model not in prompts and known.get((each.model, each.number)) != rows.version_digest(each)
            ]
            self._put_versions(changed, known, asked_at, model_ids)
            seen.update((each.model, each.number) for each in page)
            self.report.versions = len(seen)
            self._progress()
        return seen

    def _unlisted(
        self,
        known_models: dict[str, int],
        listed_models: dict[str, bool],
        known: dict[rows.Key, int],
        listed: set[rows.Key],
    ) -> Missing | None:
        """Asks by name and number for what was mirrored before and is not listed now, for what MLflow says it has and
        does not list, and for what was hidden before; the longest unread first. Where too much is missing at once and
        no one has confirmed it, asks for what was hidden before alone, and returns what is missing."""
        rest = RegisteredModel.objects.filter(deleted_at=None).values_list(
            "name", "read_at", "hidden_at", "unreadable_at"
        )
        read_at = {name: at for name, at, *_ in rest}
        hidden = {name for name, _, *apart in rest if any(apart)}  # known not to be listed in full
        held = set(ModelVersion.objects.filter(deleted_at=None).values_list("model__name", "number"))
        models = {name for name, has_versions in listed_models.items() if has_versions} - {name for name, _ in listed}
        models = (models | read_at.keys() & known_models.keys() - listed_models.keys()) - hidden
        versions = [key for key in known.keys() - listed if key in held and key[0] not in models | hidden]
        missing = Missing(len(models), len(read_at), len(versions), len(held))
        is_confirmed = MirrorState.objects.current().missing_confirmed_at is not None
        is_believed = is_confirmed or not missing.is_doubtful
        suspects = hidden | (models | {name for name, _ in versions} if is_believed else set())
        for name in sorted(suspects, key=lambda name: (name in read_at, read_at.get(name), name)):
            if self.asked >= MOST_ASKED and not is_confirmed:
                self.unasked += 1
                continue
            self._ask(name, known, held, listed, is_listed=name in listed_models)
            self._progress()
        return None if is_believed else missing

    def _ask(
        self,
        name: str,
        known: dict[rows.Key, int],
        held: set[rows.Key],
        listed: set[rows.Key],
        *,
        is_listed: bool,
    ) -> None:
        asked_at = timezone.now()
        try:
            found = by_name.read(self.registry, name, is_listed=is_listed)
        # What contradicts itself is neither stored nor taken for gone; the next sweep asks again.
        except by_name.Contradiction as error:
            self.report.notes.append(error.message)
            self.unasked += 1
            return
        except Unsigned:
            raise
        except Denied as error:
            self.asked += 1
            self.report.notes.append(f"{NOT_READABLE} the model {name}. {error.message}")
            if not self.dry_run:
                rows.mark_unreadable(name, asked_at, is_unreadable=True)
            return
        except NotFound:
            self.asked += 2
            if self.dry_run:
                self._say_deleted(name, {number for model, number in held if model == name})
                self.report.changes.append(f"{name}: deleted")
            else:
                self.report.deleted += rows.mark_deleted(name, asked_at)
            return
        self.asked += 3 + len(found.numbered) + len(found.gone)
        self.unasked += found.unasked
        if found.is_unreadable:
            self.report.notes.append(f"{NOT_READABLE} all versions of {name}.")
        # What the listing had is counted already.
        met = [each for each in (*found.listed, *found.numbered) if (name, each.number) not in listed]
        self._count_versions(
            [each for each in met if known.get((name, each.number)) != rows.version_digest(each)], known
        )
        if self.dry_run:
            self._say_deleted(name, {number for number in found.gone if (name, number) in held})
            self.report.changes += [f"{name}: hidden from MLflow's search"] if found.is_hidden else []
        else:
            self.report.deleted += by_name.store(found)

    def _say_deleted(self, name: str, numbers: set[int]) -> None:
        self.report.deleted += len(numbers)
        self.report.changes += [f"{name} version {number}: deleted" for number in sorted(numbers)]

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
            except Unsigned:
                raise
            except Denied as error:
                self.report.notes.append(f"{NOT_READABLE} the model {name}. {error.message}")
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
        self._count_versions(changed, known)
        if not self.dry_run:
            rows.put_versions(changed, asked_at, model_ids)

    def _count_versions(self, changed: Sequence[VersionSnapshot], known: dict[rows.Key, int]) -> None:
        new = [each for each in changed if (each.model, each.number) not in known]
        self.report.added += len(new)
        self.report.changed += len(changed) - len(new)
        if self.dry_run:
            self.report.changes += [f"{each.model} version {each.number}: added" for each in new]
            self.report.changes += [self._difference(each) for each in changed if (each.model, each.number) in known]

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
