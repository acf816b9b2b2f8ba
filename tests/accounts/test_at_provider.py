"""Proof at the identity provider before signing, against a provider that really answers: what counts, what does not,
and that a session that somebody finds open cannot be given a proof of its own."""

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.test import Client

from accounts.models import User
from approvals.models import Action, AuditEvent, PromotionRequest, Review, Target
from approvals.policy import SignatureRule
from tests.accounts.provider import Provider
from tests.accounts.sessions import age
from tests.accounts.test_openid_connect import LOGIN, dance
from tests.support.factories import PASSWORD, make_person, make_policy, make_request, make_version

pytestmark = pytest.mark.django_db

PROVE = "/accounts/reauthenticate/provider/"
MINUTES = 5


@pytest.fixture(scope="module")
def made(kept: None) -> PromotionRequest:
    production = Target.objects.get(name="Production")
    make_policy("credit_risk", production, (1, None), signature=SignatureRule(True, MINUTES, True))
    return make_request(make_version("credit_risk"), production, by=make_person("Rita Sanz", "requester"))


@pytest.fixture
def asked(db: None, made: PromotionRequest) -> PromotionRequest:
    return PromotionRequest.objects.get(pk=made.pk)


@pytest.fixture
def single(provider: Provider, remy: User) -> User:
    """Remy, who signs in through the provider alone."""
    provider.person |= {"sub": "remy-at-id", "email": remy.email}
    SocialAccount.objects.create(user=remy, provider="oidc", uid="remy-at-id")
    remy.set_unusable_password()
    remy.save()
    return remy


@pytest.fixture
def inside(client: Client, single: User) -> Client:
    """Remy's browser after a sign-in through the provider, an hour ago."""
    dance(client)
    age(client, 3600)
    return client


def sign(client: Client, request: PromotionRequest) -> Any:
    sent = {"verdict": "approve", "fingerprint": request.fingerprint, "meaning": "responsible", "comment": "As read."}
    return client.post(f"{request.get_absolute_url()}review/", sent)


def leave(client: Client, page: str) -> str:
    """Presses the button on the page of the proof; returns the provider's address."""
    query = parse_qs(urlsplit(page).query)
    there = client.post(PROVE, {"next": query["next"][0]} if "next" in query else {})
    assert there.status_code == 302, there.content
    return str(there["Location"])


def way_back(address: str) -> str:
    return str(requests.get(address, allow_redirects=False, timeout=5).headers["Location"])


def prove(client: Client, page: str) -> Any:
    return client.get(way_back(leave(client, page)))


def told(client: Client, answer: Any) -> str:
    """What the page of the proof says, to which a refusal leads."""
    assert answer.status_code == 302
    assert answer["Location"].startswith(f"{PROVE}?next=")
    return client.get(answer["Location"]).content.decode()


# --- It counts --------------------------------------------------------------------------------------------------------


def test_what_was_typed_is_signed_after_a_proof_at_the_provider(
    inside: Client, asked: PromotionRequest, provider: Provider
) -> None:
    page = sign(inside, asked)
    assert page["Location"].startswith(f"{PROVE}?next=%2Frequests%2F")
    assert "Confirm with Example ID" in inside.get(page["Location"]).content.decode()
    before = time.time()
    answer = prove(inside, page["Location"])
    assert provider.refused == []
    assert answer["Location"] == asked.get_absolute_url()
    review = Review.objects.get()
    assert (review.comment, review.meaning, review.signed_with) == ("As read.", "responsible", "identity provider")
    assert review.proof_at is not None
    assert before - 2 <= review.proof_at.timestamp() <= time.time()
    assert AuditEvent.objects.get(action=Action.REVIEW_APPROVED).data["signed_with"] == "identity provider"
    html = inside.get(asked.get_absolute_url()).content.decode()
    assert "meaning responsible · proved by identity provider" in html


def test_the_provider_is_asked_to_make_them_sign_in_now(
    inside: Client, asked: PromotionRequest, provider: Provider
) -> None:
    prove(inside, sign(inside, asked)["Location"])
    sent = provider.asked[-1]
    assert (sent["prompt"], sent["max_age"], sent["code_challenge_method"]) == ("login", "0", "S256")
    assert len(sent["nonce"]) >= 24
    assert "nonce" not in provider.asked[0]  # the sign-in before


def test_the_session_stays_the_one_it_was(inside: Client, asked: PromotionRequest, single: User) -> None:
    before = inside.session.session_key
    prove(inside, sign(inside, asked)["Location"])
    assert inside.session.session_key == before
    assert inside.session["_auth_user_id"] == str(single.pk)


