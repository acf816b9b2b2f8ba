"""Several rooms. Nobody sheds what they did by another name or address: whatever a person was ever known by counts when
the policy leaves out contributors, also for approvals that were given before it was known."""

import re
from importlib import import_module
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.apps import apps
from django.core import mail
from django.test import Client

from accounts.models import User
from approvals import administration, ledger, workflow
from approvals.models import Action, AuditEvent, PromotionRequest, Status, Target
from approvals.selectors import request_state
from approvals.workflow import Invalid, NotAllowed
from tests.support.factories import PASSWORD, make_policy, make_request, make_version

pytestmark = pytest.mark.django_db


def asked_for(contributor: str, production: Target, rita: User, approvals: int = 1) -> PromotionRequest:
    make_policy("credit_risk", production, (approvals, None), excludes_contributors=True)
    return make_request(make_version("credit_risk", run={"user": contributor}), production, by=rita)


def change_address(person: User, to: str) -> None:
    """As the person does it: on the page, and by the link in the mail."""
    EmailAddress.objects.update_or_create(user=person, email=person.email, defaults={"primary": True, "verified": True})
    client = Client()
    client.force_login(person)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    client.post("/accounts/email/", {"action_add": "", "email": to})
    found = re.search(r"http://127.0.0.1:8000(/accounts/confirm-email/\S+)", str(mail.outbox[-1].body))
    assert found
    client.post(found[1])
    person.refresh_from_db()
    assert person.email == to


def name_in_mlflow(person: User, *names: str, by: User, former: list[str] | None = None) -> None:
    groups = person.groups.all()
    administration.set_person(
        person, groups=groups, mlflow_names=names, former_mlflow_names=former, is_service_account=False, by=by
    )
    person.refresh_from_db()


@pytest.mark.parametrize("contributor", ["remy@example.com", "Remy", "REMY ORTIZ"])
def test_a_contributor_who_changes_their_address_stays_one(
    production: Target, rita: User, remy: User, contributor: str
) -> None:
    asked = asked_for(contributor, production, rita)
    change_address(remy, "somebody@elsewhere.example")
    remy.name = "Somebody New"
    remy.save()
    remy = User.objects.get(pk=remy.pk)
    assert remy.former_names == ["remy@example.com", "Remy Ortiz"]
    with pytest.raises(NotAllowed, match="You contributed to this version"):
        workflow.review(asked, by=remy, verdict="approve")
    asked.refresh_from_db()
    assert asked.status == Status.PENDING


def test_an_approval_that_becomes_a_contributors_does_not_count(
    production: Target, rita: User, remy: User, rosa: User
) -> None:
    asked = asked_for("rortiz@corp.example", production, rita, approvals=2)
    workflow.review(asked, by=remy, verdict="approve")
    change_address(remy, "rortiz@corp.example")
    workflow.review(asked, by=rosa, verdict="approve")
    asked.refresh_from_db()
    assert (asked.status, asked.waits_for) == (Status.PENDING, "|*|")
    assert request_state.of(asked).counted == {rosa.pk}


def test_the_last_slot_opens_again_at_once(production: Target, rita: User, remy: User, rosa: User) -> None:
    make_policy("credit_risk", production, (1, "risk"), (1, "legal"), excludes_contributors=True)
    for person, name in ((remy, "risk"), (rosa, "legal")):
        person.groups.add(administration.people.Group.objects.get(name=name))
    asked = make_request(make_version("credit_risk", run={"user": "rortiz@corp.example"}), production, by=rita)
    workflow.review(asked, by=remy, verdict="approve")
    asked.refresh_from_db()
    assert asked.waits_for == "|legal|"
    change_address(remy, "rortiz@corp.example")
    asked.refresh_from_db()
    assert asked.waits_for == "|risk|legal|"


