"""The whole room. Sign-in with e-mail and password: who comes in, who does not, and what the session is like."""

import re
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts.models import User
from approvals.ledger import pseudonyms
from approvals.models import Action, AuditEvent
from tests.support.factories import PASSWORD, make_person

pytestmark = pytest.mark.django_db

LOGIN = "/accounts/login/"


def sign_in(client: Client, email: str, password: str = PASSWORD, **more: Any) -> Any:
    return client.post(LOGIN, {"login": email, "password": password}, **more)


@pytest.mark.each_database
@pytest.mark.parametrize("spelling", ["rita@example.com", "Rita@Example.COM", "  rita@example.com "])
def test_the_right_password_leads_to_the_inbox_however_the_address_is_spelled(
    client: Client, rita: User, spelling: str
) -> None:
    assert sign_in(client, spelling)["Location"] == "/home/"
    assert client.get("/models/").wsgi_request.user == rita


def test_sign_in_leads_back_to_the_page_that_was_asked_for(client: Client, rita: User) -> None:
    away = client.get("/models/?q=churn")
    assert away["Location"] == "/accounts/login/?next=/models/%3Fq%3Dchurn"
    answer = client.post(away["Location"], {"login": rita.email, "password": PASSWORD, "next": "/models/?q=churn"})
    assert answer["Location"] == "/models/?q=churn"


def test_sign_in_does_not_lead_to_another_site(client: Client, rita: User) -> None:
    answer = client.post(LOGIN, {"login": rita.email, "password": PASSWORD, "next": "https://evil.example.com/"})
    assert answer["Location"] == "/home/"


@pytest.mark.parametrize(("email", "password"), [("rita@example.com", "wrong"), ("nobody@example.com", PASSWORD)])
def test_a_wrong_password_and_an_unknown_address_are_told_the_same(
    client: Client, rita: User, email: str, password: str
) -> None:
    answer = sign_in(client, email, password)
    assert answer.status_code == 200
    assert "The email address and/or password you specified are not correct." in answer.content.decode()
    assert not answer.wsgi_request.user.is_authenticated


def test_a_deactivated_person_cannot_sign_in_and_is_told_why(client: Client) -> None:
    make_person("Rita Sanz", "requester", is_active=False)
    answer = sign_in(client, "rita@example.com", follow=True)
    assert "Your account is deactivated" in answer.content.decode()
    assert not answer.wsgi_request.user.is_authenticated


def test_deactivation_ends_the_sessions_that_are_open(client: Client, rita: User) -> None:
    sign_in(client, rita.email)
    assert client.get("/models/").status_code == 200
    User.objects.filter(pk=rita.pk).update(is_active=False)
    assert client.get("/models/")["Location"].startswith(LOGIN)


def test_a_new_password_ends_the_sessions_that_are_open(client: Client, rita: User) -> None:
    sign_in(client, rita.email)
    rita.set_password("another-long-password")
    rita.save()
    assert client.get("/models/")["Location"].startswith(LOGIN)


def test_signing_out_takes_a_click_and_ends_the_session(client: Client, rita: User) -> None:
    sign_in(client, rita.email)
    assert "Sign out" in client.get("/accounts/logout/").content.decode()
    assert client.get("/models/").status_code == 200
    assert client.post("/accounts/logout/")["Location"] == LOGIN
    assert client.get("/models/")["Location"].startswith(LOGIN)


def test_sign_in_needs_the_token_of_the_form(rita: User) -> None:
    assert sign_in(Client(enforce_csrf_checks=True), rita.email).status_code == 403


def test_somebody_without_a_role_is_told_who_gives_one_and_reads_nothing_else(client: Client, ada: User) -> None:
    make_person("Nina New")
    answer = sign_in(client, "nina@example.com", follow=True)
    assert answer.redirect_chain == [("/welcome/", 302)]
    page = answer.content.decode()
    assert "You are signed in, but you have no role yet." in page
    assert "ada@example.com" in page
    refused = client.get("/models/")
    assert (refused.status_code, "ada@example.com" in refused.content.decode()) == (403, True)
    assert 'href="/models/"' not in refused.content.decode()


