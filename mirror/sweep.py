"""The full sweep: every model, version, alias and tag, and the one place that sees deletions. For `sync` alone.

Nothing is taken for deleted because a listing lacks it: what was mirrored and is not listed is asked for by name and
number (`by_name`), and so is, in each sweep, what MLflow has and does not list.
"""

import time
from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TypeVar

import structlog
from django.conf import settings
from django.db.models import Max

from mirror import by_name, clock, facts, health, identity, pace, rows, unchanged
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
Numbers = dict[str, "array[int]"]
"""Of versions, by the name of their model: four bytes each."""

log = structlog.get_logger(__name__)

MOST_ASKED = 2_000
"""Questions by name and number in one sweep, some 15 seconds of MLflow's time; what is left waits for the next one."""

MOST_NOTES = 50
NOT_READABLE = "MLflow does not let Countersign read"

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
    run, started = _Sweep(registry, dry_run=dry_run, on_progress=on_progress), time.perf_counter()
    try:
        return run.run()
    except Exception as error:
        if not dry_run:
            due = pace.sweep_failed(ago=time.perf_counter() - started)
            if isinstance(error, RegistryError):
                health.sweep_failed(error, **due)
            else:  # what went wrong here has cost MLflow the same
                MirrorState.objects.record(**due)
        raise
    finally:
        if not dry_run:
            MirrorState.objects.record(sweep_progress={})


