"""Copies what runs and LoggedModels say (metrics, params, data sets, tags) beside the mirrored versions. For `sync`
alone.

MLflow tells no one when a metric is logged, so facts are read again while a version is young, live or its run
unfinished, and now and then afterwards.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from mirror import clock, copies, measures
from mirror.models import ModelVersion, Stage
from mirror.port import Denied, LoggedModelFacts, Registry, RunFacts, as_plain
from mirror.rows import chunks

BATCH = 400
YOUNG = timedelta(days=7)
EVERY_DAY = timedelta(days=1)
FINAL = ("FINISHED", "FAILED", "KILLED")

DUE_PER_SWEEP = 4_000
"""So many versions are read again in one sweep, the longest unread first; the others wait for the next."""

_HAS_SOURCE = ~Q(run_id="", logged_model_id="") | Q(source__startswith=copies.PREFIX)
UNSHOWN_TAGS = {"mlflow.log-model.history", "mlflow.loggedModels"}


def unread() -> "QuerySet[ModelVersion]":
    """Versions with a run or LoggedModel that was never read, newest first."""
    return ModelVersion.objects.filter(facts_at=None, deleted_at=None).order_by("-last_updated_at")


def due(now: datetime) -> "QuerySet[ModelVersion]":
    """Versions whose facts may have moved since they were read, the longest unread first."""
    lively = Q(created_at__gt=now - YOUNG) | Q(stage__in=(Stage.STAGING, Stage.PRODUCTION)) | ~Q(run__status__in=FINAL)
    lively |= Q(run__is_unreadable=True) | Q(run__logged_model__is_unreadable=True)  # until a person gives the right
    old = Q(facts_at__lt=now - EVERY_DAY)
    return ModelVersion.objects.filter(_HAS_SOURCE, lively | old, facts_at__lt=now, deleted_at=None).order_by(
        "facts_at"
    )


def read(
    registry: Registry, versions: "QuerySet[ModelVersion]", *, limit: int, on_batch: Callable[[int], None] | None = None
) -> int:
    """Reads the facts of up to `limit` of these versions; returns how many."""
    ids = list(versions.values_list("pk", flat=True)[:limit])
    for done, batch in enumerate(chunks(ids, BATCH)):
        rows = list(ModelVersion.objects.filter(pk__in=batch).select_related("model").order_by("model_id", "number"))
        read_batch(registry, rows)
        if on_batch:
            on_batch(done * BATCH + len(batch))
    return len(ids)


def read_batch(registry: Registry, rows: Sequence[ModelVersion]) -> None:
    """Reads the facts of these versions, which come with their models and in the order of their keys."""
    asked_at = clock.now()
    runs = registry.runs({row.run_id for row in rows} - {""})
    origins = {row.pk: origin for row in rows if (origin := copies.followed(registry, row))}
    ids_of = {row.pk: row.logged_model_id or origins.get(row.pk, {}).get("logged_model_id", "") for row in rows}
    logged_models = registry.logged_models({*ids_of.values()} - {""})
    same: list[ModelVersion] = []
    with transaction.atomic():
        if len(rows) > 1:  # all of them first, since they are not written in the order of their keys
            locked = ModelVersion.objects.select_for_update(no_key=True).filter(pk__in=[row.pk for row in rows])
            list(locked.order_by("model_id", "number").values_list("pk"))
        for row in rows:
            run, logged_model = runs.get(row.run_id), logged_models.get(ids_of[row.pk])
            if facts := _facts(row, run, logged_model, ids_of[row.pk], origins.get(row.pk)):
                _as_read(asked_at, row).update(**facts, facts_at=asked_at)
            else:
                same.append(row)
        if same:  # of most only that they were read again, in one statement
            _as_read(asked_at, *same).update(facts_at=asked_at)


def _as_read(asked_at: datetime, *rows: ModelVersion) -> "QuerySet[ModelVersion]":
    """These rows as far as they mean the same versions still, and were not read since."""
    is_same = [Q(pk=row.pk, run_id=row.run_id, logged_model_id=row.logged_model_id) for row in rows]
    found = ModelVersion.objects.filter(pk__in=[row.pk for row in rows])
    return found.filter(Q(*is_same, _connector=Q.OR), Q(facts_at=None) | Q(facts_at__lt=asked_at))


def _facts(
    row: ModelVersion,
    run: RunFacts | Denied | None,
    logged_model: LoggedModelFacts | Denied | None,
    logged_model_id: str,
    origin: copies.Origin | None,
) -> dict[str, Any]:
    """What is to be stored anew; {} when it is what the row has. The LoggedModel's values win over its run's, and what
    the run says else is noted. What has disappeared from MLflow, or may not be read, is kept as it was last seen, and
    marked."""
    unreadable = isinstance(run, Denied), isinstance(logged_model, Denied)
    run = None if isinstance(run, Denied) else run
    logged_model = None if isinstance(logged_model, Denied) else logged_model
    lost_run = run is None and row.run.get("run_id", "") == row.run_id != ""
    lost_model = logged_model is None and row.run.get("logged_model", {}).get("id", "") == logged_model_id != ""
    metrics, of_metrics = measures.joined(run.metrics if run else {}, logged_model.metrics if logged_model else ())
    in_run, in_model = dict(run.params if run else {}), dict(logged_model.params if logged_model else {})
    params = in_run | in_model
    of_params = {key: {"run": in_run[key]} for key in in_run if in_run[key] != params[key]}
    early = _early(run, None if origin else logged_model, metrics, params)
    if lost_run or lost_model:
        # What is still there is newer, but a run's value must not take the place of a LoggedModel's that is gone.
        ours = {measures.key_of(name) for name in metrics} if lost_run else set()
        held = {name: value for name, value in row.metrics.items() if measures.key_of(name) not in ours}
        known = {measures.key_of(name) for name in held}
        metrics = held | {name: value for name, value in metrics.items() if measures.key_of(name) not in known}
        was = row.fact_sources
        of_metrics = {name: each for name, each in {**was.get("metrics", {}), **of_metrics}.items() if name in metrics}
        params = row.params | params if lost_run else params | row.params
        of_params = {**was.get("params", {}), **of_params}
        early = was.get("early", {})
    facts: dict[str, Any] = {
        "metrics": metrics,
        "params": params,
        "fact_sources": _without_empty(metrics=of_metrics, params=of_params, early=early),
        "run": _run_facts(row, run, is_lost=lost_run)
        | {"logged_model": _model_facts(row, logged_model, logged_model_id, is_lost=lost_model)}
        | ({"copied_from": origin} if origin else {}),
    }
    for part, is_unreadable in zip((facts["run"], facts["run"]["logged_model"]), unreadable, strict=True):
        part.pop("is_unreadable", None)
        if is_unreadable:
            part |= {"is_missing": False, "is_unreadable": True}
    return {} if all(getattr(row, name) == value for name, value in facts.items()) else facts


def _early(
    run: RunFacts | None, logged_model: LoggedModelFacts | None, metrics: dict[str, Any], params: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """What metrics and params would be without data sets, and without following copies, where that is something else
    (None: they would not be there). So they were read before evidence had a format."""
    was: dict[str, Any] = {key: measures.storable(value) for key, value in (run.metrics if run else {}).items()}
    was |= measures.last_of_any(logged_model.metrics if logged_model else ())
    had = {**(run.params if run else {}), **(logged_model.params if logged_model else {})}
    plain = {name: value for name, value in metrics.items() if measures.key_of(name) == name}
    return _without_empty(
        metrics={key: was.get(key) for key in {*was, *plain} if was.get(key) != plain.get(key)},
        params={key: had.get(key) for key in {*had, *params} if had.get(key) != params.get(key)},
    )


def _without_empty(**found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {key: each for key, each in found.items() if each}


def _run_facts(row: ModelVersion, run: RunFacts | None, *, is_lost: bool) -> dict[str, Any]:
    if run is None:
        return (
            {**row.run, "is_missing": True}
            if is_lost
            else ({"run_id": row.run_id, "is_missing": True} if row.run_id else {})
        )
    plain = as_plain(run)
    tags = {key: value for key, value in plain.pop("tags").items() if key not in UNSHOWN_TAGS}
    return {key: plain[key] for key in plain if key not in {"metrics", "params"}} | {
        "tags": tags,
        "datasets": [dict(each) for each in run.datasets],
        "is_missing": False,
    }


def _model_facts(
    row: ModelVersion, logged_model: LoggedModelFacts | None, logged_model_id: str, *, is_lost: bool
) -> dict[str, Any]:
    if logged_model is None:
        known = row.run.get("logged_model", {}) if is_lost else {"id": logged_model_id}
        return {**known, "is_missing": True} if logged_model_id else {}
    return {
        "id": logged_model.logged_model_id,
        "name": logged_model.name,
        "status": logged_model.status,
        "tags": dict(logged_model.tags),
        "is_missing": False,
    }
