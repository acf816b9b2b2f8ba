"""A proxy that has signed people in says who they are, and is believed for the sake of its secret alone."""

from dataclasses import replace
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from accounts import identity_providers, proxy, reauthentication
from accounts.models import User
from approvals.models import Action, AuditEvent
from registry_ui import sign_in
from registry_ui.environment import Environment
from tests.support.factories import PASSWORD, make_person, make_service_account

pytestmark = [pytest.mark.django_db, pytest.mark.each_database]

SECRET = "known-to-the-proxy-alone-" * 2


@pytest.fixture(autouse=True)
def behind(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    values = {"HEADER": "X-Forwarded-Email", "NAME_HEADER": "X-Forwarded-Name", "GROUPS_HEADER": "X-Forwarded-Groups"}
    values |= {"SECRET": SECRET, "ROLES": "ml-leads=reviewer, ml-engineers=requester"}
    for name, value in values.items():
        monkeypatch.setenv(f"COUNTERSIGN_PROXY_AUTH_{name}", value)
    env = Environment()
    settings.PROXY_AUTH = sign_in.proxy(env, count=1)
    env.refuse_nonsense()
    settings.MFA_REQUIRED_FOR = ["administrator"]


def headers(address: str, secret: str = SECRET, **more: str) -> dict[str, str]:
    told = {"x-forwarded-email": address, "x-countersign-proxy": secret}
    return told | {f"x-forwarded-{name}": value for name, value in more.items()}


def who(client: Client, **told: Any) -> str:
    """The address of who is signed in for the page, "" where it leads to the sign-in."""
    answer = client.get("/preferences/", **told)
    return answer.wsgi_request.user.email if answer.status_code == 200 else ""


def test_whom_the_proxy_names_is_signed_in_at_once(client: Client, rita: User) -> None:
    assert who(client, headers=headers("Rita@Example.com")) == rita.email
    assert client.get("/models/", headers=headers(rita.email)).status_code == 200


@pytest.mark.parametrize("secret", ["", "wrong", SECRET[:-1], SECRET + "x", "Ä"])
def test_without_the_secret_the_header_is_not_believed(client: Client, rita: User, secret: str) -> None:
    assert who(client, headers=headers(rita.email, secret)) == ""


@pytest.mark.parametrize(
    "address", ["", "rita", "rita@example.com, ada@example.com", "rita@exa mple.com", "r\u212ata@example.com"]
)
def test_what_is_no_address_names_nobody(client: Client, rita: User, address: str) -> None:
    assert who(client, headers=headers(address)) == ""


def test_names_and_groups_are_read_as_the_utf_8_that_proxies_send(client: Client, settings: Any) -> None:
    settings.PROXY_AUTH = replace(settings.PROXY_AUTH, roles=[("Prüfer", "reviewer")])
    as_sent = {name: text.encode().decode("latin-1") for name, text in (("name", "Jürgen Łuk"), ("groups", "Prüfer"))}
    assert who(client, headers=headers("j@example.com", **as_sent)) == "j@example.com"
    person = User.objects.get(email="j@example.com")
    assert (person.name, person.group_names) == ("Jürgen Łuk", ("reviewer",))


def test_without_the_setting_the_header_means_nothing(client: Client, rita: User, settings: Any) -> None:
    settings.PROXY_AUTH = replace(settings.PROXY_AUTH, header="")
    assert who(client, headers=headers(rita.email)) == ""


@pytest.mark.parametrize("told", [{}, {"headers": headers("rita@example.com", "wrong")}])
def test_a_session_of_the_proxy_ends_where_it_says_nothing(client: Client, rita: User, told: Any) -> None:
    who(client, headers=headers(rita.email))
    assert who(client, **told) == ""
    assert not client.session.get("_auth_user_id")


def test_another_address_is_another_person_and_nothing_is_done_in_their_name(
    client: Client, rita: User, ada: User
) -> None:
    who(client, headers=headers(ada.email))
    answer = client.post("/people/groups/", {"name": "risk"}, headers=headers(rita.email))
    assert answer.status_code == 302
    assert who(client, headers=headers(rita.email)) == rita.email
    assert not AuditEvent.objects.filter(action=Action.GROUP_CREATED).exists()


def test_a_form_of_a_session_that_has_ended_is_not_carried_out(client: Client, ada: User) -> None:
    answer = client.post("/people/groups/", {"name": "risk"}, headers=headers(ada.email))
    assert (answer.status_code, answer["Location"]) == (302, "/people/")
    assert not AuditEvent.objects.filter(action=Action.GROUP_CREATED).exists()
    client.post("/people/groups/", {"name": "risk"}, headers=headers(ada.email))
    assert AuditEvent.objects.filter(action=Action.GROUP_CREATED).exists()


def test_the_sign_in_page_leads_back_to_who_is_named_already(client: Client, rita: User) -> None:
    answer = client.get("/accounts/login/?next=/models/", headers=headers(rita.email))
    assert answer["Location"] == "/models/"
    assert (
        client.get("/accounts/login/?next=https://evil.example/", headers=headers(rita.email))["Location"] == "/home/"
    )
    assert client.get("/accounts/login/").status_code == 200


def test_a_session_by_password_stays_without_the_header_and_for_the_same_address(client: Client, rita: User) -> None:
    client.post("/accounts/login/", {"login": rita.email, "password": PASSWORD})
    assert who(client) == rita.email
    assert who(client, headers=headers(rita.email)) == rita.email
    assert who(client, headers=headers(make_person("Remy Ortiz", "reviewer").email)) == "remy@example.com"


def test_groups_mean_roles_at_sign_in_and_in_a_running_session(client: Client, ada: User, rita: User) -> None:
    told = headers("nina@example.com", name="Nina New", groups="ml-leads,cafeteria")
    assert client.get("/models/", headers=told).status_code == 200
    nina = User.objects.get(email="nina@example.com")
    assert (nina.name, nina.group_names) == ("Nina New", ("reviewer",))
    assert client.get("/models/", headers=headers(nina.email, groups="")).status_code == 403
    assert not nina.groups.exists()
    events = AuditEvent.objects.filter(action=Action.PERSON_CHANGED)
    assert {event.actor_label for event in events} == {"identity provider the sign-in proxy"}
    assert len(events) == 2
    assert identity_providers.decided_for(nina).keys() == {"reviewer", "requester"}


def test_who_is_new_and_in_no_group_gets_no_account(client: Client, ada: User) -> None:
    answer = client.get("/models/", headers=headers("nina@example.com", groups="cafeteria"))
    assert (answer.status_code, "Ask an administrator to invite you." in answer.content.decode()) == (403, True)
    assert not User.objects.filter(email="nina@example.com").exists()


def test_who_opens_two_pages_at_first_gets_one_account(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other page makes it right after this one has looked."""
    known, looked = proxy._known, []

    def before_the_other(told: proxy.Asserted) -> User | None:
        found = known(told)
        if not looked:
            looked.append(proxy._linked(told))
        return found

    monkeypatch.setattr(proxy, "_known", before_the_other)
    assert who(client, headers=headers("neo@example.com", groups="ml-leads")) == "neo@example.com"
    assert User.objects.filter(email="neo@example.com").count() == 1


def test_who_is_deactivated_or_a_program_is_refused(client: Client, rita: User, ada: User) -> None:
    gone = make_person("Gone Person", "reviewer", is_active=False)
    assert client.get("/models/", headers=headers(gone.email))["Location"] == "/accounts/inactive/"
    bot = make_service_account(owner=rita)
    assert client.get("/models/", headers=headers(bot.email)).status_code == 403


def test_it_is_no_proof_and_counts_as_a_second_factor_as_far_as_it_is_trusted(
    client: Client, ada: User, settings: Any
) -> None:
    ada.set_unusable_password()
    ada.save()
    answer = client.get("/models/", headers=headers(ada.email))
    assert answer.status_code == 200
    assert reauthentication.last_proof(answer.wsgi_request) is None
    assert not reauthentication.can_prove(ada)
    settings.OIDC_MFA_TRUSTED = False
    other = Client()
    assert other.get("/models/", headers=headers(ada.email))["Location"] == "/accounts/2fa/"


def test_who_has_a_second_factor_is_asked_for_it(client: Client, ada: User) -> None:
    TOTP.activate(ada, generate_totp_secret())
    answer = client.get("/models/", headers=headers(ada.email))
    assert answer["Location"].startswith("/accounts/2fa/authenticate/")
    assert not client.session.get("_auth_user_id")


def test_the_page_of_sign_in_providers_can_do_with_it(client: Client, rita: User) -> None:
    assert client.get("/accounts/3rdparty/", headers=headers(rita.email)).status_code == 200


def test_the_policy_page_says_that_it_is_no_proof(client: Client, ada: User) -> None:
    page = client.get("/policies/new/", headers=headers(ada.email)).content.decode()
    assert "A sign-in by the proxy is none" in page


@pytest.mark.parametrize(
    ("name", "value", "count", "why"),
    [
        ("SECRET", "", 1, "COUNTERSIGN_PROXY_AUTH_SECRET: is not set."),
        ("SECRET", "short", 1, "COUNTERSIGN_PROXY_AUTH_SECRET: is 5 characters long"),
        ("HEADER", "X-Forwarded-Email", 0, "needs COUNTERSIGN_TRUSTED_PROXY_COUNT to be at least 1."),
        ("ROLES", "", 1, "COUNTERSIGN_PROXY_AUTH_ROLES: and COUNTERSIGN_PROXY_AUTH_GROUPS_HEADER go together"),
    ],
)
def test_what_would_be_unsafe_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, count: int, why: str
) -> None:
    monkeypatch.setenv(f"COUNTERSIGN_PROXY_AUTH_{name}", value)
    env = Environment()
    sign_in.proxy(env, count=count)
    with pytest.raises(ImproperlyConfigured, match=why):
        env.refuse_nonsense()