class _Sweep:
    def __init__(self, registry: Registry, *, dry_run: bool, on_progress: OnProgress | None) -> None:
        self.registry, self.dry_run, self.on_progress = registry, dry_run, on_progress
        self.report = SweepReport()
        self.started_at = clock.now()
        self.newest = self.asked = self.unasked = 0
        self.once = 0.0
        """Seconds for what is read once and for all: the facts of versions that are new."""

    def run(self) -> SweepReport:
        started = time.perf_counter()
        server = self._server()
        identity.confirm(self.registry, dry_run=self.dry_run)
        models_at_start = rows.known_models()
        last_at_start = ModelVersion.objects.aggregate(last=Max("pk"))["last"] or 0
        models = self._models(models_at_start)
        versions = self._versions(models_at_start, set(models))
        identity.confirm(self.registry, dry_run=self.dry_run)  # a long time has passed
        missing = self._unlisted(models_at_start, models, last_at_start, versions)
        if not self.dry_run:
            self._facts()
        if missing:
            if not self.dry_run:
                MirrorState.objects.record(missing=asdict(missing))
            raise Doubtful(missing.words)
        if not self.dry_run:
            # What was not looked at is not known to be as it was.
            ago = time.perf_counter() - started
            looked = {} if self.unasked else dict.fromkeys(("stages_asked_at", "aliases_asked_at"), self.started_at)
            health.swept(
                swept_at=clock.now(),
                cursor=self.newest,
                server_version=server.version if server else "",
                latency_ms=server.latency_ms if server else None,
                sweep_notes=self.report.notes[:MOST_NOTES],
                missing={},
                missing_confirmed_at=None,
                **looked,
                **pace.swept(MirrorState.objects.current(), took=ago - self.once, ago=ago),
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

    def _versions(self, known_models: dict[str, int], asked_for: set[str]) -> Numbers:
        """The listed versions, asked for in the order of names: so what the mirror has of a page is read with it, and
        what changes meanwhile does not move to a page that was read already. A model that is only mentioned here was
        registered after the models were listed, or is not listed: it is asked for, unless `_unlisted` will do that."""
        seen: Numbers = {}
        prompts: set[str] = set()
        newest = next(iter(self.registry.versions(page_size=1)), ())
        self.newest = newest[0].last_updated_at if newest else 0
        model_ids = dict(RegisteredModel.objects.values_list("name", "pk"))
        asked_for |= set(RegisteredModel.objects.filter(deleted_at=None).values_list("name", flat=True))
        for asked_at, listed in read_ahead(self.registry.versions(by_name=True)):
            page = rows.fitting_versions(listed)
            if unknown := {each.model for each in page} - asked_for:
                asked_for |= unknown
                found = self._read_models(unknown)
                prompts |= {each.name for each in found if each.is_prompt and each.name not in known_models}
                self._put_models([each for each in found if each.name not in prompts], known_models, asked_at)
                model_ids = dict(RegisteredModel.objects.values_list("name", "pk"))
            changed, known = unchanged.differing([each for each in page if each.model not in prompts])
            self._put_versions(changed, known, asked_at, model_ids)
            for each in page:
                seen.setdefault(each.model, array("I")).append(each.number)
            self.report.versions += len(page)
            self._progress()
        if seen and not self.newest:  # one empty answer: pulls go on from where they were
            self.newest = MirrorState.objects.current().cursor
        self.report.versions = sum(len(set(numbers)) for numbers in seen.values())
        return seen

    def _unlisted(
        self,
        known_models: dict[str, int],
        listed_models: dict[str, bool],
        last_at_start: int,
        listed: Numbers,
    ) -> Missing | None:
        """Asks by name and number for what was mirrored before and is not listed now, for what MLflow says it has and
        does not list, and for what was hidden before; the longest unread first. Where too much is missing at once and
        no one has confirmed it, asks for what was hidden before alone, and returns what is missing."""
        rest = RegisteredModel.objects.filter(deleted_at=None).values_list(
            "name", "read_at", "hidden_at", "unreadable_at"
        )
        read_at = {name: at for name, at, *_ in rest}
        hidden = {name for name, _, *apart in rest if any(apart)}  # known not to be listed in full
        held = ModelVersion.objects.filter(deleted_at=None).count()
        models = {name for name, has_versions in listed_models.items() if has_versions} - listed.keys()
        models = (models | read_at.keys() & known_models.keys() - listed_models.keys()) - hidden
        versions = {
            name: gone
            for name, numbers in unchanged.held_numbers(last_at_start)
            if (gone := len(numbers.difference(listed.get(name, ())))) and name not in models | hidden
        }
        missing = Missing(len(models), len(read_at), sum(versions.values()), held)
        is_confirmed = MirrorState.objects.current().missing_confirmed_at is not None
        is_believed = is_confirmed or not missing.is_doubtful
        suspects = hidden | (models | versions.keys() if is_believed else set())
        for name in sorted(suspects, key=lambda name: (name in read_at, read_at.get(name), name)):
            if self.asked >= MOST_ASKED and not is_confirmed:
                self.unasked += 1
                continue
            self._ask(name, set(listed.get(name, ())), is_listed=name in listed_models)
            self._progress()
        return None if is_believed else missing

    def _ask(self, name: str, listed: set[int], *, is_listed: bool) -> None:
        """`listed` are the numbers of its versions that the listing had."""
        mirrored = ModelVersion.objects.filter(model__name=name, deleted_at=None)
        held, known = set(mirrored.values_list("number", flat=True)), rows.known_versions_of(name)
        asked_at = clock.now()
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
                self._say_deleted(name, held)
                self.report.changes.append(f"{name}: deleted")
            else:
                self.report.deleted += rows.mark_deleted(name, asked_at)
            return
        self.asked += 3 + len(found.numbered) + len(found.gone)
        self.unasked += found.unasked
        if found.is_unreadable:
            self.report.notes.append(f"{NOT_READABLE} all versions of {name}.")
        # What the listing had is counted already.
        met = [each for each in (*found.listed, *found.numbered) if each.number not in listed]
        self._count_versions(
            [each for each in met if known.get(each.number) != rows.version_digest(each)],
            {(name, number) for number in known},
        )
        if self.dry_run:
            self._say_deleted(name, found.gone & held)
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

        before, started = 0, time.perf_counter()
        self.report.facts = facts.read(self.registry, facts.unread(), limit=1_000_000, on_batch=on_batch)
        before, self.once = self.report.facts, time.perf_counter() - started
        due = facts.due(self.started_at)
        self.report.facts += facts.read(self.registry, due, limit=facts.DUE_PER_SWEEP, on_batch=on_batch)

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
        known: Collection[rows.Key],
        asked_at: datetime,
        model_ids: dict[str, int],
    ) -> None:
        self._count_versions(changed, known)
        if not self.dry_run:
            rows.put_versions(changed, asked_at, model_ids)

    def _count_versions(self, changed: Sequence[VersionSnapshot], known: Collection[rows.Key]) -> None:
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
                }
            )
        if self.on_progress:
            self.on_progress(self.report)


def read_ahead(pages: Iterator[Sequence[T]]) -> Iterator[tuple[datetime, Sequence[T]]]:
    """Each page with the moment it was asked for; the next one is fetched while the caller works on this one. The
    database is asked for the moment here, and not in the other thread, which would need a connection of its own."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="mirror-pages") as pool:
        asked_at, page = clock.now(), next(pages, None)
        while page is not None:
            coming_at, coming = clock.now(), pool.submit(next, pages, None)
            yield asked_at, page
            asked_at, page = coming_at, coming.result()
