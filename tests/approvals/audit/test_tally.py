"""What an audit has counted and drawn in the database, against the same read unit by unit."""

import random
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from approvals.audit import completeness, population, sampling, tally, units
from approvals.audit.periods import Period
from approvals.audit.population import CAUSES, GOES_ON, Cause, Scope
from approvals.evidence import canonical
from approvals.models import Action, AuditEvent, PromotionRequest, Target, Tenure
from approvals.models.ledger import RECORD_CHANGES
from tests.approvals.ledger.tampering import without_triggers
from tests.support.factories import NOON, make_person, make_request, make_version

pytestmark = pytest.mark.django_db

EVENTS, TENURES = 60, 90
WHOLE = Period(NOON - timedelta(days=1), NOON + timedelta(days=1))


@pytest.fixture(scope="module")
def made(kept: None) -> None:
    rita, production = make_person("Rita Sanz", "requester"), Target.objects.get(name="Production")
    for kind in ("promotion", "rollback", "retroactive"):
        request = make_request(make_version("asked"), production, by=rita)
        PromotionRequest.objects.filter(pk=request.pk).update(kind=kind)


@pytest.fixture
def kinds(db: None, made: None) -> list[PromotionRequest | None]:
    return [None, *PromotionRequest.objects.order_by("pk")]


def write(events: list[dict[str, Any]], tenures: list[Tenure]) -> None:
    """As somebody with the database's password could: nothing has to fit. The first event has number 1001."""
    with without_triggers():
        AuditEvent.objects.bulk_create(
            AuditEvent(
                sequence=1000 + number,
                at=NOON + timedelta(minutes=number),
                stored_actor="Countersign worker",
                correlation_id=uuid.uuid4(),
                previous_hash="0" * 64,
                hash=f"{number:064}",
                **event,
            )
            for number, event in enumerate(events, 1)
        )
    Tenure.objects.bulk_create(tenures)


def invent(dice: random.Random, kinds: list[PromotionRequest | None], targets: list[Target]) -> None:
    """Tenures of every origin and end, with events that fit, are another's, or are not there."""
    payloads = ["{}", *(canonical({"before": 1} | {"x": "y"})[:-1] + f",{text}}}" for text in GOES_ON.values())]
    actions = [*population.TELLING, str(Action.VERSION_PROMOTED), str(Action.REQUEST_CREATED)]
    events = [
        {
            "action": dice.choice(actions),
            "model_name": dice.choice("ab"),
            "version_number": dice.choice((1, 2, None)),
            "target_name": "Production",
            "request": dice.choice(kinds),
            "payload": dice.choice(payloads),
        }
        for _ in range(EVENTS)
    ]
    write(events, list(_tenures(dice, events, targets)))


def _tenures(dice: random.Random, events: list[dict[str, Any]], targets: list[Target]) -> Iterator[Tenure]:
    for number in range(TENURES):
        start = dice.randint(1, EVENTS)
        end = dice.choice((None, dice.randint(start, EVENTS + 5)))
        # Changes of one event are not all of one moment.
        begun, over = timedelta(seconds=dice.choice((0, 0, 20))), timedelta(seconds=dice.choice((20, 20, 40)))
        told = events[start - 1]
        is_fitting = dice.random() < 0.8
        yield Tenure(
            model_name=told["model_name"] if is_fitting else dice.choice("ab"),
            version_number=told["version_number"] if is_fitting and told["version_number"] and end else 10 + number,
            target=dice.choice(targets),
            place=dice.choice(("Production", "@champion")),
            is_sole=False,
            origin=dice.choice(Tenure.Origin.values),
            started_at=NOON + timedelta(minutes=start) + begun,
            start_sequence=1000 + start if dice.random() < 0.9 else None,
            ended_at=NOON + timedelta(minutes=end) + over if end else None,
            end_sequence=1000 + end if end and dice.random() < 0.9 else None,
            end=dice.choice(Tenure.End.values) if end else "",
        )


