"""The session ends while somebody types: what they sent is not done and not lost."""

import re
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import User
from approvals.models import AuditEvent, Comment, PromotionRequest, Review, Target
from components import page_addresses, unsent
from tests.support.factories import PASSWORD, make_policy, make_request, make_version

pytestmark = pytest.mark.django_db

TYPED = "The threshold of 0.7 is too low for new customers."
NOTHING = "You were signed out; nothing was recorded."


@pytest.fixture
def asked(rita: User, production: Target) -> PromotionRequest:
    make_policy("credit_risk", production, (1, None))
    return make_request(make_version("credit_risk"), production, by=rita)


def open_page(client: Client, person: User, page: str) -> str:
    """Signs in and looks at the page, as the browser does; returns the token of its forms."""
    client.force_login(person)
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(page).content.decode())
    assert found
    return found[1]


def end_sessions() -> None:
    Session.objects.all().delete()


def sign_in(client: Client, person: User, page: str) -> Any:
    """On the sign-in page that it leads to."""
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(page).content.decode())
    assert token
    next_page = page.partition("?next=")[2]
    sent = {"login": person.email, "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
    return client.post(f"/accounts/login/?next={next_page}", sent)


def review(client: Client, asked: PromotionRequest, token: str, **headers: str) -> Any:
    sent = {"verdict": "reject", "comment": TYPED, "fingerprint": asked.fingerprint, "csrfmiddlewaretoken": token}
    return client.post(f"/requests/{asked.pk}/review/", sent, headers=headers)


@pytest.mark.parametrize("referer", [True, False])
def test_what_a_reviewer_typed_is_there_after_the_sign_in_and_nothing_was_recorded(
    asked: PromotionRequest, remy: User, referer: bool, caplog: pytest.LogCaptureFixture
) -> None:
    client, page = Client(enforce_csrf_checks=True), asked.get_absolute_url()
    token = open_page(client, remy, page)
    end_sessions()
    events = AuditEvent.objects.count()
    answer = review(client, asked, token, **({"Referer": f"http://testserver{page}"} if referer else {}))
    assert answer["Location"] == f"/accounts/login/?next=/requests/{asked.pk}/"
    assert f"{NOTHING} Your input is kept: sign in to continue." in client.get(answer["Location"]).content.decode()
    back = sign_in(client, remy, answer["Location"])
    assert back["Location"] == page
    html = client.get(page).content.decode()
    assert f'data-unsent="/requests/{asked.pk}/review/"' in html
    assert NOTHING in html
    assert f'<blockquote class="break">{TYPED}</blockquote>' in html
    assert (Review.objects.count(), AuditEvent.objects.count()) == (0, events)
    assert TYPED not in caplog.text + answer["Location"] + back["Location"]
    assert "too low" not in caplog.text


def test_it_stays_until_it_is_sent(asked: PromotionRequest, remy: User) -> None:
    client, page = Client(enforce_csrf_checks=True), asked.get_absolute_url()
    token = open_page(client, remy, page)
    end_sessions()
    sign_in(client, remy, review(client, asked, token)["Location"])
    for _ in range(2):
        assert TYPED in client.get(page).content.decode()
    assert TYPED not in client.get("/").content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(page).content.decode())[1]  # type: ignore[index]
    assert review(client, asked, token).status_code == 302
    assert Review.objects.get().comment == TYPED
    assert "data-unsent" not in client.get(page).content.decode()


def test_somebody_else_who_signs_in_there_sees_nothing_of_it(asked: PromotionRequest, remy: User, rosa: User) -> None:
    client, page = Client(enforce_csrf_checks=True), asked.get_absolute_url()
    token = open_page(client, remy, page)
    end_sessions()
    sign_in(client, rosa, review(client, asked, token)["Location"])
    assert TYPED not in client.get(page).content.decode()
    assert TYPED not in str(dict(client.session))


def test_a_form_of_another_site_leaves_nothing(asked: PromotionRequest, remy: User) -> None:
    client, page = Client(enforce_csrf_checks=True), asked.get_absolute_url()
    open_page(client, remy, page)
    end_sessions()
    assert review(client, asked, "f" * 64).status_code == 403
    client.force_login(remy)
    assert "data-unsent" not in client.get(page).content.decode()


