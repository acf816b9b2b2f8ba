"""Whatever a freezing of the evidence would find, the watch finds that looks only at what has moved."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection, models, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals import assessment
from approvals.models import PromotionRequest, RequestKind, Target
from approvals.selectors import champions, evidence_inputs, frozen_evidence
from mirror.models import Alias, Exhibit, Inspection, ModelVersion, RegisteredModel
from tests.support.factories import (
    FILES,
    PACKAGING,
    make_exhibit,
    make_inspection,
    make_policy,
    make_request,
    make_rule,
)
from tests.support.fakes import FakeRegistry
from tests.support.world import hold, make_registry, settle, version

pytestmark = pytest.mark.django_db

DOCUMENTS: dict[str, Any] = {
    "tags": {"team": "other"},
    "metrics": {"auc_roc": 0.5},
    "params": {"max_depth": "99"},
    "run": {"user": "other", "tags": {"mlflow.note.content": "other"}},
    "fact_sources": {"metrics": {"auc_roc": {"key": "auc_roc", "dataset": "other", "digest": "1"}}},
    "files": FILES | {"digest": "0" * 64},
    "packaging": PACKAGING | {"python_version": "3.14"},
    "curves": {"loss": [[1, "0.5"]]},
    "rule": make_rule("other").as_json(),
}


@pytest.fixture
def asked(registry: FakeRegistry, rita: User, production: Target) -> PromotionRequest:
    """Version 2, compared with version 1; version 3 could take the place. Files and a figure are known."""
    make_policy("*", production, (1, None), watched_tags=["*"])
    hold(version(1), production)
    for number in (1, 2, 3):
        make_inspection(version(number))
    make_exhibit(version(2))
    return make_request(version(2), production, by=rita)


def other(column: Any, value: Any) -> Any:
    """Another value of this column."""
    match column:
        case models.JSONField():
            return DOCUMENTS.get(column.name, {})
        case models.BooleanField():
            return not value
        case models.DateTimeField():
            return (value or timezone.now()) + timedelta(days=1)
        case models.IntegerField():
            return value + 90
        case _:
            return "other"


def columns(row: models.Model) -> Iterator[tuple[str, Callable[[], object]]]:
    """Name of each column, and what changes it in the database."""
    for column in row._meta.concrete_fields:
        if column.primary_key or column.is_relation:
            continue
        value = other(column, getattr(row, column.attname))
        change = partial(type(row)._base_manager.filter(pk=row.pk).update, **{column.name: value})
        yield f"{type(row).__name__}.{column.name}", change


def changes(request: PromotionRequest) -> Iterator[tuple[str, Callable[[], object]]]:
    candidate, champion = version(2), version(1)
    for row in (candidate, champion, candidate.inspection, champion.inspection, request.target):
        yield from columns(row)
    for name, change in columns(request):
        if name.split(".")[1] in {"justification", "rule"}:
            yield name, change
    yield "model renamed", lambda: RegisteredModel.objects.update(name="renamed")
    yield "figure gone", lambda: Exhibit.objects.all().delete()
    yield "figure changed", lambda: Exhibit.objects.update(sha256="0" * 64)
    yield "figure more", lambda: make_exhibit(candidate, "figures/other.png")
    yield "files never read", lambda: Inspection.objects.filter(version=candidate).delete()
    yield "champion's files never read", lambda: Inspection.objects.filter(version=champion).delete()
    yield "stage taken by a higher one", lambda: ModelVersion.objects.filter(number=3).update(stage="Production")
    yield "stage left", lambda: ModelVersion.objects.filter(pk=champion.pk).update(stage="None")
    yield "nothing there", lambda: (Alias.objects.all().delete(), ModelVersion.objects.update(stage="None"))
    yield "alias alone", lambda: (Alias.objects.update(number=3), ModelVersion.objects.update(stage="None"))


def test_the_watch_finds_each_change_that_freezing_anew_finds(asked: PromotionRequest) -> None:
    told, missed = set(), []
    for name, change in list(changes(asked)):
        with transaction.atomic():
            assert assessment.watch() == 0, name  # known, and unchanged
            with CaptureQueriesContext(connection) as queries:
                assert assessment.watch() == 0
            assert len(queries) == 3, name
            change()
            differs = frozen_evidence.changes(PromotionRequest.objects.with_subject().get(pk=asked.pk))
            if differs:
                told.add(name)
            if bool(assessment.watch()) != bool(differs):
                missed.append(name)
            transaction.set_rollback(True)
    assert missed == []
    assert len(told) > 25, told
    assert {"ModelVersion.metrics", "Inspection.files", "Target.alias", "alias alone", "figure more"} <= told


def test_what_was_decided_meanwhile_is_looked_at_again(asked: PromotionRequest) -> None:
    """It is out of the watch's sight while it is approved; back in review, the change of that time is found."""
    assert assessment.watch() == 0
    requests = PromotionRequest.objects.filter(pk=asked.pk)
    requests.move("approved")
    ModelVersion.objects.filter(number=2).update(description="Other.")
    assert assessment.watch() == 0
    requests.move("pending")
    assert assessment.watch() == 1


def test_a_rollback_is_held_to_the_files_of_what_was_approved_before(asked: PromotionRequest, remy: User) -> None:
    settled = settle(asked, remy)
    again = PromotionRequest.objects.get(pk=asked.pk)
    again.pk, again.kind, again.status, again.closed_at, again.decided_at = None, "rollback", "pending", None, None
    again.save(force_insert=True)
    every = PromotionRequest.objects.filter(pk=again.pk)
    before = evidence_inputs.digests(every)
    assert frozen_evidence.approved_before(again) == settled
    late = RequestKind.BREAK_GLASS
    PromotionRequest.objects.filter(pk=settled.pk).update(kind=late, afterwards_due_at=timezone.now())
    assert frozen_evidence.approved_before(again) is None
    assert evidence_inputs.digests(every) != before


def test_the_champion_of_many_is_the_champion_of_each(rita: User, production: Target, staging: Target) -> None:
    make_registry("in_stage", "by_alias", "by_both", "empty")
    ModelVersion.objects.filter(model__name__in=["in_stage", "by_both"], number__in=[1, 3]).update(stage="Production")
    for name, number in (("by_alias", 4), ("by_both", 2), ("empty", 9)):
        Alias.objects.create(model=RegisteredModel.objects.get(name=name), name="champion", number=number)
    Alias.objects.create(model=RegisteredModel.objects.get(name="by_both"), name="shadow", number=4)
    ModelVersion.objects.filter(model__name="in_stage", number=3).update(deleted_at=timezone.now())
    targets = [production, staging, Target.objects.create(name="Shadow", alias="shadow", position=90)]
    for name in ("in_stage", "by_alias", "by_both", "empty"):
        for target in targets:
            make_request(version(2, name), target, by=rita)
    requests = PromotionRequest.objects.with_subject().annotate(now=champions.pk_now())
    found = {(each.version.model.name, each.target.name): each.now for each in requests}
    assert found == {
        (each.version.model.name, each.target.name): getattr(
            champions.champion_of(each.version.model, each.target), "pk", None
        )
        for each in requests
    }
    assert len(set(found.values())) == 5


def test_as_many_queries_for_many_as_for_one(asked: PromotionRequest, rita: User, staging: Target) -> None:
    counts = []
    for number in (0, 3, 4):
        if number:
            make_request(version(number), staging, by=rita)
        with CaptureQueriesContext(connection) as queries:
            evidence_inputs.digests(PromotionRequest.objects.all())
        counts.append(len(queries))
    assert counts == [3, 3, 3]
