"""What MLflow reports as refused: recorded once, counted when it comes again, shown where it can be requested."""

import json
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from approvals.enforcement import refusals
from approvals.ledger import recording, sentences, verify
from approvals.models import Action, AuditEvent, Incident, Kind, Notification, Refusal, Target
from approvals.notifications import collecting
from approvals.selectors import refused
from mirror.models import Alias, ModelVersion, RefreshHint
from tests.support.factories import make_person, make_request, make_version

pytestmark = pytest.mark.django_db
TOKEN = "a-token-of-the-gate"
_ids = count(1)


@pytest.fixture(autouse=True)
def token(settings: Settings) -> None:
    settings.GATE_TOKEN = TOKEN


def refusal(**fields: Any) -> dict[str, Any]:
    return {
        "id": f"id{next(_ids)}",
        "who": "rita",
        "operation": "transition_model_version_stage",
        "model": "churn_predictor",
        "version": 1,
        "place": "stage:Production",
        "at": timezone.now().timestamp(),
        "mode": "enforce",
        "address": "10.0.0.7",
    } | fields


def post(*reported: Any, body: bytes | None = None, token: str = TOKEN) -> Any:
    body = json.dumps(reported).encode() if body is None else body
    headers = {"Authorization": f"Bearer {token}"}
    return Client(enforce_csrf_checks=True).post(
        "/gate/refusals", body, content_type="application/json", headers=headers
    )


def told(**fields: Any) -> str:
    """How the event of one refusal reads."""
    assert post(refusal(**fields)).status_code == 204
    event = AuditEvent.objects.latest("sequence")
    return f"{event.actor_label} {sentences.sentence(event)}"


def test_a_refusal_is_an_event_that_names_the_person_and_no_incident(rita: User, production: Target) -> None:
    make_version("churn_predictor")
    assert told() == "MLflow refused Rita Sanz’s attempt to move churn_predictor version 1 to Production"
    event = AuditEvent.objects.get()
    assert (event.action, event.target_name, event.version_number) == (Action.REFUSED_IN_MLFLOW, "Production", 1)
    assert "rita@example.com" not in event.payload  # as a token, so that it can be erased
    assert event.people("who") == {rita.pk}
    assert not Incident.objects.exists()
    assert verify().is_intact


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"who": ""}, "refused an attempt to move churn_predictor version 1 to Production"),
        ({"who": "stranger"}, "refused stranger’s attempt to move churn_predictor version 1 to Production"),
        ({"version": "1"}, "refused Rita Sanz’s attempt to move churn_predictor version 1 to Production"),
        (
            {"operation": "set_registered_model_alias", "place": "alias:Champion"},
            "refused Rita Sanz’s attempt to make churn_predictor version 1 @Champion",
        ),
        (
            {"operation": "delete_registered_model_alias", "place": "alias:champion"},
            "refused Rita Sanz’s attempt to take @champion away from churn_predictor version 1",
        ),
        ({"version": 2}, "refused Rita Sanz’s attempt to take churn_predictor version 2 out of Production"),
        (
            {"operation": "delete_model_version_tag", "place": "tag:countersign.request"},
            "refused Rita Sanz’s attempt to delete the tag countersign.request of churn_predictor version 1",
        ),
        (
            {"operation": "rename_registered_model", "version": None},
            "refused Rita Sanz’s attempt to rename churn_predictor",
        ),
        (
            {"mode": "observe"},
            "let Rita Sanz’s attempt to move churn_predictor version 1 to Production pass, which it only observes",
        ),
        (
            {"operation": "brand_new", "model": "", "version": None, "place": "method:brand_new"},
            "refused Rita Sanz’s attempt to call brand_new on MLflow",
        ),
    ],
)
def test_what_was_tried_is_said_in_words(rita: User, production: Target, fields: dict[str, Any], words: str) -> None:
    holder = make_version(make_version("churn_predictor").model, stage="Production")
    assert holder.number == 2
    assert told(**fields) == f"MLflow {words}"


def test_two_people_of_one_name_are_neither(rita: User, production: Target) -> None:
    make_person("Nora Falk", mlflow_names=["rita"])
    told()
    assert AuditEvent.objects.get().data["who"] == "rita"


def test_models_that_are_not_mirrored_are_taken_as_text_and_read(rita: User, production: Target) -> None:
    told(model="brand new ⟨person 1 0000000000000000⟩\n", version=12)
    event = AuditEvent.objects.get()
    assert event.model_name == "brand new person 1 0000000000000000"
    assert RefreshHint.objects.get().model_name == event.model_name


def test_the_same_message_is_taken_once_and_the_same_attempt_is_counted(rita: User, production: Target) -> None:
    first, second = refusal(), refusal()
    assert post(first, first, second).status_code == 204
    assert post(first, second).status_code == 204
    assert AuditEvent.objects.count() == 1
    assert Refusal.objects.get().times == 2
    post(refusal(version=2), refusal(place="alias:champion"), refusal(who="remy"), refusal(mode="observe"))
    assert AuditEvent.objects.count() == 5
    Refusal.objects.update(last_at=timezone.now() - timedelta(seconds=61))
    post(refusal(), first)
    assert AuditEvent.objects.count() == 6
    assert verify().is_intact