def test_a_name_in_mlflow_that_is_taken_away_goes_on_counting(
    production: Target, rita: User, remy: User, ada: User
) -> None:
    name_in_mlflow(remy, "rortiz", by=ada)
    name_in_mlflow(remy, "remy2", by=ada)
    assert (remy.mlflow_names, remy.former_mlflow_names) == (["remy2"], ["rortiz"])
    asked = asked_for("ROrtiz", production, rita)
    with pytest.raises(NotAllowed, match="contributed"):
        workflow.review(asked, by=remy, verdict="approve")
    name_in_mlflow(remy, "remy2", by=ada, former=[])  # it was never theirs
    workflow.review(asked, by=User.objects.get(pk=remy.pk), verdict="approve")
    asked.refresh_from_db()
    assert asked.status == Status.APPROVED


def test_a_name_that_is_noted_again_is_no_former_one(remy: User, ada: User) -> None:
    for names in (["rortiz"], [], ["rortiz"]):
        name_in_mlflow(remy, *names, by=ada)
    assert (remy.mlflow_names, remy.former_mlflow_names) == (["rortiz"], [])


def test_nobody_says_of_themself_that_a_name_was_never_theirs(ada: User, client: Client) -> None:
    name_in_mlflow(ada, "abrandt", by=ada)
    name_in_mlflow(ada, by=ada)
    with pytest.raises(Invalid, match="ask another administrator"):
        name_in_mlflow(ada, by=ada, former=[])
    client.force_login(ada)
    roles = [group.pk for group in ada.groups.all()]
    page = client.post(f"/people/{ada.pk}/", {"roles": roles, "mlflow_names": "", "former_mlflow_names": ""})
    assert page.status_code == 422
    assert "ask another administrator" in page.content.decode()
    assert User.objects.get(pk=ada.pk).former_mlflow_names == ["abrandt"]


def test_the_page_of_a_person_shows_what_they_were_known_as(client: Client, ada: User, remy: User) -> None:
    name_in_mlflow(remy, "rortiz", by=ada)
    name_in_mlflow(remy, by=ada)
    remy.email = "new@example.com"
    remy.save()
    client.force_login(ada)
    html = client.get(f"/people/{remy.pk}/").content.decode()
    assert '<dt>Known before as</dt><dd class="break">remy@example.com</dd>' in html
    assert re.search(
        r'<input[^>]* name="former_mlflow_names"[^>]* value="rortiz"|value="rortiz"[^>]* name="former', html
    )


def test_former_names_are_told_in_the_ledger_as_tokens_and_taken_away_with_the_name(ada: User, remy: User) -> None:
    name_in_mlflow(remy, "rortiz", by=ada)
    name_in_mlflow(remy, by=ada)
    event = AuditEvent.objects.filter(action=Action.PERSON_IDENTIFIED).latest("sequence")
    assert event.data["after"]["former_mlflow_names"] == ["rortiz"]
    assert "rortiz" not in event.payload
    assert "rortiz" in administration.names_of(remy)
    remy.email = "new@example.com"
    remy.save()
    administration.pseudonymise(remy, reason="Asked on Monday.", by=ada)
    remy = User.objects.get(pk=remy.pk)
    assert (remy.former_names, remy.former_mlflow_names) == ([], [])
    assert ledger.verify(with_references=True).is_intact


@pytest.mark.parametrize("fields", [None, ["email"], ["name", "email"], ["last_login"]])
def test_whatever_saves_a_person_keeps_what_they_were_called(remy: User, fields: Any) -> None:
    remy.email = "new@example.com"
    remy.save(update_fields=fields)
    remy = User.objects.get(pk=remy.pk)
    assert remy.former_names == ([] if fields == ["last_login"] else ["remy@example.com"])
    remy.email = "remy@example.com"
    remy.save()
    assert "remy@example.com" in User.objects.get(pk=remy.pk).known_as


def test_the_upgrade_remembers_what_the_ledger_knows(remy: User, ada: User) -> None:
    for names in (["rortiz"], ["remy2"]):
        name_in_mlflow(remy, *names, by=ada)
    remy.email = "new@example.com"
    remy.save()
    User.objects.filter(pk=remy.pk).update(former_names=[], former_mlflow_names=[])
    import_module("approvals.migrations.0003_version_0_4").remember(apps, None)
    remy = User.objects.get(pk=remy.pk)
    assert (remy.former_names, remy.former_mlflow_names) == (["remy@example.com"], ["rortiz"])
