"""Tenures as deliveries leave them: which begin, which end, and what each rests on."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from approvals import ledger, tenures
from approvals.models import Action, AuditEvent, PromotionRequest, Status, Target, Tenure
from mirror.models import ModelVersion
from tests.support.factories import make_request, make_version

pytestmark = pytest.mark.django_db
MODEL = "churn_predictor"


@pytest.fixture
def shadow(db: None) -> Target:
    """An alias alone."""
    return Target.objects.create(name="Shadow", alias="shadow")


def promote(number: int, target: Target, by: User) -> tuple[PromotionRequest, AuditEvent]:
    """As settle does: the request is applied, the event written, the tenures told."""
    version = ModelVersion.objects.filter(model__name=MODEL, number=number).first() or make_version(MODEL, number)
    request = make_request(version, target, by=by)
    PromotionRequest.objects.filter(pk=request.pk).update(
        status=Status.APPLIED, decided_at=timezone.now(), closed_at=timezone.now()
    )
    with transaction.atomic():
        event = ledger.record(Action.VERSION_PROMOTED, actor=None, request=request)
        tenures.promoted(request, event)
    return request, event


def running(target: Target) -> dict[str, list[int]]:
    return {place: tenures.holders(MODEL, target, place) for place in tenures.places_of(target)}


def test_a_promotion_opens_one_tenure_per_place(rita: User, production: Target) -> None:
    request, event = promote(1, production, rita)
    opened = list(Tenure.objects.order_by("place"))
    assert [(each.place, each.started_at, each.request_id, each.start_sequence) for each in opened] == [
        ("@champion", event.at, request.pk, event.sequence),
        ("Production", event.at, request.pk, event.sequence),
    ]
    assert all(each.is_sole and each.origin == Tenure.Origin.DELIVERY for each in opened)


def test_the_next_promotion_ends_both_places_at_its_own_moment(rita: User, production: Target) -> None:
    promote(1, production, rita)
    _, event = promote(2, production, rita)
    assert running(production) == {"Production": [2], "@champion": [2]}
    ended = Tenure.objects.filter(version_number=1)
    assert {(each.ended_at, each.end, each.end_sequence) for each in ended} == {
        (event.at, Tenure.End.REPLACED, event.sequence)
    }


def test_a_stage_that_does_not_archive_has_several_holders(rita: User, staging: Target) -> None:
    for number in (1, 3, 2):
        promote(number, staging, rita)
    assert running(staging) == {"Staging": [1, 2, 3]}


def test_an_alias_has_one_holder_and_leaves_stages_alone(rita: User, shadow: Target, staging: Target) -> None:
    promote(1, staging, rita)
    promote(1, shadow, rita)
    promote(2, shadow, rita)
    assert (running(shadow), running(staging)) == ({"@shadow": [2]}, {"Staging": [1]})


def test_a_version_leaves_staging_for_production_and_the_others_stay(
    rita: User, staging: Target, production: Target
) -> None:
    promote(1, staging, rita)
    promote(2, staging, rita)
    _, event = promote(2, production, rita)
    assert running(staging) == {"Staging": [1]}
    left = Tenure.objects.get(place="Staging", version_number=2)
    assert (left.ended_at, left.end) == (event.at, Tenure.End.REPLACED)


def test_what_leaves_production_for_staging_keeps_the_alias(rita: User, staging: Target, production: Target) -> None:
    """MLflow moves the stage alone; nobody took the alias away."""
    promote(1, production, rita)
    promote(1, staging, rita)
    assert running(production) == {"Production": [], "@champion": [1]}


def test_a_second_promotion_of_a_holder_keeps_what_its_tenure_rests_on(
    rita: User, staging: Target, production: Target
) -> None:
    first, _ = promote(1, production, rita)
    promote(1, staging, rita)  # the stage is lost, the alias kept
    second, event = promote(1, production, rita)
    alias, stage = Tenure.objects.open().filter(target=production).order_by("place")
    assert (alias.place, alias.request_id) == ("@champion", first.pk)
    assert (stage.place, stage.request_id, stage.started_at) == ("Production", second.pk, event.at)


def test_what_was_held_before_the_gate_gets_the_request_that_approved_it(rita: User, production: Target) -> None:
    seen = timezone.now() - timedelta(days=1)
    found = tenures.begin(
        model_name=MODEL, number=1, target=production, place="Production", at=seen, origin=Tenure.Origin.FOUND
    )
    request, _ = promote(1, production, rita)
    found.refresh_from_db()
    assert (found.origin, found.started_at, found.ended_at, found.request_id) == ("found", seen, None, request.pk)


def test_a_clock_that_is_behind_ends_nothing_before_it_began(rita: User, production: Target) -> None:
    ahead = timezone.now() + timedelta(minutes=5)
    tenures.begin(
        model_name=MODEL, number=1, target=production, place="Production", at=ahead, origin=Tenure.Origin.DELIVERY
    )
    promote(2, production, rita)
    ended = Tenure.objects.get(version_number=1)
    assert (ended.started_at, ended.ended_at) == (ahead, ahead)


@pytest.mark.parametrize(("at", "holds"), [(-1, []), (0, [1]), (1, [1]), (9, [1]), (10, [2]), (11, [2])], ids=str)
def test_a_tenure_holds_from_its_first_moment_up_to_its_last(
    rita: User, production: Target, at: int, holds: list[int]
) -> None:
    start = datetime.fromisoformat("2026-03-01T12:00:00Z")
    begin: dict[str, Any] = {"model_name": MODEL, "target": production, "place": "Production"}
    tenures.begin(number=1, at=start, origin=Tenure.Origin.DELIVERY, **begin)
    change = start + timedelta(microseconds=10)
    tenures.finish(Tenure.objects.all(), at=change, how=Tenure.End.REPLACED)
    tenures.begin(number=2, at=change, origin=Tenure.Origin.DELIVERY, **begin)
    found = Tenure.objects.at(start + timedelta(microseconds=at))
    assert list(found.values_list("version_number", flat=True)) == holds