@pytest.mark.parametrize("seed", range(6))
def test_counts_sample_and_pages_are_those_of_reading_every_unit(
    kinds: list[PromotionRequest | None],
    production: Target,
    staging: Target,
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dice = random.Random(seed)
    invent(dice, kinds, [production, staging])
    halfway = NOON + timedelta(minutes=EVENTS // 2, seconds=10)  # between changes of one event
    for scope in (
        Scope(WHOLE),
        Scope(WHOLE, "a"),
        Scope(WHOLE, target=staging),
        Scope(Period(WHOLE.since, halfway), "b", production),
        Scope(Period(halfway, WHOLE.until)),
    ):
        ids = [unit for _, unit in units.keys(scope)]
        causes = _by_parts(scope)
        assert sorted(ids) == sorted(causes)
        counted = tally.of(scope)
        assert counted.counts == dict.fromkeys(CAUSES, 0) | Counter(causes.values())
        assert counted.deliveries == len(
            {each.start_sequence for each in population.starts(scope) if each.origin == "delivery"} - {None}
        )
        for size in (1, 7, 500):
            assert sampling.draw(scope, seed=str(seed), size=size).ids == sampling.pick(str(seed), ids, size)
        with monkeypatch.context() as many:
            many.setattr(tally, "LISTED", 1)
            assert tally.of(scope) == counted
        pages = range(0, len(ids), 7)
        for near, firsts in ((units.NEAR, pages), (10, {*pages[::3], *pages[-1:]})):  # nothing is near, but the last
            with monkeypatch.context() as nearer:
                nearer.setattr(units, "NEAR", near)
                for first in firsts:
                    assert units.between(scope, first, first + 7, total=len(ids)) == ids[first : first + 7]


def _by_parts(scope: Scope) -> dict[str, Cause]:
    """The cause of each unit, by reading what lies in the scope one by one with `changes`."""
    found: dict[str, Cause] = {}
    for rows, begins in ((population.starts(scope), True), (population.lone_ends(scope), False)):
        named = dict(units.named(rows, begins=begins).values_list("pk", "unit"))
        for change in population.changes(f"{'start' if begins else 'end'}-{pk}" for pk in named):
            unit = named[change.tenure.pk]
            found[unit] = units.Unit(
                unit, [change, *([SimpleNamespace(cause=found[unit])] if unit in found else [])]
            ).cause
    return found


def test_a_handful_by_hand(kinds: list[PromotionRequest | None], production: Target) -> None:
    asked = kinds[1]
    base = {"model_name": "a", "target_name": "Production", "payload": "{}"}
    promoted = {"action": Action.VERSION_PROMOTED, "request": asked} | base
    events = [
        promoted | {"version_number": 1},
        promoted | {"version_number": 2},
        {"action": Action.TENURE_FOUND, "version_number": None} | base,
        promoted | {"version_number": 3, "request": None},
        {"action": Action.INCIDENT_OPENED, "version_number": None} | base,
    ]

    def tenure(number: int, start: int | None, until: int | None = None, **fields: Any) -> Tenure:
        moments = {"started_at": NOON + timedelta(minutes=start or 0)}
        if until:
            moments["ended_at"] = NOON + timedelta(minutes=until)
        given = {"target": production, "model_name": "a", "place": "Production", "origin": "delivery"} | fields
        return Tenure(
            version_number=number,
            start_sequence=start and 1000 + start,
            end_sequence=until and 1000 + until,
            **given | moments,
        )

    write(
        events,
        [
            tenure(1, 1, 2, end="replaced"),  # with its alias one unit, and its end no other than the next one's start
            tenure(1, 1, 2, end="replaced", place="@champion"),
            tenure(2, 2, 5, end="deleted"),  # a delivery; what deleted it is an incident
            tenure(2, 2, place="@champion"),
            tenure(7, 2, place="@canary", model_name="b"),  # another's promotion: the unit is not explained
            tenure(4, 3, place="@canary", origin="found"),
            tenure(3, 4, place="@canary", is_sole=False),  # no request
            tenure(5, None, 5, origin="imported", end="imported", model_name="c"),  # two units of its own
        ],
    )
    counted = tally.of(Scope(WHOLE))
    assert {cause: many for cause, many in counted.counts.items() if many} == {
        Cause.DELIVERY: 1,
        Cause.UNEXPLAINED: 2,
        Cause.INCIDENT: 1,
        Cause.FOUND: 1,
        Cause.IMPORTED: 2,
    }
    assert (counted.deliveries, counted.total) == (3, 7)


def test_the_index_has_every_event_that_is_asked_for() -> None:
    asked_for = {*population.TELLING, *map(str, completeness.TELLING)}
    assert asked_for == {str(action) for action in RECORD_CHANGES}


def test_the_whole_population_is_never_read_into_memory(
    kinds: list[PromotionRequest | None], production: Target, staging: Target
) -> None:
    def cost() -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            tally.of(Scope(WHOLE))
        return [each["sql"].partition("FROM")[0] for each in queries]

    empty = cost()
    invent(random.Random(1), kinds, [production, staging])
    assert cost() == empty
    assert len(empty) == 6
