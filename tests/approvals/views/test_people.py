"""The people page: who is there, inviting, roles, and ending somebody's access at once."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from approvals import workflow
from approvals.models import Action, AuditEvent, Target
from tests.support.factories import make_person, make_request, make_version

pytestmark = pytest.mark.django_db
URL = "/people/"


@pytest.fixture
def admin(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


def ids(*names: str) -> list[int]:
    return [Group.objects.get_or_create(name=name)[0].pk for name in names]


def listed(response: Any) -> list[str]:
    return [row.person.name for row in response.context["rows"]]


# --- The list ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def everybody(ada: User, rita: User, remy: User) -> None:
    make_person("Rosa Lind", "reviewer", "risk")
    make_person("Otto Falk", "requester", is_active=False)


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["Ada Brandt", "Remy Ortiz", "Rita Sanz", "Rosa Lind", "Otto Falk"]),
        ("q=ro", ["Rosa Lind"]),
        ("q=REMY@", ["Remy Ortiz"]),
        ("group=reviewer", ["Remy Ortiz", "Rosa Lind"]),
        ("group=risk", ["Rosa Lind"]),
        ("state=active&group=requester", ["Rita Sanz"]),
        ("state=deactivated", ["Otto Falk"]),
        ("q=nobody", []),
    ],
)
def test_people_are_found(admin: Client, everybody: None, query: str, names: list[str]) -> None:
    response = admin.get(f"{URL}?{query}")
    assert listed(response) == names
    assert ("No people match." in response.content.decode()) is (not names)


def test_roles_and_groups_stand_apart(admin: Client, everybody: None) -> None:
    rows = {row.person.name: row for row in admin.get(URL).context["rows"]}
    assert (rows["Rosa Lind"].roles, rows["Rosa Lind"].groups) == (["reviewer"], ["risk"])


def test_a_filter_that_makes_no_sense_shows_nobody_and_says_so(admin: Client, everybody: None) -> None:
    response = admin.get(f"{URL}?group=nonsense")
    assert response.status_code == 422
    assert "Select a valid choice." in response.content.decode()
    assert listed(response) == []


def test_the_number_of_queries_does_not_grow_with_people(admin: Client) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert admin.get(URL).status_code == 200
        return len(queries)

    make_person("Nora Berg", "reviewer", "risk")
    few = count()
    for number in range(20):
        make_person(f"P{number} Berg", "reviewer", f"group {number}")
    assert count() == few


# --- Who may ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["requester", "reviewer", "auditor"])
def test_only_administrators_see_or_change_people(client: Client, ada: User, role: str) -> None:
    nora = make_person("Nora Berg", role)
    client.force_login(nora)
    for url in (URL, f"{URL}invite/", f"{URL}{nora.pk}/", f"{URL}{ada.pk}/active/"):
        response = client.get(url)
        assert response.status_code == 403, url
        assert "Only administrators can manage people." in response.content.decode()
    assert client.post(f"{URL}{nora.pk}/", {"roles": ids("administrator")}).status_code == 403
    assert client.post(f"{URL}{ada.pk}/active/", {"is_active": "false"}).status_code == 403
    assert client.post(f"{URL}invite/", {"name": "X", "email": "x@example.com"}).status_code == 403
    assert client.post(f"{URL}groups/", {"name": "risk"}).status_code == 403
    assert not AuditEvent.objects.exists()


# --- Inviting ---------------------------------------------------------------------------------------------------------


def invite(admin: Client, **fields: Any) -> Any:
    return admin.post(f"{URL}invite/", {"name": "Nora Berg", "email": "Nora@Example.com"} | fields)


def test_an_invited_person_sets_a_password_and_signs_in(admin: Client) -> None:
    response = invite(admin, roles=ids("reviewer"), groups=ids("risk"))
    assert response.status_code == 200
    nora = User.objects.get(email="nora@example.com")
    assert {group.name for group in nora.groups.all()} == {"reviewer", "risk"}
    assert AuditEvent.objects.get().action == Action.PERSON_INVITED

    (letter,) = mail.outbox
    assert letter.to == ["nora@example.com"]
    assert letter.subject == "[Countersign] Ada Brandt invited you as reviewer in the group risk"
    assert "for 3 days" in letter.body
    found = re.search(r"http://127\.0\.0\.1:8000(/invitation/\S+/)", str(letter.body))
    assert found
    link = found[1]
    assert link not in response.content.decode()

    guest = Client()
    form = guest.get(link, follow=True)
    assert form.status_code == 200
    guest.post(form.request["PATH_INFO"], {"password1": "a-fresh-password", "password2": "a-fresh-password"})
    nora.refresh_from_db()
    assert nora.check_password("a-fresh-password")
    assert guest.login(email="nora@example.com", password="a-fresh-password")
    again = Client().get(link, follow=True).content.decode()
    assert "password1" not in again


def test_the_link_is_shown_once_where_mail_goes_to_the_terminal(admin: Client, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    page = invite(admin).content.decode()
    assert "it is shown only once" in page
    found = re.search(r'data-copy="http://127\.0\.0\.1:8000(/invitation/[^"]+)"', page)
    assert found
    assert Client().get(found[1], follow=True).status_code == 200
    person = User.objects.get(email="nora@example.com")
    assert "/invitation/" not in admin.get(f"{URL}{person.pk}/").content.decode()


def test_a_mail_that_cannot_be_sent_is_told_and_the_person_stays(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise ConnectionRefusedError("Connection refused")

    monkeypatch.setattr(EmailBackend, "send_messages", refuse)
    page = invite(admin).content.decode()
    assert "could not be sent: Connection refused" in page
    assert "/invitation/" not in page
    assert User.objects.filter(email="nora@example.com").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"email": "ADA@example.com"}, "Ada Brandt has this address already."),
        ({"email": "otto@example.com"}, "The account is deactivated; reactivate it instead."),
        ({"email": "nonsense"}, "Enter a valid email address."),
        ({"name": " "}, "This field is required."),
        ({"roles": [4711]}, "Select a valid choice."),
    ],
)
def test_an_invitation_that_makes_no_sense_comes_back(admin: Client, fields: dict[str, Any], message: str) -> None:
    make_person("Otto Falk", is_active=False)
    response = invite(admin, **fields)
    assert response.status_code == 422
    assert message in response.content.decode()
    assert mail.outbox == []
    assert not AuditEvent.objects.exists()


# --- One person -------------------------------------------------------------------------------------------------------


def test_a_person_has_described_roles_groups_and_recent_events(admin: Client, rita: User, production: Target) -> None:
    request = make_request(make_version("churn_predictor", 7), production, by=rita)
    for number in range(12):
        workflow.comment(request, by=rita, body=f"Note {number}.")
    ids("risk")
    response = admin.get(f"{URL}{rita.pk}/")
    page = response.content.decode()
    for text in (
        "Requests promotions.",
        "Manages people, targets and policies, and can override a failed check; does not approve.",
        "risk",
    ):
        assert text in page
    assert len(response.context["recent"]) == 10
    assert f'href="/history/?person={rita.pk}"' in page
    assert re.search(r'<input type="checkbox" name="roles"[^>]*value="\d+"[^>]*checked', page)


def test_roles_and_groups_are_given_and_taken(admin: Client, rita: User) -> None:
    response = admin.post(f"{URL}{rita.pk}/", {"roles": ids("reviewer", "auditor"), "groups": ids("risk")}, follow=True)
    assert {group.name for group in rita.groups.all()} == {"reviewer", "auditor", "risk"}
    assert "The roles and groups of Rita Sanz are saved." in response.content.decode()
    assert AuditEvent.objects.get().data["after"] == ["auditor", "reviewer", "risk"]


def test_the_last_administrator_keeps_the_role(admin: Client, ada: User) -> None:
    response = admin.post(f"{URL}{ada.pk}/", {"roles": ids("auditor")})
    assert response.status_code == 422
    assert "At least one administrator is required." in response.content.decode()
    assert [group.name for group in ada.groups.all()] == ["administrator"]


def test_the_last_administrator_cannot_be_deactivated(admin: Client, ada: User) -> None:
    response = admin.post(f"{URL}{ada.pk}/active/", {"is_active": "false"})
    assert response.status_code == 422
    assert "At least one administrator is required." in response.content.decode()
    ada.refresh_from_db()
    assert ada.is_active


def test_deactivating_asks_first_and_says_what_it_means(
    admin: Client, rita: User, remy: User, rosa: User, production: Target
) -> None:
    request = make_request(make_version("churn_predictor"), production, by=rita)
    asked = admin.get(f"{URL}{rita.pk}/active/").content.decode()
    assert f'href="{request.get_absolute_url()}"' in asked
    assert "cannot be met" not in asked
    warning = admin.get(f"{URL}{remy.pk}/active/").content.decode()
    unmet = "Without Remy, the policy Production of * cannot be met: it requires 2 approvals from any reviewer."
    assert unmet in warning
    assert "Staging of *" not in warning
    assert User.objects.active().count() == 4


def test_a_deactivated_person_is_signed_out_everywhere_at_once_and_stays_out(admin: Client, rita: User) -> None:
    browser, phone = Client(), Client()
    for theirs in (browser, phone):
        theirs.force_login(rita)
        assert theirs.get("/policies/").status_code == 200
    admin.post(f"{URL}{rita.pk}/active/", {"is_active": "false"})
    assert AuditEvent.objects.get().action == Action.PERSON_DEACTIVATED
    for theirs in (browser, phone):
        assert theirs.get("/policies/").headers["Location"] == "/accounts/login/?next=/policies/"
    assert not Client().login(email=rita.email, password="a-long-enough-password")

    admin.post(f"{URL}{rita.pk}/active/", {"is_active": "true"})
    assert Client().login(email=rita.email, password="a-long-enough-password")


def test_deactivating_twice_is_one_event(admin: Client, rita: User) -> None:
    for _ in range(2):
        admin.post(f"{URL}{rita.pk}/active/", {"is_active": "false"})
    assert AuditEvent.objects.count() == 1


# --- Groups -----------------------------------------------------------------------------------------------------------


def test_a_group_is_added_and_counted(admin: Client) -> None:
    admin.post(f"{URL}groups/", {"name": "risk"})
    make_person("Nora Berg", "risk")
    make_person("Otto Falk", "risk", is_active=False)
    (group,) = admin.get(URL).context["groups"]
    assert (group.name, group.members) == ("risk", 1)
    assert AuditEvent.objects.get().action == Action.GROUP_CREATED


@pytest.mark.parametrize(
    ("name", "message"), [("Risk", "Another group has this name"), ("", "This field is required."), ("a*", "has no")]
)
def test_a_group_without_a_name_of_its_own_comes_back(admin: Client, name: str, message: str) -> None:
    ids("risk")
    response = admin.post(f"{URL}groups/", {"name": name})
    assert response.status_code == 422
    assert message in response.content.decode()
    assert not AuditEvent.objects.exists()
