"""Time travel: the answer against a log kept beside it, the page, and the JSON."""

import itertools
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, example, given
from hypothesis import settings as tries
from hypothesis import strategies as st

from accounts.models import User
from approvals import tenures, workflow
from approvals.models import AuditEvent, PromotionRequest, RequestKind, Target, Tenure
from approvals.tenures import as_of
from approvals.tenures.as_of import Question
from mirror import sync
from tests.support.factories import approve, make_person, make_policy, make_request, make_version
from tests.support.fakes import FakeRegistry
from tests.support.pages import text_of
from tests.support.world import promote

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_names = (f"random_{number}" for number in itertools.count())


def hours(count: float) -> datetime:
    return NOON + timedelta(hours=count)


def hold(  # what the watch, a delivery or an import would write
    model: str,
    number: int,
    target: Target,
    start: datetime,
    end: datetime | None = None,
    *,
    origin: str = "delivery",
    places: tuple[str, ...] = (),
    how: str = "replaced",
    **fields: Any,
) -> None:
    for place in places or tenures.places_of(target):
        Tenure.objects.create(
            model_name=model,
            version_number=number,
            target=target,
            place=place,
            is_sole=tenures.is_sole(target, place),
            origin=origin,
            started_at=start,
            ended_at=end,
            end=how if end else "",
            **fields,
        )


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
        hold("churn", number, staging, NOON)
    assert told(Question(hours(1))) == [("churn", "Staging", [(9, ["Staging"]), (5, ["Staging"]), (2, ["Staging"])])]
    (model,) = as_of.models(Question(hours(1)), ["churn"])
    assert [holder.loaded_as for holder in model.targets[0][1]] == [["models:/churn/Staging"], [], []]


def test_places_of_one_target_that_different_versions_hold_are_told_apart(production: Target) -> None:
    hold("churn", 1, production, NOON, places=("@champion",))
    hold("churn", 1, production, NOON, hours(2), places=("Production",))
    hold("churn", 2, production, hours(2), places=("Production",), origin="outside", started_after=hours(1))
    assert told(Question(hours(3))) == [("churn", "Production", [(2, ["Production"]), (1, ["@champion"])])]


def test_places_that_are_alike_are_told_together(production: Target) -> None:
    hold("churn", 1, production, NOON)
    (model,) = as_of.models(Question(hours(1)), ["churn"])
    ((_, (holder,)),) = model.targets
    assert holder.places == ["Production", "@champion"]
    assert holder.loaded_as == ["models:/churn/Production", "models:/churn@champion"]