def test_a_browser_where_nobody_was_signed_in_keeps_nothing(asked: PromotionRequest) -> None:
    client = Client()
    answer = client.post(f"/requests/{asked.pk}/comment/", {"body": TYPED})
    assert answer["Location"] == f"/accounts/login/?next=/requests/{asked.pk}/"
    assert unsent.KEY not in client.session
    assert NOTHING in client.get(answer["Location"]).content.decode()


def test_a_forged_name_of_the_browsers_person_keeps_nothing(asked: PromotionRequest, remy: User) -> None:
    client = Client()
    client.cookies[unsent.COOKIE] = f"{remy.pk}:forged:signature"
    client.post(f"/requests/{asked.pk}/comment/", {"body": TYPED})
    assert unsent.KEY not in client.session


def test_passwords_and_what_is_too_long_are_not_kept(remy: User, asked: PromotionRequest) -> None:
    client = Client()
    client.force_login(remy)
    client.get("/")
    end_sessions()
    address = f"/requests/{asked.pk}/comment/"
    client.post(address, {"body": TYPED, "password": "hush-hush", "csrfmiddlewaretoken": "x" * 64})
    assert client.session[unsent.KEY]["fields"] == {"body": [TYPED]}
    end_sessions()
    client.post(address, {"body": "a" * 300_000})
    assert unsent.KEY not in client.session


@pytest.mark.parametrize(
    "referer", ["https://evil.example.com/requests/1/", "//evil.example.com/", "/accounts/logout/"]
)
def test_the_way_back_leads_to_a_page_of_ours(asked: PromotionRequest, remy: User, referer: str) -> None:
    client = Client()
    answer = client.post(f"/requests/{asked.pk}/comment/", {"body": TYPED}, headers={"Referer": referer})
    assert answer["Location"] == f"/accounts/login/?next=/requests/{asked.pk}/"


def test_a_form_on_another_page_leads_back_to_that_page(asked: PromotionRequest, ada: User) -> None:
    client = Client()
    page = "http://testserver/policies/?show=all"
    answer = client.post("/policies/1/move/", {"up": "1"}, headers={"Referer": page})
    assert answer["Location"] == "/accounts/login/?next=/policies/%3Fshow%3Dall"


# --- Every address that only takes what a form sends ------------------------------------------------------------------


def addresses() -> list[str]:
    """Every address of the product that takes no GET and needs a sign-in, with numbers, or a page, in its places."""

    def walk(patterns: Any, before: str) -> list[str]:
        found = []
        for each in patterns:
            numbered = re.sub(r"<int:\w+>|<\w+:(?:pk|check)>", "1", str(each.pattern))
            route = before + numbered.replace("<slug:page>", "overview")
            if isinstance(each, URLResolver):
                found += walk(each.url_patterns, route)
            elif isinstance(each, URLPattern) and not page_addresses.takes_get(each.callback):
                found += [f"/{route}"] if getattr(each.callback, "login_required", True) else []
        return found

    return [path for path in walk(get_resolver().url_patterns, "") if not path.startswith("/accounts/")]


def test_there_are_such_addresses() -> None:
    assert {"/requests/1/review/", "/findings/1/close/", "/history/import/confirm/", "/views/overview/"} <= set(
        addresses()
    )
    assert not [path for path in addresses() if "<" in path]
    assert "/requests/1/" not in addresses()


@pytest.mark.parametrize("path", addresses())
def test_a_sign_in_never_ends_on_an_address_that_only_takes_a_form(path: str) -> None:
    for answer in (Client().post(path, {"comment": TYPED}), Client().post(path)):
        page = answer["Location"].partition("?next=")[2]
        assert page_addresses.is_page(page)
        assert path.startswith(page)


def test_a_next_that_only_takes_a_form_lands_on_the_page_above_it(asked: PromotionRequest, remy: User) -> None:
    client = Client()
    sent = {"login": remy.email, "password": PASSWORD}
    answer = client.post(f"/accounts/login/?next=/requests/{asked.pk}/review/", sent, headers={"Accept": "text/html"})
    landed = client.get(answer["Location"], headers={"Accept": "text/html,*/*"}, follow=True)
    assert landed.redirect_chain == [(asked.get_absolute_url(), 302)]
    assert "only takes what a form sends, so nothing was done" in landed.content.decode()
    assert Comment.objects.count() == 0