def test_somebody_with_a_password_can_prove_it_at_the_provider_too(
    inside: Client, asked: PromotionRequest, single: User
) -> None:
    single.set_password(PASSWORD)
    single.save()
    inside.force_login(single)
    page = sign(inside, asked)["Location"]
    assert page.startswith("/accounts/reauthenticate/?next=")
    assert "Confirm with Example ID" in inside.get(page).content.decode()
    prove(inside, page)
    assert Review.objects.get().signed_with == "identity provider"


def test_a_sign_in_through_the_provider_is_no_proof(client: Client, asked: PromotionRequest, single: User) -> None:
    dance(client)
    assert sign(client, asked)["Location"].startswith(PROVE)
    assert not Review.objects.exists()


# --- It does not ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"auth_time": None}, "did not report when you signed in"),
        ({"auth_time": "just now"}, "did not report when you signed in"),
        ({"auth_time": True}, "did not report when you signed in"),
        ({"auth_time": time.time() - 7200}, "did not ask you to sign in again"),
        ({"auth_time": time.time() + 7200}, "did not ask you to sign in again"),
        ({"nonce": None}, "sent an unexpected answer"),
        ({"nonce": "another"}, "sent an unexpected answer"),
        ({"sub": "somebody-else"}, "did not identify you clearly"),
        ({"aud": "another-client"}, "refused, or could not be reached"),
        ({"iss": "https://evil.example.com"}, "refused, or could not be reached"),
        ({"exp": 1}, "refused, or could not be reached"),
    ],
)
def test_an_answer_that_proves_nothing_signs_nothing(
    inside: Client, asked: PromotionRequest, provider: Provider, claims: dict[str, Any], reason: str
) -> None:
    page = sign(inside, asked)["Location"]
    provider.claims = claims
    html = told(inside, prove(inside, page))
    assert f"Example ID {reason}" in html
    assert "No changes were made; your input is kept." in html
    assert not Review.objects.exists()
    assert sign(inside, asked)["Location"].startswith(PROVE)  # nor is it remembered as a proof
    provider.claims = {}
    prove(inside, page)
    assert Review.objects.get().comment == "As read."


@pytest.mark.parametrize("known", [True, False])
def test_another_account_at_the_provider_signs_nothing_and_signs_nobody_in(
    inside: Client, asked: PromotionRequest, provider: Provider, single: User, rosa: User, known: bool
) -> None:
    if known:
        SocialAccount.objects.create(user=rosa, provider="oidc", uid="rosa-at-id")
    page = sign(inside, asked)["Location"]
    provider.person |= {"sub": "rosa-at-id", "email": rosa.email}
    html = told(inside, prove(inside, page))
    assert "signed you in as a different person" in html
    assert inside.session["_auth_user_id"] == str(single.pk)
    assert not Review.objects.exists()
    rosa.refresh_from_db()
    assert rosa.has_usable_password()
    assert SocialAccount.objects.filter(user=rosa).exists() is known


def test_refusing_to_sign_in_there_signs_nothing(inside: Client, asked: PromotionRequest, provider: Provider) -> None:
    page = sign(inside, asked)["Location"]
    provider.denial = "access_denied"
    assert "Example ID did not let you in." in told(inside, prove(inside, page))
    provider.denial = "server_error"
    assert "Example ID refused, or could not be reached." in told(inside, prove(inside, page))
    assert not Review.objects.exists()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_provider_that_is_away_signs_nothing(
    inside: Client, asked: PromotionRequest, settings: Any, when: str
) -> None:
    page = sign(inside, asked)["Location"]
    back = way_back(leave(inside, page)) if when == "after" else ""
    app = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]
    gone = {**app, "settings": app["settings"] | {"server_url": "http://127.0.0.1:9"}}
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [gone]}}
    answer = inside.get(back) if back else inside.post(PROVE, {"next": parse_qs(urlsplit(page).query)["next"][0]})
    reason = "refused, or could not be reached" if back else "did not answer"
    assert f"Example ID {reason}." in told(inside, answer)
    assert not Review.objects.exists()


def test_an_answer_counts_once(inside: Client, asked: PromotionRequest) -> None:
    back = way_back(leave(inside, sign(inside, asked)["Location"]))
    assert inside.get(back)["Location"] == asked.get_absolute_url()
    age(inside, 3600)
    again = inside.get(back)
    assert (again.status_code, "Sign-in failed" in again.content.decode()) == (401, True)
    assert Review.objects.count() == 1
    methods = [each for each in inside.session[AUTHENTICATION_METHODS_SESSION_KEY] if each.get("reauthenticated")]
    assert [time.time() - each["at"] > 3000 for each in methods] == [True]


def test_an_answer_with_a_forged_state_signs_nothing(inside: Client, asked: PromotionRequest) -> None:
    back = way_back(leave(inside, sign(inside, asked)["Location"]))
    state = parse_qs(urlsplit(back).query)["state"][0]
    assert inside.get(back.replace(state, "f" * len(state))).status_code == 401
    assert not Review.objects.exists()


