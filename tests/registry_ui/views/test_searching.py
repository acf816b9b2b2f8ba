"""Search, system and preferences."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import roles
from accounts.models import User
from approvals.models import Comment, OutboxEntry, Target
from mirror.models import MirrorState
from registry_ui import system
from registry_ui.selectors import search
from registry_ui.selectors.places import PLACES, places
from registry_ui.selectors.search import find
from tests.support.factories import approve, make_model, make_person, make_policy, make_request, make_version
from tests.support.pages import text_of

pytestmark = pytest.mark.django_db
RUN = "3f9c2ab0d1e24c5f8a7b6c5d4e3f2a1b"


@pytest.fixture
def reader(client: Client, vera: User) -> Client:
    client.force_login(vera)
    return client


# --- Search -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "q", ["models:/churn_predictor/7", "churn_predictor 7", "churn_predictor v7", "churn_predictor version 7", RUN]
)
def test_a_version_that_is_named_exactly_opens(reader: Client, q: str) -> None:
    version = make_version("churn_predictor", 7, run_id=RUN)
    make_version("churn_predictor", 8)
    answer = reader.get("/search/", {"q": q})
    assert (answer.status_code, answer.headers.get("Location")) == (302, version.get_absolute_url())


def test_a_request_opens_by_its_number(reader: Client, rita: User, staging: Target) -> None:
    request = make_request(make_version("churn_predictor", 1), staging, by=rita)
    assert reader.get("/search/", {"q": f"#{request.pk}"}).headers["Location"] == request.get_absolute_url()
    assert f"Request #{request.pk}" in text_of(reader.get("/search/", {"q": str(request.pk)}).content.decode())


def test_a_name_finds_models_and_people_and_the_exact_one_comes_first(vera: User, remy: User) -> None:
    for name in ("remy_churn", "a_remy", "other"):
        make_model(name)
    found = search.find("remy")
    assert [model.name for model in found.models] == ["remy_churn", "a_remy"]
    assert found.people == [remy]
    assert found.exact is None
    make_model("remy")
    assert search.find("remy").models[0].name == "remy"


def test_the_only_model_of_exactly_this_name_opens(reader: Client) -> None:
    model = make_model("churn_predictor")
    assert reader.get("/search/", {"q": "churn_predictor"}).headers["Location"] == model.get_absolute_url()
    assert reader.get("/search/", {"q": "churn_pre"}).status_code == 200


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("q", "why"),
    [("3f9c2ab", f"run {RUN}"), ("A7C01FF", "git_commit a7c01ff9"), ("9f2cbb", "training_data_hash 9f2cbb00")],
)
def test_versions_are_found_by_the_beginning_of_run_commit_and_hash(q: str, why: str) -> None:
    version = make_version(
        "m", 1, run_id=RUN, tags={"git_commit": "a7c01ff9"}, params={"training_data_hash": "9f2cbb00"}
    )
    make_version("m", 2, run_id="ffffffffffff", tags={"git_commit": "b7c01ff9"})
    assert search.find(q).versions == [(version, why)]


@pytest.mark.each_database
@pytest.mark.parametrize(
    "q", ["%", "_", "'; --", "#999999999999999999", "models:/x/999999999", "0" * 300, "\\", "é\u0301"]
)
def test_odd_questions_find_nothing_and_break_nothing(reader: Client, q: str) -> None:
    make_model("plain")
    answer = reader.get("/search/", {"q": q})
    assert "Nothing was found." in text_of(answer.content.decode())


def test_an_empty_search_says_what_can_be_found(reader: Client) -> None:
    assert "churn_predictor 7" in text_of(reader.get("/search/").content.decode())


# --- System -----------------------------------------------------------------------------------------------------------


def states() -> dict[str, tuple[str, str]]:
    return {part.name: (part.state, part.word) for part in system.parts()}


def test_the_system_page_is_all_well_right_after_a_pull(reader: Client) -> None:
    now = timezone.now()
    make_model()
    MirrorState.objects.record(pulled_at=now, swept_at=now, server_version="3.17.2", latency_ms=7.4)
    slow = {name for name, (state, _) in states().items() if state != "good"}
    not_asked_for_yet = {"Registry", "Rights in MLflow", "Watch", "Ledger"}
    assert slow <= not_asked_for_yet | {"Database role"}, "the suite's role in PostgreSQL may do everything"
    text = text_of(reader.get("/system/").content.decode())
    assert "Everything works." in text
    assert "Version 3.17.2, answers in 7 ms" in text


def test_before_the_first_contact_it_says_what_to_start(reader: Client) -> None:
    found = states()
    assert found["Worker"] == ("bad", "Never seen")
    assert found["Mirror"] == ("bad", "Empty")
    assert found["MLflow"] == ("slow", "Not contacted yet")
    assert "Start worker and beat" in text_of(reader.get("/system/").content.decode())


def test_an_mlflow_that_does_not_answer_is_told_from_a_silent_worker(reader: Client) -> None:
    now, before = timezone.now(), timezone.now() - timedelta(hours=1)
    MirrorState.objects.record(pulled_at=before, failing_since=before, failed_at=now, error="Connection refused <b>")
    found = states()
    assert found["MLflow"] == ("bad", "Not responding")
    assert found["Worker"] == ("good", "OK")
    assert found["Mirror"] == ("bad", "Stale")
    html = reader.get("/system/").content.decode()
    assert "Connection refused &lt;b&gt;" in html
    MirrorState.objects.record(failed_at=before, failing_since=None, error="")
    assert states()["Worker"] == ("bad", "Silent")


def test_a_delivery_that_waits_is_named_with_its_error(reader: Client, rita: User, remy: User, staging: Target) -> None:
    request = approve(make_request(make_version("m", 1), staging, by=rita), remy)
    assert states()["Deliveries"] == ("good", "On their way")
    OutboxEntry.objects.update(created_at=timezone.now() - timedelta(hours=1), attempts=3, last_error="Timed out.")
    assert states()["Deliveries"] == ("bad", "Delayed")
    text = text_of(reader.get("/system/").content.decode())
    assert f"the oldest (request #{request.pk}, tried 3 times) was approved" in text
    assert "Timed out." in text


def test_an_unreachable_broker_is_not_the_end(monkeypatch: pytest.MonkeyPatch, reader: Client) -> None:
    from registry_ui import health

    monkeypatch.setattr(health, "_broker", lambda: {"ok": False, "detail": "Cannot be reached (OperationalError)."})
    assert states()["Broker"] == ("slow", "Unreachable")
    assert "Approvals still count" in text_of(reader.get("/system/").content.decode())


# --- Words, policies, pages, and the jump dialog ----------------------------------------------------------------------


def test_requests_are_found_by_the_words_of_their_reason_and_discussion(
    vera: User, rita: User, production: Target
) -> None:
    asked = make_request(
        make_version("churn_predictor", 7), production, by=rita, justification="Better after the price rise."
    )
    other = make_request(make_version("fraud_card", 2), production, by=rita, justification="Three more months.")
    Comment.objects.create(request=other, author=vera, body="Was the hold-out the same?")
    assert find("price rise").requests == [asked]
    assert find("RISE price").requests == [asked]
    assert find("hold-out").requests == [other]
    assert find("fraud months").requests == [other]
    assert find("price months").requests == []


def test_policies_are_found_by_their_pattern(production: Target) -> None:
    made = make_policy("fraud_*", production, (1, None))
    assert find("fraud").policies == [made]
    made.retired_at = timezone.now()
    made.save()
    assert find("fraud").policies == []


def test_pages_are_found_by_their_names_by_those_who_may_open_them(vera: User, rita: User, ada: User) -> None:
    assert [place.title for place in places("trav", vera)] == ["Time travel"]
    assert [place.title for place in places("dark theme", vera)] == ["Preferences"]
    assert places("trav", make_person("Nora Noll")) == []
    assert [place.title for place in places("invite", ada)] == ["Invite a person"]
    assert [place.title for place in places("people", rita)] == []
    assert places("", ada) == []


def test_every_page_of_the_list_is_there_for_an_administrator(client: Client, ada: User) -> None:
    ada.groups.add(*Group.objects.filter(name__in=[roles.AUDITOR, roles.REVIEWER]))
    client.force_login(ada)
    for place in PLACES:
        answer = client.get(reverse(place.url_name), follow=True)
        assert answer.status_code == 200, place
    wanted = {place.permission for place in PLACES} - {""}
    known = {f"{label}.{name}" for label, name in Permission.objects.values_list("content_type__app_label", "codename")}
    assert wanted <= known


def test_the_jump_dialog_lists_what_fits(reader: Client, rita: User, production: Target) -> None:
    asked = make_request(make_version("churn_predictor", 7), production, by=rita)
    html = reader.get("/search/jump/", {"q": "churn"}).content.decode()
    assert text_of(html) == f"churn_predictor Model #{asked.pk} churn_predictor v7 to Production Waiting for review"
    assert html.count('role="option"') == 2
    assert "Preferences Page" in text_of(reader.get("/search/jump/", {"q": "pref"}).content.decode())
    assert "Nothing found." in reader.get("/search/jump/", {"q": "zzz<b>"}).content.decode()
    assert reader.get("/search/jump/").content.decode().strip() == ""


def test_the_jump_dialog_asks_as_often_for_many_hits(
    reader: Client, rita: User, production: Target, django_assert_max_num_queries: Any
) -> None:
    for number in range(1, 9):
        make_request(make_version(f"churn_{number}", 1), production, by=rita)
    with django_assert_max_num_queries(12):
        reader.get("/search/jump/", {"q": "churn"})


# --- Preferences ------------------------------------------------------------------------------------------------------


def test_preferences_are_kept_without_script(reader: Client, vera: User) -> None:
    answer = reader.post("/preferences/", {"theme": "dark"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/preferences/")
    assert answer.cookies["theme"].value == "dark"
    vera.refresh_from_db()
    assert vera.uses_shortcuts is False
    html = reader.get("/preferences/").content.decode()
    assert 'data-theme="dark"' in html
    assert 'data-shortcuts="off"' in html
    reader.post("/preferences/", {"theme": "system", "uses_shortcuts": "on"})
    html = reader.get("/preferences/").content.decode()
    assert 'data-theme="system"' in html
    assert 'data-shortcuts="on"' in html


def test_a_theme_that_does_not_exist_is_refused(reader: Client) -> None:
    answer = reader.post("/preferences/", {"theme": "evil"})
    assert answer.status_code == 422
    assert "theme" not in answer.cookies


def test_preferences_show_who_one_is(reader: Client) -> None:
    text = text_of(reader.get("/preferences/").content.decode())
    assert "Name Vera Holm E-mail vera@example.com" in text
    assert "Auditor Reads and exports the history; changes nothing." in text


@pytest.mark.parametrize(
    "path", ["/models/", "/models/m/", "/models/m/versions/1/", "/search/", "/system/", "/preferences/"]
)
def test_every_page_is_behind_the_login(client: Client, path: str) -> None:
    make_version("m", 1)
    assert client.get(path).headers["Location"] == f"/accounts/login/?next={path}"
