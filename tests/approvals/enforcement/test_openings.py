"""That MLflow's operator opened the gate: one incident to review, with reason and who."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from approvals import watch
from approvals.ledger import sentences, verify
from approvals.models import Action, AuditEvent, Enforcement, Incident, Notification, Target
from approvals.notifications import collecting
from approvals.watch import closing, wording

pytestmark = pytest.mark.django_db
TOKEN = "a-token-of-the-gate"
AT = datetime(2026, 11, 20, 12, 4, tzinfo=UTC)


@pytest.fixture(autouse=True)
def token(settings: Settings) -> None:
    settings.GATE_TOKEN = TOKEN
    Target.objects.filter(name="Production").update(enforcement=Enforcement.ENFORCE)


def opening(**fields: Any) -> dict[str, Any]:
    at = max(AT, timezone.now() - timedelta(days=300)).timestamp()
    return {"id": "o1", "reason": "Countersign was lost.", "minutes": 30, "at": at, "who": "root"} | fields


def post(said: Any, token: str = TOKEN) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    client = Client(enforce_csrf_checks=True)
    return client.post("/gate/openings", json.dumps(said), content_type="application/json", headers=headers)


def test_an_opening_is_one_incident_until_a_person_resolves_it(client: Client, remy: User, ada: User) -> None:
    assert post(opening()).status_code == 204
    assert post(opening()).status_code == 204
    found = Incident.objects.get()
    assert (found.kind, found.target.name, found.response) == (Incident.Kind.OPENED, "Production", "report")
    assert wording.title(found) == "MLflow's gate was opened for 30 minutes"
    assert "root opened the gate at 20" in wording.between(found)
    assert "Reason: Countersign was lost." in wording.between(found)
    event = AuditEvent.objects.get(action=Action.INCIDENT_OPENED)
    assert sentences.sentence(event) == "found that the operator of MLflow had opened its gate"
    closing.follow()
    assert Incident.objects.open().count() == 1
    client.force_login(remy)
    for address in (found.get_absolute_url(), "/incidents/", "/history/", "/"):
        assert client.get(address).status_code == 200
    assert "Countersign was lost." in client.get(found.get_absolute_url()).content.decode()
    collecting.collect()
    titles = set(Notification.objects.exclude(recipient=None).values_list("title", flat=True))
    assert titles == {"MLflow's gate was opened for 30 minutes"}
    watch.resolve(found, by=remy, reason="One promotion, reviewed since.")
    assert Incident.objects.open().count() == 0
    assert client.get("/history/audit/").status_code in (200, 403)
    assert verify().is_intact


def test_each_opening_is_an_incident_of_its_own(ada: User) -> None:
    post(opening())
    post(opening(id="o2", minutes=1, who=""))
    assert [wording.title(each) for each in Incident.objects.order_by("pk")] == [
        "MLflow's gate was opened for 30 minutes",
        "MLflow's gate was opened for 1 minute",
    ]
    assert "Its operator opened the gate" in wording.between(Incident.objects.latest("pk"))


@pytest.mark.each_database
@pytest.mark.parametrize("said", [[], {}, {"id": "o1"}, {"id": "o1", "reason": 5}, "x"])
def test_nonsense_is_refused(said: Any) -> None:
    assert post(said).status_code == 400
    assert not Incident.objects.exists()


@pytest.mark.each_database
@pytest.mark.parametrize("field", ["id", "reason", "minutes", "at", "who"])
@pytest.mark.parametrize("value", [None, "", "\x00\ud800", "x" * 5000, -1, 1e300, True, {}, 10**30])
def test_whatever_a_field_says_it_is_taken_or_refused(field: str, value: Any) -> None:
    assert post(opening(**{field: value})).status_code in (204, 400)


def test_who_may_not_is_refused_and_without_a_target_there_is_nothing_to_review() -> None:
    assert post(opening(), token="another-token-of-it").status_code == 401
    Target.objects.update(retired_at=timezone.now())
    assert post(opening()).status_code == 204
    assert not Incident.objects.exists()