def test_an_answer_in_another_browser_signs_nothing(inside: Client, asked: PromotionRequest, single: User) -> None:
    back = way_back(leave(inside, sign(inside, asked)["Location"]))
    other = Client()
    other.force_login(single)
    assert other.get(back).status_code == 401
    assert sign(other, asked)["Location"].startswith(PROVE)
    assert not Review.objects.exists()


def test_asking_for_the_process_by_hand_neither_signs_in_nor_proves(
    inside: Client, asked: PromotionRequest, single: User
) -> None:
    """The address of sign-in takes the name of a process, and parameters for the provider, from anybody."""
    by_hand = LOGIN.replace("process=login", "process=prove&auth_params=max_age%3D0")
    page = sign(inside, asked)["Location"]
    assert "sent an unexpected answer" in told(inside, inside.get(way_back(inside.post(by_hand)["Location"])))
    assert sign(inside, asked)["Location"] == page
    stranger = Client()
    stranger.get(way_back(stranger.post(by_hand)["Location"]))
    assert "_auth_user_id" not in stranger.session
    assert not Review.objects.exists()


def test_an_answer_to_a_sign_in_is_no_answer_to_a_proof(inside: Client, asked: PromotionRequest) -> None:
    sign(inside, asked)
    inside.get(way_back(inside.post(LOGIN)["Location"]))
    assert not Review.objects.exists()
    assert sign(inside, asked)["Location"].startswith(PROVE)


def test_the_proof_does_not_outlive_the_policys_window(inside: Client, asked: PromotionRequest, settings: Any) -> None:
    settings.ACCOUNT_REAUTHENTICATION_TIMEOUT = 3600
    prove(inside, PROVE)
    age(inside, 60 * MINUTES + 1)
    assert sign(inside, asked)["Location"].startswith(PROVE)
    assert not Review.objects.exists()


def test_the_page_is_for_those_with_an_account_there(client: Client, provider: Provider, rosa: User) -> None:
    client.force_login(rosa)
    assert client.get(PROVE)["Location"] == "/accounts/reauthenticate/"
    rosa.set_unusable_password()
    rosa.save()
    client.force_login(rosa)
    assert client.get(PROVE).status_code == 403


def test_leaving_for_the_provider_needs_the_token_of_the_form(single: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(single)
    assert strict.post(PROVE).status_code == 403


@pytest.mark.parametrize("address", ["https://evil.example.com/", "//evil.example.com/"])
def test_the_way_back_does_not_lead_elsewhere(inside: Client, address: str) -> None:
    there = inside.post(PROVE, {"next": address})["Location"]
    assert inside.get(way_back(there))["Location"] == "/home/"


# --- A session that somebody found open -------------------------------------------------------------------------------

ENROLMENT = ["/accounts/2fa/totp/activate/", "/accounts/2fa/webauthn/add/", "/accounts/password/set/"]


@pytest.mark.parametrize("address", ENROLMENT)
def test_a_proof_of_ones_own_cannot_be_added_to_an_old_session(inside: Client, address: str) -> None:
    for answer in (
        inside.get(address),
        inside.post(address, {"password1": "a-new-long-one", "password2": "a-new-long-one"}),
    ):
        assert answer.status_code == 302
        assert answer["Location"].startswith(PROVE)
    assert not User.objects.get(email="remy@example.com").has_usable_password()


@pytest.mark.parametrize("address", ENROLMENT)
def test_after_a_proof_at_the_provider_it_can(inside: Client, address: str) -> None:
    prove(inside, f"{PROVE}?next={address}")
    assert inside.get(address).status_code == 200


@pytest.mark.parametrize("address", ENROLMENT)
def test_right_after_a_sign_in_through_the_provider_it_can(client: Client, single: User, address: str) -> None:
    """The way for those whose provider does not say when people signed in."""
    dance(client)
    assert client.get(address).status_code == 200


def test_neither_another_address_nor_another_account_can_be_added_to_an_old_session(
    inside: Client, provider: Provider, single: User
) -> None:
    answer = inside.post("/accounts/email/", {"action_add": "", "email": "mallory@example.com"})
    assert answer["Location"].startswith(PROVE)
    provider.person |= {"sub": "mallory-at-id", "email": "mallory@example.com"}
    inside.get(way_back(inside.post(LOGIN.replace("=login", "=connect"))["Location"]))
    assert [each.uid for each in SocialAccount.objects.filter(user=single)] == ["remy-at-id"]


def test_people_with_a_password_give_it_before_they_change_their_address(client: Client, remy: User) -> None:
    EmailAddress.objects.create(user=remy, email=remy.email, primary=True, verified=True)
    client.force_login(remy)
    answer = client.post("/accounts/email/", {"action_add": "", "email": "mallory@example.com"})
    assert answer["Location"].startswith("/accounts/reauthenticate/?next=")
