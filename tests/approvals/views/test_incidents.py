"""The list of incidents, one incident, and where else they are called out."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals import notifications, watch, workflow
from approvals.models import Incident, Kind, Notification, Target
from tests.support.factories import make_incident, make_request, make_version
from tests.support.fakes import FakeRegistry
from tests.support.pages import text_of
from tests.support.world import MODEL, answered_by, approved, deliver, observe, only_incident, version, watched_registry

pytestmark = pytest.mark.django_db


@pytest.fixture
def registry(db: None) -> FakeRegistry:
    return watched_registry()


def page(client: Client, person: User, path: str) -> str:
    client.force_login(person)
    answer = client.get(path)
    assert answer.status_code == 200
    return text_of(answer.content.decode())


def test_the_list_says_that_nothing_was_changed(client: Client, vera: User) -> None:
    text = page(client, vera, "/incidents/")
    assert "Nothing was changed outside Countersign." in text
    assert "not resolved" not in text


def test_open_ones_come_first_and_the_others_have_their_own_list(client: Client, vera: User, ada: User) -> None:
    for name in ("one", "two"):
        make_version(name, 1)
        make_version(name, 2)
    first, second = make_incident("one"), make_incident("two")
    watch.resolve(first, by=ada, reason="Agreed.")
    text = page(client, vera, "/incidents/")
    assert "Production of two went from version 1 to version 2" in text
    assert "Production of one" not in text
    assert "Production of one" in page(client, vera, "/incidents/?show=resolved")
    everything = page(client, vera, "/incidents/?show=all")
    assert "Production of one" in everything
    assert "Production of two" in everything
    assert second.is_open


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("query", "is_there"),
    [("kind=moved", True), ("kind=files", False), ("model=CHURN", True), ("model=fraud", False), ("page=99", True)],
)
def test_it_is_filtered(client: Client, vera: User, query: str, is_there: bool) -> None:
    make_incident()
    text = page(client, vera, f"/incidents/?{query}")
    assert ("Production of churn_predictor" in text) == is_there
    assert ("No incidents match." in text) != is_there


def test_a_kind_that_does_not_exist_is_refused_kindly(client: Client, vera: User) -> None:
    client.force_login(vera)
    assert client.get("/incidents/?kind=theft").status_code == 422


def test_queries_do_not_grow_with_rows(client: Client, vera: User) -> None:
    client.force_login(vera)

    def count() -> int:
        with CaptureQueriesContext(connection) as found:
            assert client.get("/incidents/?show=all").status_code == 200
        return len(found)

    make_incident()
    few = count()
    for _ in range(20):
        make_incident()
    assert count() == few


def test_one_incident_tells_what_when_and_what_is_done(client: Client, vera: User) -> None:
    make_version(number=1)
    make_version(number=2)
    incident = make_incident(not_before=timezone.now() - timedelta(hours=1))
    text = page(client, vera, f"/incidents/{incident.pk}/")
    for words in (
        "Production of churn_predictor went from version 1 to version 2.",
        "Before Version 1",
        "After Version 2",
        "MLflow does not record who changed it.",
        "The policy requires a report",
        "found a change outside Countersign: Production of churn_predictor version 2",
        "Only reviewers and administrators can resolve incidents.",
    ):
        assert words in text


def test_a_holder_from_before_the_gate_is_not_called_approved(
    client: Client, vera: User, registry: FakeRegistry
) -> None:
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    assert observe(registry) == 1
    text = page(client, vera, only_incident().get_absolute_url())
    assert "Accepted last Version 6 Held before Countersign, approver unknown; first seen" in text
    assert "Approved last" not in text
    assert "Requests for this version and target No requests for it." in text


def test_the_page_names_the_request_that_approved_the_holder_and_the_one_that_was_rejected(
    client: Client, vera: User, rita: User, remy: User, rosa: User, production: Target, registry: FakeRegistry
) -> None:
    held = approved(registry, 7, production, by=rita, approvers=(remy, rosa))
    assert deliver(held, registry) == "applied"
    assert observe(registry) == 0
    refused = make_request(version(8), production, by=rita)
    workflow.review(refused, by=remy, verdict="reject", comment="Trained on last year's data.")
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    assert observe(registry) == 1
    text = page(client, vera, only_incident().get_absolute_url())
    assert f"Approved last Version 7 Promoted through Countersign. Request #{held.pk}" in text
    asked = text.partition("Requests for this version and target")[2].partition("Resolution")[0]
    for words in (f"Request #{refused.pk}", "Rejected", "Rita Sanz", "Trained on last year's data."):
        assert words in asked
    assert f"#{held.pk}" not in asked


def test_resolving_asks_for_a_reason_and_shows_it(client: Client, remy: User) -> None:
    incident = make_incident()
    client.force_login(remy)
    assert client.post(f"/incidents/{incident.pk}/resolve/", {"reason": " "}).status_code == 422
    answer = client.post(f"/incidents/{incident.pk}/resolve/", {"reason": "Agreed on the phone."}, follow=True)
    text = text_of(answer.content.decode())
    assert "Agreed on the phone." in text
    assert "Resolved with a reason. The version stays in place, without an approval." in text
    again = client.post(f"/incidents/{incident.pk}/resolve/", {"reason": "Again."})
    assert again.status_code == 409
    assert "The incident is already resolved." in text_of(again.content.decode())


def test_the_model_says_so_and_others_do_not(client: Client, registry: FakeRegistry, rita: User) -> None:
    make_version("fraud", 1)
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    assert observe(registry) == 1
    text = page(client, rita, f"/models/{MODEL}/")
    assert "This model was changed outside Countersign." in text
    assert "Production of churn_predictor went from version 6 to version 8" in text
    assert "This model was changed outside Countersign." not in page(client, rita, "/models/fraud/")


def test_the_notice_names_the_model_to_those_who_can_resolve_it(
    client: Client, remy: User, rita: User, vera: User
) -> None:
    make_incident("one")
    said = "one: Production was changed outside Countersign. Review incident"
    assert said in page(client, remy, "/models/")
    make_incident("two")
    said = "two: Production was changed outside Countersign. 2 incidents are open. Review incidents"
    assert said in page(client, remy, "/models/")
    for person in (rita, vera):
        assert "outside Countersign" not in page(client, person, "/models/")
    client.logout()
    assert "outside the gate" not in client.get("/accounts/login/").content.decode()


def test_the_account_of_countersign_is_in_no_list_of_people(
    client: Client, registry: FakeRegistry, ada: User, production: Target
) -> None:
    answered_by("review", production)
    registry.set_stage(MODEL, 8, "Production", archive_existing=True)
    assert observe(registry) == 1
    assert "countersign@countersign.invalid" not in page(client, ada, "/people/")
    account = User.objects.get(email="countersign@countersign.invalid")
    assert client.get(f"/people/{account.pk}/").status_code == 404
    assert client.post(f"/people/{account.pk}/active/", {"is_active": "true"}).status_code == 404
    assert "countersign@countersign.invalid" not in page(client, ada, "/search/?q=countersign")


# --- Notifications


def test_administrators_and_reviewers_are_told_and_of_the_end_too(
    rita: User, remy: User, vera: User, ada: User
) -> None:
    notifications.collect()
    incident = make_incident()
    notifications.collect()
    rows = Notification.objects.filter(kind=Kind.INCIDENT)
    assert {row.recipient for row in rows} == {remy, ada}
    assert {row.title for row in rows} == {
        "Changed outside Countersign: Production of churn_predictor went from version 1 to version 2"
    }
    assert all(row.url.endswith(f"/incidents/{incident.pk}/") for row in rows)
    watch.resolve(incident, by=remy, reason="Agreed.")
    notifications.collect()
    ends = Notification.objects.filter(kind=Kind.INCIDENT, title__startswith=f"Incident #{incident.pk} is resolved")
    assert [row.recipient for row in ends] == [ada]
    assert ends[0].said == "Agreed."


def test_a_place_that_is_fought_over_is_said_out_loud(ada: User) -> None:
    answered_by("put_back", Target.objects.get(name="Production"))
    for _ in range(3):
        made = make_incident()
        Incident.objects.filter(pk=made.pk).update(resolved_at=timezone.now(), resolution="put_back", is_owed=False)
    make_incident()
    notifications.collect()
    last = Notification.objects.filter(kind=Kind.INCIDENT, recipient=ada).latest("pk")
    assert "has stopped reverting" in last.text