@pytest.mark.parametrize("group", ["requester", "risk"])
def test_only_a_group_that_permits_something_is_a_role(client: Client, ada: User, group: str) -> None:
    person = make_person("Nina New")
    client.force_login(person)
    assert client.get("/models/").status_code == 403
    person.groups.add(Group.objects.get_or_create(name=group)[0])
    assert client.get("/models/").status_code == (200 if group == "requester" else 403)


def test_without_an_administrator_the_welcome_names_the_command(client: Client) -> None:
    client.force_login(make_person("Nina New"))
    assert "manage.py create_admin" in client.get("/welcome/").content.decode()


def test_somebody_with_a_role_is_led_from_the_welcome_to_the_inbox(client: Client, rita: User) -> None:
    client.force_login(rita)
    assert client.get("/welcome/")["Location"] == "/home/"


def test_a_session_lasts_as_long_as_the_setting_says(client: Client, rita: User, settings: Any) -> None:
    settings.SESSION_COOKIE_AGE = 8 * 3600
    answer = sign_in(client, rita.email)
    assert answer.cookies["countersign_session"]["max-age"] == 8 * 3600
    left = client.session.get_expiry_date() - timezone.now()
    assert timedelta(hours=7, minutes=59) < left <= timedelta(hours=8)


def test_the_cookie_of_the_session_is_kept_from_scripts_and_other_sites(
    client: Client, rita: User, settings: Any
) -> None:
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    client.get(LOGIN)
    answer = sign_in(client, rita.email)
    cookie = answer.cookies["countersign_session"]
    assert (cookie["httponly"], cookie["secure"], cookie["samesite"]) == (True, True, "Lax")
    assert answer.cookies["countersign_csrf"]["secure"] is True


# --- Passwords by mail


def link_in(body: str) -> str:
    found = re.search(r"http://127.0.0.1:8000(/accounts/password/reset/key/\S+)", body)
    assert found, body
    return found[1]


def set_password(client: Client, link: str, password: str) -> Any:
    form = client.get(link, follow=True)
    return client.post(form.request["PATH_INFO"], {"password1": password, "password2": password}, follow=True)


def test_a_forgotten_password_is_set_anew_through_the_mail_and_the_link_works_once(client: Client, rita: User) -> None:
    client.post("/accounts/password/reset/", {"email": "RITA@example.com"})
    (sent,) = mail.outbox
    assert sent.to == ["rita@example.com"]
    assert sent.subject.startswith("[Countersign] ")
    link = link_in(str(sent.body))
    set_password(client, link, "a-fresh-long-password")
    assert sign_in(Client(), rita.email).status_code == 200
    assert sign_in(Client(), rita.email, "a-fresh-long-password").status_code == 302
    assert "Bad token" in Client().get(link).content.decode()


def test_a_link_that_was_used_proves_the_address(client: Client, rita: User) -> None:
    client.post("/accounts/password/reset/", {"email": rita.email})
    set_password(client, link_in(str(mail.outbox[0].body)), "a-fresh-long-password")
    assert EmailAddress.objects.get(user=rita).verified


def test_a_weak_password_is_refused_with_the_reasons(client: Client, rita: User) -> None:
    client.post("/accounts/password/reset/", {"email": rita.email})
    answer = set_password(client, link_in(str(mail.outbox[0].body)), "12345")
    page = answer.content.decode()
    assert "It must contain at least 10 characters." in page
    assert "This password is entirely numeric." in page
    rita.refresh_from_db()
    assert rita.check_password(PASSWORD)


@pytest.mark.parametrize("email", ["nobody@example.com", "rita@example.com"])
def test_nobody_unknown_or_deactivated_gets_a_mail_and_the_page_does_not_tell(client: Client, email: str) -> None:
    make_person("Rita Sanz", "requester", is_active=False)
    answer = client.post("/accounts/password/reset/", {"email": email})
    assert answer["Location"] == "/accounts/password/reset/done/"
    assert mail.outbox == []


