"""The pages of an audit: what they say, their downloads and the events of these, their cost, bad input."""

import csv
import io
import json
import re
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals import administration, workflow
from approvals.audit import completeness, units
from approvals.audit.periods import Period
from approvals.models import Action, AuditEvent, Policy, PromotionRequest, Reading, Target, Tenure, Verification
from tests.support.factories import make_policy, make_request, make_rule, make_version
from tests.support.pages import text_of
from tests.support.world import around_now, bypass, settle

pytestmark = pytest.mark.django_db
DAYS = f"since={timezone.now() - timedelta(days=2):%Y-%m-%d}&until={timezone.now() + timedelta(days=2):%Y-%m-%d}"
PAGES = ("/history/audit/", "/history/audit/access/", "/history/audit/reviews/")


@pytest.fixture
def auditor(client: Client, vera: User) -> Client:
    client.force_login(vera)
    return client


@pytest.fixture
def changed(rita: User, remy: User, production: Target) -> PromotionRequest:
    make_policy("*", production, (1, None))
    settle(make_request(make_version("churn"), production, by=rita), remy)
    request = settle(make_request(make_version("churn"), production, by=rita), remy)
    bypass(make_version("churn"), production, "@champion")
    return request


def page(client: Client, address: str, *, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status
    return text_of(answer.content.decode())


def body(client: Client, address: str) -> bytes:
    answer: Any = client.get(address)
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)


def test_the_population_page_says_whether_it_adds_up(auditor: Client, changed: PromotionRequest) -> None:
    said = page(auditor, f"/history/audit/?{DAYS}")
    assert "Complete: every change is accounted for" in said
    assert "3 deliveries and incidents seen in MLflow, each with all that it changed = 2 delivered + 1 outside" in said
    assert "Version 3 took @champion, replacing version 2" in said
    assert f"Request #{changed.pk}" in said
    assert "The watch has never looked at" in said


def test_how_the_last_verification_of_the_ledger_ended_is_part_of_the_statement(
    auditor: Client, changed: PromotionRequest, vera: User
) -> None:
    address = f"/history/audit/?{DAYS}"
    assert "The whole ledger has not been verified yet." in page(auditor, address)
    assert completeness.state(around_now()).as_plain()["chain"]["last_verification"] is None
    events = AuditEvent.objects.count()
    done = Verification.objects.create(ended_at=timezone.now(), events=events, head="a" * 64)
    administration.ask_to_verify(by=vera)  # one that has not ended says nothing yet
    assert re.search(rf"The whole ledger was last verified .*: all {events} events match\.", page(auditor, address))
    told = completeness.state(around_now()).as_plain()["chain"]["last_verification"]
    assert (told["is_intact"], told["events"], told["head"]) == (True, events, "a" * 64)
    problem = "Event 3 was altered: its hash does not fit its content."
    Verification.objects.filter(pk=done.pk).update(problem=problem, first_bad=3, head="")
    said = page(auditor, address)
    assert f"The last verification of the ledger found a fault. {problem}" in said
    assert "events fit" not in said.partition("shown here")[0]
    assert any(problem in limit for limit in completeness.state(around_now()).limits)
    packed = zipfile.ZipFile(io.BytesIO(body(auditor, f"/history/audit/export/archive.zip?{DAYS}")))
    assert f"UTC: it found a fault. {problem}" in packed.read("README.txt").decode()


def test_what_does_not_add_up_is_said_loudly(auditor: Client, changed: PromotionRequest, production: Target) -> None:
    bypass(make_version("churn"), production, "@champion", has_incident=False)
    said = page(auditor, f"/history/audit/?{DAYS}")
    assert "Incomplete: some changes are not accounted for" in said
    assert "1 of them has no matching delivery or incident in the ledger." in said


def test_the_last_quarter_is_shown_by_itself(auditor: Client, changed: PromotionRequest) -> None:
    Tenure.objects.filter(version_number=2).update(started_at=timezone.now() - timedelta(days=200))
    said = page(auditor, "/history/audit/")
    assert "Nothing changed in this period." in said
    assert Period.last_quarter(timezone.now()).words in said