def test_a_program_that_never_gives_up_has_an_event_an_hour(
    rita: User, production: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, locked_head = timezone.now(), recording.locked_head
    for tries in range(150):  # for two hours and five minutes
        now = start + timedelta(seconds=50 * tries)
        monkeypatch.setattr(recording, "locked_head", lambda now=now: (locked_head()[0], now))  # the database's clock
        refusals.receive(json.dumps([refusal()]).encode(), now=now)
    assert sum(Refusal.objects.values_list("times", flat=True)) == 150
    assert AuditEvent.objects.count() == 3
    assert all(len(messages) <= 100 for messages in Refusal.objects.values_list("messages", flat=True))


def test_a_flood_of_different_attempts_is_put_off(rita: User, production: Target) -> None:
    flood = [refusal(version=number) for number in range(1, refusals.MOST_A_MINUTE + 3)]
    assert post(*flood).status_code == 429
    assert AuditEvent.objects.count() == refusals.MOST_A_MINUTE
    assert post(*flood[:5]).status_code == 204  # known already


def test_trials_of_the_gate_leave_nothing(production: Target) -> None:
    assert post(refusal(model="countersign-doctor-ab12"), refusal(model="countersign-probe-x")).status_code == 204
    assert not AuditEvent.objects.exists()


@pytest.mark.each_database
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[1]",
        b"[" * 10_000,
        b'[{"id": 5}]',
        b'[{"id": "a"}]',
        b'[{"id": "a", "operation": "b", "place": ["c"]}]',
        b"\xff\xfe",
        json.dumps([{}] * 1001).encode(),
    ],
)
def test_nonsense_is_answered_and_changes_nothing(body: bytes) -> None:
    answer = post(body=body)
    assert answer.status_code == 400
    assert answer.json()["detail"]
    assert not AuditEvent.objects.exists()


@pytest.mark.each_database
@pytest.mark.parametrize("field", ["id", "who", "operation", "model", "version", "place", "at", "mode", "address"])
@pytest.mark.parametrize("value", [None, "", "\x00\ud800", "x" * 5000, -1, 1e300, True, {}])
def test_whatever_a_field_says_it_is_taken_or_refused(production: Target, field: str, value: Any) -> None:
    assert post(refusal(**{field: value})).status_code in (204, 400)


def test_too_much_and_strangers_are_refused() -> None:
    assert post(body=b" " * (refusals.MOST_BYTES + 1)).status_code == 413
    assert post(refusal(), token="another-token-of-it").status_code == 401
    assert Client().get("/gate/refusals").status_code == 405


# --- Where it is shown


def lines(client: Client, address: str) -> list[str]:
    page = client.get(address)
    assert page.status_code == 200
    return [f"{each.who}: {each.did}" for each in page.context["refused"]]


def test_the_pages_of_version_and_model_offer_the_request(client: Client, rita: User, production: Target) -> None:
    version = make_version("churn_predictor")
    client.force_login(rita)
    assert lines(client, "/models/churn_predictor/versions/1/") == []
    told()
    told()
    assert lines(client, "/models/churn_predictor/versions/1/") == ["Rita Sanz: move it to Production"]
    assert lines(client, "/models/churn_predictor/") == ["Rita Sanz: move it to Production"]
    page = " ".join(client.get("/models/churn_predictor/versions/1/").content.decode().split())
    assert "MLflow refused it 2 times." in page
    assert "/models/churn_predictor/versions/1/promote/?target=Production" in page
    told(operation="delete_model_version")  # a request would not do that
    assert len(refused.unrequested("churn_predictor")) == 1
    make_request(version, production, by=rita)
    assert refused.unrequested("churn_predictor") == []


def test_it_is_shown_for_two_weeks(rita: User, production: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    make_version("churn_predictor")
    told()
    assert len(refused.unrequested("churn_predictor", 1)) == 1
    monkeypatch.setattr(refused, "SHOWN_FOR", timedelta(0))
    assert refused.unrequested("churn_predictor", 1) == []


def test_the_person_is_notified_with_the_way_to_request_it(
    client: Client, rita: User, remy: User, production: Target
) -> None:
    make_version("churn_predictor")
    told()
    told(who="stranger", version=7)
    told(operation="delete_model_version")
    collecting.collect()
    found = Notification.objects.get()
    assert (found.recipient, found.kind) == (rita, Kind.REFUSED)
    assert found.title == "MLflow refused churn_predictor v1 to Production: request it here"
    assert found.path == "/p/churn_predictor/1"
    client.force_login(rita)
    answer = client.get(f"/notifications/{found.pk}/", follow=True)
    assert answer.redirect_chain[-1][0] == "/models/churn_predictor/versions/1/promote/?target=Production"


def test_what_is_held_is_left_and_not_requested(rita: User, production: Target) -> None:
    version = make_version("churn_predictor", stage="Production")
    Alias.objects.create(model=version.model, name="champion", number=1)
    told()
    told(operation="set_registered_model_alias", place="alias:champion")
    assert refused.unrequested("churn_predictor") == []
    assert ModelVersion.objects.count() == 1


def test_the_auditor_has_the_number_and_the_list(client: Client, rita: User, vera: User, production: Target) -> None:
    make_version("churn_predictor")
    client.force_login(vera)
    assert "MLflow refused" not in client.get("/history/audit/").content.decode()
    told()
    told(version=2)
    told(mode="observe")
    page = client.get("/history/audit/")
    assert page.context["statement"].refused == 2
    assert page.context["statement"].as_plain()["refused_in_mlflow"] == 2
    assert "2 direct changes" in page.content.decode()
    listed = client.get(page.context["refused_url"])
    assert [event.action for event in listed.context["page"].events] == [Action.REFUSED_IN_MLFLOW] * 2


def test_the_list_of_refusals_is_of_the_target_that_was_counted(
    client: Client, vera: User, rita: User, production: Target, staging: Target
) -> None:
    make_version("churn_predictor")
    client.force_login(vera)
    told()
    for target, many in ((production, 1), (staging, 0)):
        page = client.get(f"/history/audit/?target={target.name}")
        assert page.context["statement"].refused == many
        assert client.get(page.context["refused_url"]).context["page"].total == many