# --- The address beside the name


@pytest.fixture
def confirmed(client: Client, rita: User) -> User:
    EmailAddress.objects.create(user=rita, email=rita.email, primary=True, verified=True)
    client.force_login(rita)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})  # changing the address asks for a fresh proof
    return rita


def ask_for(client: Client, email: str, action: str = "action_add") -> str:
    page: str = client.post("/accounts/email/", {action: "", "email": email}, follow=True).content.decode()
    return page


def confirm_by_mail(client: Client, to: str) -> None:
    (sent,) = mail.outbox
    assert sent.to == [to]
    found = re.search(r"http://127.0.0.1:8000(/accounts/confirm-email/\S+)", str(sent.body))
    assert found
    client.post(found[1])


def test_a_new_address_counts_only_when_it_is_confirmed(client: Client, confirmed: User) -> None:
    ask_for(client, "sanz@example.com")
    confirmed.refresh_from_db()
    assert confirmed.email == "rita@example.com"
    confirm_by_mail(client, "sanz@example.com")
    confirmed.refresh_from_db()
    assert confirmed.email == "sanz@example.com"
    renamed = AuditEvent.objects.get()
    assert (renamed.action, renamed.actor) == (Action.PERSON_RENAMED, confirmed)
    assert renamed.data == {"before": "Rita Sanz <rita@example.com>", "after": "Rita Sanz <sanz@example.com>"}
    assert pseudonyms.problems() == []
    assert sign_in(Client(), "sanz@example.com")["Location"] == "/home/"
    assert sign_in(Client(), "rita@example.com").status_code == 200


@pytest.mark.parametrize("action", ["action_primary", "action_remove"])
def test_an_address_that_is_not_confirmed_takes_nothing_over(client: Client, confirmed: User, action: str) -> None:
    ask_for(client, "boss@example.com")
    ask_for(client, "boss@example.com", action)
    confirmed.refresh_from_db()
    assert confirmed.email == "rita@example.com"


@pytest.mark.parametrize("action", ["action_add", "action_primary", "action_remove"])
def test_somebody_whose_address_was_never_confirmed_keeps_it_until_it_is(
    client: Client, rita: User, action: str
) -> None:
    client.force_login(rita)
    page = ask_for(client, "boss@example.com")
    assert "Confirm your present address first." in page
    ask_for(client, "rita@example.com", action)
    rita.refresh_from_db()
    assert rita.email == "rita@example.com"


def test_the_present_address_can_be_confirmed_by_a_mail(client: Client, rita: User) -> None:
    client.force_login(rita)
    client.get("/accounts/email/")
    ask_for(client, rita.email, "action_send")
    confirm_by_mail(client, rita.email)
    assert "Confirm your present address first." not in ask_for(client, "sanz@example.com")


@pytest.mark.parametrize("spelling", ["remy@example.com", "REMY@example.com"])
def test_the_address_of_somebody_else_cannot_be_taken(
    client: Client, confirmed: User, remy: User, spelling: str
) -> None:
    assert "Another person has this address." in ask_for(client, spelling)
    assert not EmailAddress.objects.filter(user=confirmed, email=remy.email).exists()
    assert mail.outbox == []


def test_a_page_knows_of_a_person_what_the_table_says(client: Client, rita: User) -> None:
    User.objects.filter(pk=rita.pk).update(time_zone="Asia/Tokyo", saved_views={"inbox": []}, mlflow_names=["rita"])
    client.force_login(rita)
    asks = client.get("/preferences/").wsgi_request.user
    wanted = User.objects.get(pk=rita.pk)
    fields = [field.attname for field in User._meta.concrete_fields]
    assert {name: getattr(asks, name) for name in fields} == {name: getattr(wanted, name) for name in fields}
    User.objects.filter(pk=rita.pk).update(is_active=False)
    assert client.get("/preferences/").status_code == 302