def test_where_the_record_is_younger_than_a_quarter_this_one_is_shown(
    auditor: Client, changed: PromotionRequest
) -> None:
    said = page(auditor, "/history/audit/")
    assert Period.this_quarter(timezone.now()).words in said
    assert "Version 3 took @champion, replacing version 2" in said


@pytest.mark.each_database
@pytest.mark.parametrize("address", PAGES)
@pytest.mark.parametrize("query", ["since=nonsense", "since=2026-02-01&until=2026-01-01", "target=Nowhere", "at=never"])
def test_nonsense_is_answered_beside_the_field(auditor: Client, address: str, query: str) -> None:
    fields = {"/history/audit/access/": ("at", "target")}.get(address, ("since", "target"))
    answer = auditor.get(f"{address}?{query}")
    assert answer.status_code == (422 if query.split("=", maxsplit=1)[0] in fields else 200)


@pytest.mark.parametrize("query", ["size=0", "size=501", "size=many", "model=nobody_knows_it"])
def test_a_sample_or_model_that_makes_no_sense_is_refused(auditor: Client, query: str) -> None:
    assert auditor.get(f"/history/audit/?{query}").status_code == 422
    before = AuditEvent.objects.count()
    answer = auditor.get(f"/history/audit/export/archive.zip?{query}")
    assert answer["Location"] == f"/history/audit/?{query}"
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize(("size", "words"), [(1, "1 change, ZIP"), (2, "2 changes, ZIP")])
def test_the_button_says_what_it_downloads(auditor: Client, changed: PromotionRequest, size: int, words: str) -> None:
    assert f"Download sample ({words})" in page(auditor, f"/history/audit/?{DAYS}&size={size}")


def test_the_page_draws_the_sample_that_the_archive_holds(auditor: Client, changed: PromotionRequest) -> None:
    query = f"{DAYS}&size=2&seed=apple"
    shown = auditor.get(f"/history/audit/?{query}").context["sample"].ids
    packed = zipfile.ZipFile(io.BytesIO(body(auditor, f"/history/audit/export/archive.zip?{query}")))
    rows = list(csv.DictReader(io.StringIO(packed.read("sample.csv").decode())))
    assert [row["unit"] for row in rows] == shown
    assert all(f"{row['folder']}/unit.json" in packed.namelist() for row in rows)


def test_an_archive_is_an_event_with_its_filters_seed_and_size(
    auditor: Client, changed: PromotionRequest, vera: User
) -> None:
    packed = zipfile.ZipFile(io.BytesIO(body(auditor, f"/history/audit/export/archive.zip?{DAYS}&model=churn&size=2")))
    event = AuditEvent.objects.latest("sequence")
    assert (event.action, event.actor) == (Action.EVIDENCE_EXPORTED, vera)
    before = AuditEvent.objects.get(sequence=event.sequence - 1)
    assert event.data["what"] == "archive"
    assert (event.data["seed"], event.data["size"], event.data["filters"]["model"]) == (before.hash, 2, "churn")
    told = json.loads(packed.read("completeness.json"))
    assert told["adds_up"]
    assert (told["units_seen"], told["changed_outside_the_gate"]) == (3, 1)


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("/history/audit/export/population.csv", "population"),
        ("/history/audit/export/population.jsonl", "population"),
        ("/history/audit/export/access.csv", "access"),
        ("/history/audit/export/reviews.csv", "reviews"),
    ],
)
def test_every_download_is_an_event(auditor: Client, changed: PromotionRequest, address: str, what: str) -> None:
    assert len(body(auditor, f"{address}?{DAYS}").splitlines()) > 1
    event = AuditEvent.objects.latest("sequence")
    assert (event.action, event.data["what"]) == (Action.EVIDENCE_EXPORTED, what)


def test_the_population_is_downloaded_whole(auditor: Client, changed: PromotionRequest) -> None:
    lines = body(auditor, f"/history/audit/export/population.jsonl?{DAYS}").splitlines()
    assert [json.loads(line)["unit"] for line in lines] == [row.id for row in units.every(around_now())]


