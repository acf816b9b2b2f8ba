"""Time travel: the answer against a log kept beside it, and what it tells."""

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, example, given
from hypothesis import settings as tries
from hypothesis import strategies as st

from accounts.models import User
from approvals import workflow
from approvals.models import AuditEvent, PromotionRequest, RequestKind, Target
from approvals.tenures import as_of
from approvals.tenures.as_of import Question
from mirror import sync
from tests.support.factories import (
    NOON,
    hours,
    make_policy,
    make_request,
    make_tenure,
    make_version,
)
from tests.support.fakes import FakeRegistry
from tests.support.world import promote

pytestmark = pytest.mark.django_db
_names = (f"random_{number}" for number in itertools.count())


def told(question: Question) -> list[tuple[str, str, list[tuple[int, list[str]]]]]:
    """Model, target and its holders in the order of the page."""
    names = list(as_of.page_of(question, 1).object_list)
    return [
        (model.name, target.name, [(holder.number, holder.places) for holder in holders])
        for model in as_of.models(question, names)
        for target, holders in model.targets
    ]


# --- Against a log kept beside it


Promotion = tuple[int, str]
PROMOTIONS = st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["Staging", "Production", "Shadow"])), max_size=9)


def state(registry: FakeRegistry, model: str) -> dict[tuple[str, str, str], list[int]]:
    """What MLflow itself says."""
    found = {}
    for target in Target.objects.all():
        if target.stage:
            staged = [each.number for each in registry.versions_in_stage(model, target.stage)]
            found[model, target.name, target.stage] = sorted(staged)
        if target.alias and (number := registry.model(model).aliases.get(target.alias)):
            found[model, target.name, f"@{target.alias}"] = [number]
    return {key: numbers for key, numbers in found.items() if numbers}


def go(registry: FakeRegistry, model: str, promotion: Promotion, people: tuple[User, User]) -> PromotionRequest | None:
    """Asked, looked at, approved, delivered; None where the gate says no, such as for what holds the target."""
    number, name = promotion
    asker, approver = people
    try:
        return promote(registry, number, Target.objects.get(name=name), by=asker, approvers=(approver,), model=model)
    except workflow.WorkflowError:
        return None


@pytest.fixture
def one_registry() -> FakeRegistry:
    """The examples share their database, which belongs to one registry."""
    return FakeRegistry()