def test_between_two_looks_both_versions_are_possible_and_it_says_so(production: Target) -> None:
    hold("churn", 1, production, NOON, hours(3), how="outside", ended_after=hours(1))
    hold("churn", 2, production, hours(3), origin="outside", started_after=hours(1))
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
        ({"origin": "delivery"}, "Promoted through the gate."),
        ({"origin": "restored"}, "Put back by Countersign after a change outside the gate."),
        (
            {"origin": "found"},
            "Held before the gate, approver unknown; first seen 2026-03-01 12:00 UTC, since when is not known.",
        ),
        (
            {"origin": "outside", "started_after": NOON - timedelta(minutes=9)},
            "Changed in MLflow without a delivery; seen 2026-03-01 12:00 UTC, not before 2026-03-01 11:51 UTC.",
        ),
        (
            {"origin": "imported", "requested_by": "Jo", "approved_by": "Sam"},
            "Imported from earlier records, which say: asked for by Jo and approved by Sam.",
        ),
        ({"origin": "imported"}, "Imported from earlier records, which say: nobody."),
    ],
)
def test_each_origin_has_its_honest_sentence(production: Target, fields: dict[str, Any], words: str) -> None:
    hold("churn", 1, production, NOON, hours(5), **fields)
    (model,) = as_of.models(Question(hours(1)), ["churn"])
    assert model.targets[0][1][0].how == words


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("rollback", {}, "Rolled back to, through the gate."),
        ("break_glass", {}, "Promoted without approvals (break-glass); not reviewed afterwards yet."),
        (
            "break_glass",
            {"afterwards_verdict": "justified"},
            "Promoted without approvals (break-glass); reviewed afterwards: justified.",
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
    hold("churn", 1, production, NOON, request=request)
    (model,) = as_of.models(Question(hours(1)), ["churn"])
    assert model.targets[0][1][0].how == words


def test_an_exact_name_means_that_model_alone_and_a_part_means_all_with_it(production: Target) -> None:
    for name in ("churn", "churn_eu", "fraud"):
        hold(name, 1, production, NOON)
    assert [row[0] for row in told(Question(hours(1), "churn"))] == ["churn"]
    assert [row[0] for row in told(Question(hours(1), "CHUR"))] == ["churn", "churn_eu"]
    assert [row[0] for row in told(Question(hours(1), "eu"))] == ["churn_eu"]


# --- The page


@pytest.fixture
def page(client: Client, vera: User) -> Callable[..., str]:
    client.force_login(vera)

    def get(query: str = "", status: int = 200) -> str:
        answer = client.get(f"/history/at/{query}")
        assert answer.status_code == status
        return text_of(re.sub(r"<(title|desc).*?</\1>", "", answer.content.decode(), flags=re.DOTALL))

    return get


def test_the_page_names_who_asked_and_who_approved_with_which_meaning(
    page: Callable[..., str], client: Client, rita: User, remy: User, rosa: User, production: Target
) -> None:
    request = make_request(make_version("churn"), production, by=rita)
    approve(request, remy, rosa)
    request.reviews.filter(reviewer=rosa).update(meaning="responsible", created_at=NOON)
    request.reviews.filter(reviewer=remy).update(created_at=NOON)
    hold("churn", 1, production, NOON, request=request, start_sequence=1)
    words = page("?at=2026-03-01T13:00")
    assert "Version 1 Promoted Production and @champion Since 2026-03-01 12:00:00 UTC , and still." in words
    assert f"Request #{request.pk} , asked for by Rita Sanz ; approved by" in words
    assert "Remy Ortiz (approved)" in words
    assert "Rosa Lind (responsible)" in words
    html = client.get("/history/at/?at=2026-03-01T13:00").content.decode()
    for path in (f"/requests/{request.pk}/certificate/", f"/requests/{request.pk}/compare/", "/history/1/"):
        assert f'href="{path}"' in html
        assert client.get(path).status_code == 200


def test_an_approval_that_came_later_is_told_as_such(
    page: Callable[..., str], rita: User, remy: User, rosa: User, production: Target
) -> None:
    request = approve(make_request(make_version("churn"), production, by=rita), remy, rosa)
    hold("churn", 1, production, NOON, origin="outside", request=request)
    assert "approved only later by Remy Ortiz" in page("?at=2026-03-01T13:00")


def test_only_what_is_mirrored_has_a_link(client: Client, vera: User, production: Target) -> None:
    """An imported model may never have been seen in MLflow."""
    make_version("churn", 1)
    for name in ("churn", "gone"):
        hold(name, 1, production, NOON, hours(9), origin="imported")
    client.force_login(vera)
    html = client.get("/history/at/?at=2026-03-01T13:00").content.decode()
    for path in ("/models/churn/", "/models/churn/versions/1/"):
        assert f'href="{path}"' in html
    assert "/models/gone/" not in html
    assert ">gone</h3>" in html


def test_one_steps_from_change_to_change(page: Callable[..., str], client: Client, production: Target) -> None:
    change = hours(2) + timedelta(microseconds=123456)
    hold("churn", 1, production, NOON, change)
    hold("churn", 2, production, change)
    html = client.get("/history/at/?at=2026-03-01T13:00&model=churn").content.decode()
    after = re.search(r'id="change-after" href="([^"]+)"', html)
    before = re.search(r'id="change-before" href="([^"]+)"', html)
    assert after
    assert before
    assert before[1] == "/history/at/?at=2026-03-01T12%3A00&amp;model=churn"
    assert after[1] == "/history/at/?at=2026-03-01T14%3A00%3A00.123456&amp;model=churn"
    assert "Version 2" in page("?at=2026-03-01T14%3A00%3A00.123456&model=churn")
    # The picker of the browser knows thousandths: sent again, it shows the same.
    shown = re.search(r'name="at"[^>]* value="([^"]+)"', client.get(after[1].replace("&amp;", "&")).content.decode())
    assert shown
    assert shown[1] == "2026-03-01T14:00:00.124"


def test_the_slider_leads_to_the_moment_and_keeps_the_filters(client: Client, vera: User, production: Target) -> None:
    hold("churn", 1, production, NOON)
    client.force_login(vera)
    answer = client.get(f"/history/at/?slide={int(hours(1).timestamp())}&model=churn&span=year")
    assert answer["Location"] == "/history/at/?model=churn&span=year&at=2026-03-01T13%3A00"
    html = client.get(answer["Location"]).content.decode()
    slider = re.search(r'type="range"[^>]* min="(\d+)" max="(\d+)" step="\d+" value="(\d+)"', html)
    assert slider
    low, high, value = map(int, slider.groups())
    assert low < value == int(hours(1).timestamp()) < high
    for nonsense in ("x", "9" * 30, ""):
        assert client.get(f"/history/at/?slide={nonsense}")["Location"] == "/history/at/"
    soon = int(timezone.now().timestamp()) + 60
    assert client.get(f"/history/at/?slide={soon}&model=churn")["Location"] == "/history/at/?model=churn"


def test_the_future_and_what_was_before_everything_are_named(page: Callable[..., str], production: Target) -> None:
    assert "No tenure is known yet." in page()
    hold("churn", 1, production, NOON)
    assert "That moment is still to come." in page("?at=2999-01-01")
    assert "Version 1" not in page("?at=2999-01-01").partition("Time line")[0]
    words = page("?at=2020-01-01")
    assert "Nothing is known of that moment." in words
    assert "The record begins on 2026-03-01 12:00:00 UTC" in words
    assert "Nothing of what you filter by was held then." in page("?at=2026-03-02&model=fraud")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("at=yesterday", "Write a time such as 2026-11-23 or 2026-11-23T12:04; without a zone it is UTC."),
        ("at=0001-01-01T00:00%2B14:00", "Write a time such as"),
        ("target=production", "There is no target of this name. Capital letters matter."),
        ("model=a%00b", "Null characters are not allowed."),
        (f"model={'x' * 257}", "at most 256 characters"),
        ("span=evil", "Select a valid choice"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(page: Callable[..., str], client: Client, query: str, words: str) -> None:
    assert "Nothing is shown." in page(f"?{query}", 422)
    answer = client.get(f"/history/at.json?{query}")
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    if "span" not in query:
        assert words in page(f"?{query}", 422)


@pytest.mark.parametrize(
    "at", ["0001-01-01", "1000-01-01T00:00", "9999-12-31T23:59:59.999999", "2026-03-01T13:00+02:00"]
)
@pytest.mark.parametrize("span", ["", "day", "all"])
def test_moments_at_the_edge_of_time_have_an_answer(
    page: Callable[..., str], production: Target, at: str, span: str
) -> None:
    hold("churn", 1, production, NOON)
    assert "Time line" in page(f"?at={at}&span={span}")


def test_the_page_asks_as_often_for_many_models_as_for_one(
    client: Client, vera: User, rita: User, remy: User, production: Target, staging: Target
) -> None:
    client.force_login(vera)

    def queries() -> int:
        client.get("/history/at/")  # the session is warm
        with CaptureQueriesContext(connection) as found:
            assert client.get("/history/at/?at=2026-03-01T13:00").status_code == 200
        return len(found)

    def fill(count: int, prefix: str) -> None:
        for number in range(count):
            name = f"{prefix}{number}"
            request = approve(make_request(make_version(name), staging, by=rita), remy)
            hold(name, 1, staging, NOON, request=request)
            hold(name, 2, production, NOON - timedelta(hours=number + 1), origin="found")

    fill(1, "a")
    few = queries()
    fill(30, "b")
    assert queries() == few


# --- JSON


def test_the_json_is_the_same_answer(
    client: Client, vera: User, rita: User, remy: User, rosa: User, production: Target
) -> None:
    request = approve(make_request(make_version("churn"), production, by=rita), remy, rosa)
    hold("churn", 1, production, NOON, hours(2), request=request, start_sequence=3)
    client.force_login(vera)
    answer = client.get("/history/at.json?at=2026-03-01T14:00%2B01:00&model=churn&target=Production").json()
    first, second = request.reviews.order_by("created_at")
    assert {key: value for key, value in answer.items() if key not in ("asked_at", "holders")} == {
        "at": "2026-03-01T13:00:00.000000Z",
        "beginning": "2026-03-01T12:00:00.000000Z",
        "is_future": False,
        "models": 1,
        "next": None,
    }
    assert answer["holders"] == [
        {
            "model": "churn",
            "target": "Production",
            "version": 1,
            "places": ["Production", "@champion"],
            "loaded_as": ["models:/churn/Production", "models:/churn@champion"],
            "is_possible": False,
            "may_have_ended": False,
            "since": "2026-03-01T12:00:00.000000Z",
            "not_before": None,
            "until": "2026-03-01T14:00:00.000000Z",
            "held_until_at_least": None,
            "origin": "delivery",
            "how": "Promoted through the gate.",
            "end": "replaced",
            "request": {
                "number": request.pk,
                "kind": "promotion",
                "requested_by": rita.label,
                "fingerprint": request.fingerprint,
            },
            "approvals": [
                {
                    "by": each.reviewer.label,
                    "meaning": "approved",
                    "at": each.created_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
                }
                for each in (first, second)
            ],
            "records": None,
            "event": 3,
            "links": {
                "request": f"http://testserver/requests/{request.pk}/",
                "certificate": f"http://testserver/requests/{request.pk}/certificate/",
            },
        }
    ]


def test_the_json_comes_in_pages_of_one_and_the_same_moment(client: Client, vera: User, production: Target) -> None:
    Tenure.objects.bulk_create(
        Tenure(
            model_name=f"model_{number:03}",
            version_number=1,
            target=production,
            place="Production",
            origin="delivery",
            started_at=NOON,
        )
        for number in range(450)
    )
    client.force_login(vera)
    names: list[str] = []
    moments = set()
    url: str | None = "/history/at.json"
    while url:
        answer = client.get(url).json()
        names += [holder["model"] for holder in answer["holders"]]
        moments.add(answer["at"])
        url = answer["next"]
    assert names == [f"model_{number:03}" for number in range(450)]
    assert len(moments) == 1
    assert client.get("/history/at.json?page=4").json() == {"error": "There are 3 pages."}
    assert client.get("/history/at.json?page=x").status_code == 400
    future = client.get("/history/at.json?at=2999-01-01").json()
    assert (future["is_future"], future["holders"], future["next"]) == (True, [], None)


def test_people_without_a_role_are_refused(client: Client, db: None) -> None:
    client.force_login(make_person("Nina New"))
    for path in ("/history/at/", "/history/at.json"):
        assert client.get(path).status_code == 403
