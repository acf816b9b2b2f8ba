"""The population of an audit and whether it is complete."""

import csv
import json
from collections import Counter
from datetime import timedelta
from io import StringIO

import pytest
from django.utils import timezone

from accounts.models import User
from approvals.audit import completeness, population, tally, units
from approvals.audit.periods import Period
from approvals.audit.population import Cause, Scope
from approvals.models import AuditEvent, Incident, Target, Tenure, WatchedPlace, WatchState
from mirror import health
from mirror.models import MirrorState, Outage
from mirror.port import Unreachable
from tests.support.factories import make_policy, make_request, make_version
from tests.support.world import around_now, bypass, found, put_back, settle, taken_away

pytestmark = pytest.mark.django_db


@pytest.fixture
def busy(rita: User, remy: User, rosa: User, production: Target, staging: Target) -> None:
    """Production is a stage and an alias, so each promotion changes two places."""
    make_policy("*", production, (1, None))
    one, two, three = make_version("churn"), make_version("churn"), make_version("churn")
    found(make_version("old"), staging, "Staging")
    settle(make_request(one, production, by=rita), remy)
    settle(make_request(two, production, by=rita), rosa)
    incident = bypass(three, production, "@champion")
    assert incident
    put_back(incident, two)
    settle(make_request(one, production, by=rita), remy, kind="rollback")
    settle(make_request(three, production, by=rita), remy, kind="break_glass")
    taken_away(three, production, "@champion")
    Tenure.objects.create(
        model_name="earlier",
        version_number=1,
        target=production,
        place="Production",
        origin="imported",
        started_at=timezone.now() - timedelta(hours=2),
        ended_at=timezone.now() - timedelta(hours=1),
        end="imported",
        requested_by="Lea",
        approved_by="=Paul",
    )


def test_every_change_stands_once_with_its_cause(busy: None) -> None:
    rows = list(units.every(around_now()))
    assert len({row.id for row in rows}) == len(rows) == tally.of(around_now()).total
    assert Counter(row.cause for row in rows) == {
        Cause.FOUND: 1,
        Cause.DELIVERY: 2,
        Cause.INCIDENT: 2,
        Cause.PUT_BACK: 1,
        Cause.ROLLBACK: 1,
        Cause.BREAK_GLASS: 1,
        Cause.IMPORTED: 2,
    }
    assert [row.at for row in rows] == sorted(row.at for row in rows)
    sentences = [f"{row.cause}: {change.sentence}" for row in rows for change in row.changes]
    assert "delivery: version 2 took Production, replacing version 1" in sentences
    assert "incident: version 3 took @champion, replacing version 2" in sentences
    assert "put_back: version 2 took @champion, replacing version 3" in sentences
    assert "incident: version 3 left @champion" in sentences


def test_one_delivery_is_one_row_with_all_that_it_changed(
    rita: User, remy: User, production: Target, staging: Target
) -> None:
    """Stage and alias, and Staging, which the version leaves."""
    make_policy("*", production, (1, None))
    make_policy("*", staging, (1, None))
    version = make_version("churn")
    settle(make_request(version, staging, by=rita), remy)
    settle(make_request(version, production, by=rita), remy)
    staged, produced = units.every(around_now())
    assert [change.sentence for change in staged.changes] == ["version 1 took Staging"]
    assert {change.sentence for change in produced.changes} == {
        "version 1 took Production",
        "version 1 took @champion",
        "version 1 left Staging",
    }
    told = completeness.state(around_now())
    assert (told.seen, told.delivered, told.ledger["version.promoted"]) == (2, 2, 2)
    assert told.adds_up
    assert produced.as_plain()["changes"] == len(produced.changes)
    assert units.of([produced.id]) == [produced]


def test_the_statement_adds_up_and_agrees_with_an_independent_count(busy: None) -> None:
    told = completeness.state(around_now())
    rows = list(units.every(around_now()))
    assert {cause: many for cause, many in told.counts.items() if many} == Counter(row.cause for row in rows)
    assert (told.seen, told.delivered, told.exceptions, told.unexplained) == (7, 5, 2, 0)
    assert told.beside == 3
    assert told.adds_up
    assert (told.incident_count, told.incidents_by_state) == (2, {"Open": 1, "Reverted by Countersign": 1})
    assert told.ledger["version.promoted"] == 4


def test_a_change_without_a_delivery_or_an_incident_is_not_explained(busy: None, production: Target) -> None:
    bypass(make_version("churn"), production, "@champion", has_incident=False)
    told = completeness.state(around_now())
    assert told.unexplained == 1
    assert not told.adds_up


def test_a_tenure_that_claims_another_versions_promotion_is_not_explained(busy: None) -> None:
    """As somebody with the database would forge it: a version in Production that rests on another one's event."""
    real = Tenure.objects.filter(origin="delivery", version_number=1, place="Production").earliest("started_at")
    Tenure.objects.filter(pk=real.pk).update(version_number=9)
    told = completeness.state(around_now())
    assert told.unexplained >= 1
    assert not told.adds_up
    rows = [row for row in units.every(around_now()) if row.cause == Cause.UNEXPLAINED]
    assert len(rows) == told.unexplained


