"""How people review: figures against a count by hand."""

import random
import statistics
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from approvals.audit import review_figures, reviews
from approvals.models import CheckResult, PromotionRequest, Reading, Review, Target
from tests.support.factories import make_person, make_policy, make_request, make_version
from tests.support.world import around_now, settle

pytestmark = [pytest.mark.django_db, pytest.mark.each_database]


@given(values=st.lists(st.floats(0, 1e6), min_size=1, max_size=40), share=st.sampled_from([0.5, 0.9]))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(values: Sequence[float], share: float) -> None:
    found = reviews.percentile(sorted(values), share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    below = [value for value in values if value < found]
    assert sum(value <= max(below) for value in values) < share * len(values) if below else True


@pytest.fixture(params=[True, False], ids=["here", "by hand"])
def _computed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the database where it can, and by hand."""
    if not request.param:
        monkeypatch.setattr(review_figures, "are_here", lambda: False)


def test_the_database_and_the_hand_come_to_the_same(
    rita: User, remy: User, production: Target, staging: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not review_figures.are_here():
        pytest.skip("This database has no percentiles.")
    dice, askers = random.Random(5), (rita, make_person("Otto Lind", "requester"))
    now, reviewers = timezone.now(), [remy, make_person("Kim Ode", "reviewer")]
    requests = [
        make_request(make_version("churn"), dice.choice((production, staging)), by=dice.choice(askers))
        for _ in range(40)
    ]
    for request in requests:
        at = now - timedelta(seconds=dice.uniform(0, 5000))
        given: dict[str, Any] = {
            "created_at": at,
            "rule": dice.choice(({"model_pattern": "c*"}, {"model_pattern": ""}, {})),
        }
        if dice.random() < 0.7:
            given |= {"status": "approved", "decided_at": at + timedelta(seconds=dice.uniform(-5, 900))}
        PromotionRequest.objects.filter(pk=request.pk).update(**given)
        for person in dice.sample(reviewers, dice.randint(0, 2)):
            signed = at + timedelta(seconds=dice.uniform(-5, 900), microseconds=dice.randint(0, 999_999))
            fingerprint = dice.choice(("a" * 64, "b" * 64))
            Review.objects.create(
                request=request, reviewer=person, requester=request.requester, verdict="approve",
                fingerprint=fingerprint, created_at=signed,
            )  # fmt: skip
            if dice.random() < 0.8:
                opened = signed - timedelta(seconds=dice.choice((0, 29.999999, 30, dice.uniform(-3, 200))))
                Reading.objects.create(request=request, person=person, fingerprint="a" * 64, opened_at=opened)
    period = around_now().period
    for target in (None, staging):
        here = reviews.of(period, target=target)
        with monkeypatch.context() as by_hand:
            by_hand.setattr(review_figures, "are_here", lambda: False)
            assert reviews.of(period, target=target) == here
        assert here.waits
        assert here.hasty


def answered(target: Target, asker: User, approver: User, *, waited: float, read: float | None, at: datetime) -> Review:
    """Asked at `at`, opened `read` seconds before the approval (None: never), which came after `waited` seconds."""
    request = settle(make_request(make_version("churn"), target, by=asker), approver)
    PromotionRequest.objects.filter(pk=request.pk).update(created_at=at, decided_at=at + timedelta(seconds=waited))
    review = Review.objects.get(request=request, reviewer=approver)
    signed_at = at + timedelta(seconds=waited)
    Review.objects.filter(pk=review.pk).update(created_at=signed_at)
    if read is not None:
        Reading.objects.create(
            request=request,
            person=approver,
            fingerprint=review.fingerprint,
            opened_at=signed_at - timedelta(seconds=read),
        )
    return review


@pytest.mark.usefixtures("_computed")
def test_the_figures_are_those_of_a_count_by_hand(rita: User, remy: User, rosa: User, production: Target) -> None:
    make_policy("*", production, (1, None))
    otto = make_person("Otto Lind", "requester")
    at = timezone.now() - timedelta(hours=3)
    waits = [60, 120, 300, 600, 900, 1200, 3600]
    for number, waited in enumerate(waits):
        read: float | None = [None, 5, 10, 100, 200, 300, 400][number]
        answered(production, rita, remy, waited=waited, read=read, at=at)
    answered(production, otto, rosa, waited=30, read=20, at=at)
    found = reviews.of(around_now().period)
    (wait,) = found.waits
    assert wait.requests == 8
    assert wait.decided_median == statistics.median_low([30, *waits])
    assert wait.decided_p90 == 3600
    assert wait.first_median == wait.decided_median
    by_name: dict[str, Any] = {reader.name: reader for reader in found.readers}
    assert (by_name["Remy Ortiz"].approvals, by_name["Remy Ortiz"].unopened, by_name["Remy Ortiz"].hasty) == (7, 1, 2)
    assert by_name["Remy Ortiz"].median == 100
    assert [(each.approver, each.seconds) for each in found.hasty] == [
        ("Remy Ortiz", 5),
        ("Remy Ortiz", 10),
        ("Rosa Lind", 20),
    ]
    assert [
        (pair.requester, pair.approver, pair.approvals, pair.percent, pair.is_called_out) for pair in found.pairs
    ] == [
        ("Rita Sanz", "Remy Ortiz", 7, 100, True),
        ("Otto Lind", "Rosa Lind", 1, 100, False),  # too few to say
    ]
    assert reviews.of(around_now().period, hasty_seconds=8).hasty_count == 1


@pytest.mark.usefixtures("_computed")
def test_a_share_below_three_quarters_is_not_called_out(rita: User, remy: User, production: Target) -> None:
    make_policy("*", production, (1, None))
    at = timezone.now() - timedelta(hours=3)
    others = [make_person(f"Reviewer{number} X", "reviewer") for number in range(2)]
    for approver in [remy] * 5 + [others[0]] * 5 + [others[1]]:
        answered(production, rita, approver, waited=60, read=60, at=at)
    assert reviews.of(around_now().period).called_out == 0


def test_kinds_and_overrides_are_counted(rita: User, remy: User, ada: User, production: Target) -> None:
    make_policy("*", production, (1, None))
    settle(make_request(make_version("churn"), production, by=rita), remy)
    settle(make_request(make_version("churn"), production, by=rita), remy, kind="rollback")
    settle(make_request(make_version("churn"), production, by=rita), remy, kind="break_glass")
    request = make_request(make_version("churn"), production, by=rita)
    CheckResult.objects.filter(request=request).update(
        outcome="fail", overridden_by=ada, overridden_at=timezone.now(), override_reason="Known."
    )
    found = reviews.of(around_now().period)
    assert found.kinds == {"Promotion": 2, "Rollback": 1, "Emergency promotion": 1, "Review afterwards": 0}
    assert [(each.person, each.times) for each in found.overrides] == [("Ada Brandt", 1)]
    assert found.waits[0].requests == 3  # nobody was asked before the glass was broken


@pytest.mark.usefixtures("_computed")
def test_a_period_and_a_target_narrow_it(rita: User, remy: User, production: Target, staging: Target) -> None:
    make_policy("*", production, (1, None))
    settle(make_request(make_version("churn"), production, by=rita), remy)
    now = timezone.now()
    assert reviews.of(around_now().period, target=staging).approvals == 0
    assert reviews.of(reviews.Period(now - timedelta(days=9), now - timedelta(days=8))).requests == 0
    assert len(list(reviews.plain(around_now().period, target=production))) == 1