@tries(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(promotions=PROMOTIONS)
@example(
    promotions=[(4, "Staging"), (3, "Staging"), (3, "Staging"), (3, "Production"), (3, "Shadow"), (4, "Production")]
)
def test_every_moment_is_what_mlflow_said_then(
    rita: User, remy: User, one_registry: FakeRegistry, promotions: list[Promotion]
) -> None:
    registry, model = one_registry, next(_names)
    Target.objects.get_or_create(name="Shadow", defaults={"alias": "shadow"})
    for target in Target.objects.all():
        make_policy(model, target, (1, None))
    for number in range(1, 5):
        registry.create_version(model, run_id=registry.log_run({"auc_roc": 0.9}, {"depth": str(number)}))
    sync.sweep(registry)
    log: list[tuple[datetime, dict[Any, list[int]]]] = [(timezone.now(), {})]
    changes: list[datetime] = []
    for promotion in promotions:
        if request := go(registry, model, promotion, (rita, remy)):
            changes.append(AuditEvent.objects.get(request=request, action="version.promoted").at)
            log.append((timezone.now(), state(registry, model)))
            sync.sweep(registry)

    def answer(moment: datetime) -> dict[Any, list[int]]:
        return {key: found for key, found in as_of.holders_at(moment).items() if key[0] == model}

    for moment, expected in log:
        assert answer(moment) == expected
    for place, change in enumerate(changes):
        assert answer(change) == log[place + 1][1]
        assert answer(change - timedelta(microseconds=1)) == log[place][1]
    # Steps from change to change meet each of them, in both directions. A version that shares a stage with a higher one
    # can be promoted again; that changes nothing.
    real = [change for place, change in enumerate(changes) if log[place][1] != log[place + 1][1]]
    met: list[datetime] = []
    while (after := as_of.neighbours(Question(met[-1] if met else log[0][0], model)).after) is not None:
        met.append(after)
    assert met == real
    back: list[datetime] = []
    while (before := as_of.neighbours(Question(back[-1] if back else timezone.now(), model)).before) is not None:
        back.append(before)
    assert back == real[::-1]


# --- What is told


def test_the_version_that_the_stage_loads_comes_first(staging: Target) -> None:
    for number in (2, 9, 5):
        make_tenure("churn", number, staging, NOON)
    assert told(Question(hours(1))) == [("churn", "Staging", [(9, ["Staging"]), (5, ["Staging"]), (2, ["Staging"])])]
    (model,) = as_of.models(Question(hours(1)), ["churn"])
    assert [holder.loaded_as for holder in model.targets[0][1]] == [["models:/churn/Staging"], [], []]


def test_places_of_one_target_that_different_versions_hold_are_told_apart(production: Target) -> None:
    make_tenure("churn", 1, production, NOON, places=("@champion",))
    make_tenure("churn", 1, production, NOON, hours(2), places=("Production",))
    make_tenure("churn", 2, production, hours(2), places=("Production",), origin="outside", started_after=hours(1))
    assert told(Question(hours(3))) == [("churn", "Production", [(2, ["Production"]), (1, ["@champion"])])]


def test_places_that_are_alike_are_told_together(production: Target) -> None:
    make_tenure("churn", 1, production, NOON)
    (model,) = as_of.models(Question(hours(1)), ["churn"])
    ((_, (holder,)),) = model.targets
    assert holder.places == ["Production", "@champion"]
    assert holder.loaded_as == ["models:/churn/Production", "models:/churn@champion"]


def test_between_two_looks_both_versions_are_possible_and_it_says_so(production: Target) -> None:
    make_tenure("churn", 1, production, NOON, hours(3), how="outside", ended_after=hours(1))
    make_tenure("churn", 2, production, hours(3), origin="outside", started_after=hours(1))
    (model,) = as_of.models(Question(hours(2)), ["churn"])
    ((_, holders),) = model.targets
    assert [(each.number, each.is_possible, each.may_have_ended) for each in holders] == [
        (1, False, True),
        (2, True, False),
    ]
    assert as_of.holders_at(hours(2)) == {
        ("churn", "Production", "Production"): [1],
        ("churn", "Production", "@champion"): [1],
    }
    (model,) = as_of.models(Question(hours(0.5)), ["churn"])
    assert [(each.number, each.may_have_ended) for each in model.targets[0][1]] == [(1, False)]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"origin": "delivery"}, "Promoted through Countersign."),
        ({"origin": "restored"}, "Restored by Countersign after a change outside Countersign."),
        (
            {"origin": "found"},
            "Held before Countersign, approver unknown; first seen 2026-03-01 12:00 UTC, since when is not known.",
        ),
        (
            {"origin": "outside", "started_after": NOON - timedelta(minutes=9)},
            "Changed outside Countersign; seen 2026-03-01 12:00 UTC, not before 2026-03-01 11:51 UTC.",
        ),
        (
            {"origin": "imported", "requested_by": "Jo", "approved_by": "Sam"},
            "Imported from earlier records: requested by Jo and approved by Sam.",
        ),
        ({"origin": "imported"}, "Imported from earlier records: no people named."),
    ],
)
def test_each_origin_has_its_honest_sentence(production: Target, fields: dict[str, Any], words: str) -> None:
    make_tenure("churn", 1, production, NOON, hours(5), **fields)
    (model,) = as_of.models(Question(hours(1)), ["churn"])
    assert model.targets[0][1][0].how == words


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("rollback", {}, "Rolled back through Countersign."),
        ("break_glass", {}, "Emergency promotion without approval; not reviewed afterwards yet."),
        (
            "break_glass",
            {"afterwards_verdict": "justified"},
            "Emergency promotion without approval; reviewed afterwards: justified.",
        ),
    ],
)
def test_kinds_of_requests_are_named(
    rita: User, production: Target, kind: str, fields: dict[str, Any], words: str
) -> None:
    request = make_request(make_version("churn"), production, by=rita)
    PromotionRequest.objects.filter(pk=request.pk).update(
        kind=RequestKind(kind), afterwards_due_at=NOON if kind == "break_glass" else None, **fields
    )
    make_tenure("churn", 1, production, NOON, request=request)
    (model,) = as_of.models(Question(hours(1)), ["churn"])
    assert model.targets[0][1][0].how == words


def test_an_exact_name_means_that_model_alone_and_a_part_means_all_with_it(production: Target) -> None:
    for name in ("churn", "churn_eu", "fraud"):
        make_tenure(name, 1, production, NOON)
    assert [row[0] for row in told(Question(hours(1), "churn"))] == ["churn"]
    assert [row[0] for row in told(Question(hours(1), "CHUR"))] == ["churn", "churn_eu"]
    assert [row[0] for row in told(Question(hours(1), "eu"))] == ["churn_eu"]