def test_an_incident_that_was_taken_out_of_the_list_is_missed(busy: None) -> None:
    Incident.objects.filter(resolved_at=None).delete()
    told = completeness.state(around_now())
    assert told.lost_incidents == 1
    assert not told.adds_up


def test_the_period_is_from_the_first_moment_up_to_not_including_the_last(busy: None, rita: User) -> None:
    rows = list(units.every(around_now()))
    first, last = rows[0].at, rows[-1].at
    inside = Scope(Period(first, last))
    assert [row.id for row in units.every(inside)] == [row.id for row in rows if row.at < last]


def test_model_and_target_narrow_it(busy: None, production: Target, staging: Target) -> None:
    period = around_now().period
    assert {name for row in units.every(Scope(period, "churn")) for name in row.models} == {"churn"}
    assert [row.cause for row in units.every(Scope(period, target=staging))] == [Cause.FOUND]
    told = completeness.state(Scope(period, "churn", production))
    assert told.adds_up
    assert (told.seen, told.beside) == (7, 0)


def test_downloads_carry_every_row_and_no_formula(busy: None) -> None:
    lines = "".join(population.csv_lines(units.COLUMNS, (row.as_plain() for row in units.every(around_now()))))
    rows = list(csv.DictReader(StringIO(lines)))
    assert len(rows) == tally.of(around_now()).total
    assert {row["allowed_by"] for row in rows if row["cause"] == "imported"} == {"'=Paul"}
    told = [json.loads(line) for line in population.json_lines(r.as_plain() for r in units.every(around_now()))]
    assert [row["unit"] for row in told] == [row["unit"] for row in rows]


def test_a_page_costs_the_same_for_few_and_many(
    busy: None, django_assert_max_num_queries: object, rita: User, remy: User, production: Target
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def cost() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            completeness.state(around_now())
            units.of([unit for _, unit in units.keys(around_now())[:50]])
        return len(queries)

    before = cost()
    for _ in range(6):
        settle(make_request(make_version("more"), production, by=rita), remy)
    assert cost() == before


# --- What is not known


def test_a_place_that_was_never_looked_at_is_named(busy: None, production: Target) -> None:
    told = completeness.state(Scope(around_now().period, target=production))
    assert any("never looked at the stage Production and the alias @champion" in each for each in told.limits)


def test_a_watch_that_began_within_the_period_says_since_when(production: Target) -> None:
    now = timezone.now()
    for place in ("Production", "@champion"):
        WatchedPlace.objects.create(target=production, place=place, first_seen_at=now - timedelta(hours=3))
    WatchState.objects.update_or_create(pk=1, defaults={"looked_at": now})
    late = completeness.state(Scope(Period(now - timedelta(hours=5), now), target=production))
    assert any("Not the whole period was watched" in each for each in late.limits)
    whole = completeness.state(Scope(Period(now - timedelta(hours=2), now), target=production))
    assert whole.limits == []


def test_a_gap_is_kept_and_named(production: Target) -> None:
    now = timezone.now()
    MirrorState.objects.record(pulled_at=now)
    health.failed(Unreachable("MLflow does not answer."))
    health.failed(Unreachable("MLflow does not answer."))
    assert Outage.objects.count() == 0
    told = completeness.state(around_now())
    assert [(gap.ended_at, gap.error) for gap in told.coverage.gaps] == [(None, "MLflow does not answer.")]
    health.answered(pulled_at=timezone.now())
    health.answered(pulled_at=timezone.now())
    kept = Outage.objects.get()
    assert kept.started_at == now
    assert kept.error == "MLflow does not answer."
    told = completeness.state(around_now())
    assert told.coverage.gap_count == 1
    assert any("MLflow was not seen in 1 span, less than a minute in all." in each for each in told.limits)
    assert completeness.state(Scope(Period(now - timedelta(days=2), now - timedelta(days=1)))).coverage.gap_count == 0


def test_a_worker_that_stood_still_leaves_a_gap(settings: object) -> None:
    seen = timezone.now() - timedelta(hours=2)
    MirrorState.objects.record(pulled_at=seen)
    health.answered(pulled_at=timezone.now())
    kept = Outage.objects.get()
    assert (kept.started_at, kept.error) == (seen, "")
    told = completeness.state(around_now())
    assert any("1 span, 2 hours in all" in each for each in told.limits)


def test_a_holder_that_the_mirror_shows_and_no_tenure_knows_is_counted(production: Target) -> None:
    make_version("churn", stage="Production")
    told = completeness.state(around_now())
    assert (told.strangers, told.missing) == (1, 0)


def test_an_altered_event_is_found_among_those_shown(busy: None) -> None:
    rows = units.of(unit for _, unit in units.keys(around_now()))
    events = [row.event for row in rows if row.event]
    assert completeness.state(around_now(), shown=events).proof.fault == ""
    events[0].stored_actor = "Somebody else"
    assert "was altered" in completeness.state(around_now(), shown=events).proof.fault
    assert completeness.state(around_now()).proof.sequence == AuditEvent.objects.count()