def test_pages_cost_the_same_for_few_and_many(
    auditor: Client, changed: PromotionRequest, rita: User, remy: User, ada: User, production: Target
) -> None:
    administration.invite(email="first@example.com", name="First Person", groups=[], by=ada)

    def cost(address: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert auditor.get(f"{address}?{DAYS}").status_code == 200
        return len(queries)

    few = [cost(address) for address in PAGES]
    for number in range(5):
        settle(make_request(make_version("more"), production, by=rita), remy)
        bypass(make_version("more"), production, "@champion")
        administration.invite(email=f"p{number}@example.com", name=f"Person {number}", groups=[], by=ada)
    assert [cost(address) for address in PAGES] == few


# --- Who can approve what


def test_access_at_a_moment_is_what_it_was_then(auditor: Client, ada: User, remy: User, production: Target) -> None:
    rule = make_rule("churn*", (1, None))
    policy = administration.save_policy(Policy(target=production), rule, by=ada)
    administration.set_groups(remy, groups=remy.groups.all(), by=ada)
    moment = timezone.now()
    administration.set_groups(remy, groups=[], by=ada)
    administration.retire_policy(policy, by=ada)
    now = page(auditor, "/history/audit/access/?model=churn_x&target=Production")
    assert "churn*" not in now.split("Changes of roles")[0].split("People and slots")[1]
    then = auditor.get("/history/audit/access/", {"at": moment.isoformat(), "model": "churn_x", "target": "Production"})
    assert [column.pattern for column in then.context["columns"]] == ["churn*"]
    can = {row.name: [fills for _, fills in cells] for row, cells in then.context["rows"]}
    assert can["Remy Ortiz"] == [True]
    assert "No event by then explains the roles of" in text_of(then.content.decode())


def test_before_the_first_event_the_page_says_that_it_cannot_know(auditor: Client, changed: PromotionRequest) -> None:
    said = page(auditor, "/history/audit/access/?at=2020-01-01")
    assert "The ledger has no events before" in said


# --- How people review


def test_time_on_page_is_from_opening_to_signing(
    client: Client, vera: User, rita: User, remy: User, production: Target
) -> None:
    make_policy("*", production, (1, None))
    request = make_request(make_version("churn"), production, by=rita)
    client.force_login(remy)
    for _ in range(2):
        assert client.get(request.get_absolute_url()).status_code == 200
    assert client.get(f"{request.get_absolute_url()}compare/").status_code == 200
    reading = Reading.objects.get()
    assert (reading.person, reading.fingerprint) == (remy, request.fingerprint)
    Reading.objects.update(opened_at=timezone.now() - timedelta(minutes=4))
    workflow.review(request, by=remy, verdict="approve")
    data = AuditEvent.objects.get(action=Action.REVIEW_APPROVED).data
    assert 240 <= data["seconds_on_page"] <= 245
    assert data["opened_at"]
    assert "4 minutes after opening it" in page(client, request.get_absolute_url())
    client.force_login(vera)
    said = page(client, f"/history/audit/reviews/?{DAYS}")
    assert "Remy Ortiz 1 4 min 0 0" in said


@pytest.mark.parametrize("who", ["rita", "vera", "ada"])
def test_opening_a_request_leaves_no_trace_of_those_who_do_not_decide(
    client: Client, request: pytest.FixtureRequest, rita: User, production: Target, who: str
) -> None:
    asked = make_request(make_version("churn"), production, by=rita)
    client.force_login(request.getfixturevalue(who))
    assert client.get(asked.get_absolute_url()).status_code == 200
    assert client.get(f"{asked.get_absolute_url()}compare/").status_code == 200
    assert Reading.objects.count() == 0


def test_who_never_opened_it_has_no_time(rita: User, remy: User, production: Target) -> None:
    workflow.review(make_request(make_version("churn"), production, by=rita), by=remy, verdict="approve")
    data = AuditEvent.objects.get(action=Action.REVIEW_APPROVED).data
    assert (data["opened_at"], data["seconds_on_page"]) == (None, None)


def test_a_page_is_shown_even_if_its_opening_cannot_be_noted(
    client: Client, monkeypatch: pytest.MonkeyPatch, rita: User, remy: User, production: Target
) -> None:
    from django.db import DatabaseError

    def refuse(*_: Any, **__: Any) -> None:
        raise DatabaseError("The disk is full.")

    asked = make_request(make_version("churn"), production, by=rita)
    monkeypatch.setattr(Reading.objects, "bulk_create", refuse)
    client.force_login(remy)
    assert client.get(asked.get_absolute_url()).status_code == 200
