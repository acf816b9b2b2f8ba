"""Pages of API tokens and service accounts: shown once and never again, to those who answer for them, and revoked."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import tokens
from accounts.models import ApiToken, TrustedPublisher, User
from approvals import administration
from approvals.models import Action, AuditEvent
from tests.support.factories import PASSWORD, make_service_account, make_token
from tests.support.pages import text_of

pytestmark = pytest.mark.django_db

NEW = "/preferences/tokens/new/"
FORM = {"name": "ci-train", "scopes": ["read", "requests:write"], "days": "30"}


@pytest.fixture
def robot(rita: User, ada: User) -> User:
    return make_service_account(owner=rita)


def signed_in(person: User) -> Client:
    """With a proof of identity that was just given."""
    client = Client()
    client.force_login(person)
    assert client.post("/accounts/reauthenticate/", {"password": PASSWORD}).status_code == 302
    return client


def token_in(page: str) -> str:
    found = re.search(r"csn_[0-9A-Za-z]{46}", page)
    assert found
    return found[0]


def test_the_token_is_shown_once_and_kept_nowhere(rita: User) -> None:
    client = signed_in(rita)
    made = client.post(NEW, FORM)
    assert made.status_code == 200
    assert "no-store" in made["Cache-Control"]
    assert "cannot be shown again" in made.content.decode()
    text = token_in(made.content.decode())
    found = tokens.authenticate(text, address="203.0.113.7")
    assert isinstance(found, tokens.Identity)
    assert found.scopes == {"read", "requests:write"}
    assert round((found.token.expires_at - timezone.now()) / timedelta(days=1)) == 30
    listed = client.get("/preferences/tokens/").content.decode()
    assert found.token.prefix in listed
    assert text not in listed
    assert text not in str(dict(client.session))
    again = client.post(NEW, FORM)  # reloading the page
    assert again.status_code == 422
    assert "Another token has this name" in again.content.decode()


def test_without_a_fresh_proof_it_is_asked_for_first(rita: User, client: Client) -> None:
    client.force_login(rita)
    assert client.get(NEW).status_code == 200
    asked = client.post(NEW, FORM)
    assert asked["Location"].startswith("/accounts/reauthenticate/")
    assert not ApiToken.objects.exists()
    made = client.post(asked["Location"], {"password": PASSWORD, "next": NEW})
    assert ApiToken.objects.get().name == "ci-train"
    assert token_in(made.content.decode())
    assert "no-store" in made["Cache-Control"]


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"name": ""}, "required"),
        ({"scopes": []}, "required"),
        ({"scopes": ["everything"]}, "not one of the available choices"),
        ({"days": "9999"}, "not one of the available choices"),
    ],
)
def test_what_is_wrong_in_the_form(rita: User, sent: dict[str, Any], message: str) -> None:
    answer = signed_in(rita).post(NEW, FORM | sent)
    assert (answer.status_code, message in answer.content.decode()) == (422, True)


def test_the_owner_makes_those_of_a_service_account(robot: User, rita: User, remy: User, ada: User) -> None:
    client, address = signed_in(rita), f"{NEW}{robot.pk}/"
    page = text_of(client.get("/preferences/tokens/").content.decode())
    assert "The service account cannot do anything until you make one" in page
    assert "reviews:write" not in client.get(address).content.decode()
    found = tokens.authenticate(token_in(client.post(address, FORM).content.decode()), address="")
    assert isinstance(found, tokens.Identity)
    assert found.user == robot
    for other in (remy, ada):
        refused = signed_in(other).post(address, FORM)
        assert (refused.status_code, "Only the owner" in refused.content.decode()) == (403, True)
    assert signed_in(ada).get(f"{NEW}{rita.pk}/").status_code == 404


def test_revoking_asks_first_and_says_what_it_means(robot: User, rita: User, remy: User, client: Client) -> None:
    text = make_token(robot)
    token = ApiToken.objects.get()
    address = f"/preferences/tokens/{token.pk}/revoke/"
    client.force_login(remy)
    for refused in (client.get(address), client.post(address)):
        assert (refused.status_code, "Only administrators can revoke" in refused.content.decode()) == (403, True)
    client.force_login(rita)
    assert "Programs that use it are refused at once" in client.get(address).content.decode()
    assert isinstance(tokens.authenticate(text, address=""), tokens.Identity)
    done = client.post(address, follow=True)
    assert done.redirect_chain == [("/preferences/tokens/", 302)]
    assert "The API token ci-train is revoked." in done.content.decode()
    assert "Tokens that have ended" in done.content.decode()
    assert tokens.authenticate(text, address="") == tokens.REVOKED
    assert "was revoked already" in client.post(address, follow=True).content.decode()
    assert AuditEvent.objects.filter(action=Action.TOKEN_REVOKED).count() == 1


def test_administrators_see_all_and_revoke_any(robot: User, rita: User, remy: User, ada: User, client: Client) -> None:
    make_token(robot)
    make_token(remy, name="my script")
    client.force_login(ada)
    page = text_of(client.get("/people/tokens/").content.decode())
    assert "ci-train" in page
    assert "my script" in page
    assert "Service account of Rita Sanz" in page
    token = ApiToken.objects.get(account=remy)
    done = client.post(f"/preferences/tokens/{token.pk}/revoke/", follow=True)
    assert done.redirect_chain == [("/people/tokens/", 302)]
    assert "my script" not in text_of(client.get("/people/tokens/").content.decode())
    assert "Revoked" in text_of(client.get("/people/tokens/?show=ended").content.decode())
    administration.set_active(rita, is_active=False, by=ada)
    assert "No active owner" in client.get("/people/tokens/").content.decode()


def test_lists_cost_the_same_however_long(robot: User, rita: User, ada: User) -> None:
    client = Client()
    client.force_login(rita)
    other = Client()
    other.force_login(ada)
    costs: dict[str, list[int]] = {"/preferences/tokens/": [], "/people/tokens/": []}
    for number in range(2):
        make_token(robot, name=f"a{number}")
        make_token(rita, name=f"b{number}")
        make_service_account(f"bot {number}", owner=rita)
        for address, counted in costs.items():
            reader = client if address.startswith("/pref") else other
            reader.get(address)
            with CaptureQueriesContext(connection) as seen:
                assert reader.get(address).status_code == 200
            counted.append(len(seen))
    assert all(first == second for first, second in costs.values()), costs


def test_a_service_account_is_added_with_its_owner(rita: User, ada: User, client: Client) -> None:
    client.force_login(ada)
    address = "/people/service-accounts/new/"
    assert "checked" in client.get(address).content.decode()  # the role requester
    done = client.post(address, {"name": "train-bot", "owner": rita.pk, "roles": []}, follow=True)
    assert "Rita Sanz &lt;rita@example.com&gt; makes its tokens." in done.content.decode()
    robot = User.objects.get(name="train-bot")
    assert (robot.owner, robot.is_service_account) == (rita, True)
    refused = client.post(address, {"name": "train-bot", "owner": rita.pk})
    assert (refused.status_code, "Another service account has this name" in refused.content.decode()) == (422, True)
    without = client.post(address, {"name": "other-bot"})
    assert without.status_code == 422


def test_deactivating_says_that_tokens_end(robot: User, ada: User, client: Client) -> None:
    make_token(robot)
    client.force_login(ada)
    page = text_of(client.get(f"/people/{robot.pk}/active/").content.decode())
    assert "1 API token ends permanently: ci-train." in page
    assert "Programs can no longer use it" in page
    client.post(f"/people/{robot.pk}/active/", {"is_active": "false"})
    assert "stay revoked" in client.get(f"/people/{robot.pk}/active/").content.decode()


PUBLISHER = {
    "provider": "github",
    "issuer": "https://token.actions.githubusercontent.com",
    "repository": "acme/churn",
    "ref": "refs/heads/main",
    "environment": "",
    "scopes": ["read", "requests:write"],
}


def test_the_owner_trusts_a_pipeline_and_retires_it(robot: User, rita: User, remy: User, ada: User) -> None:
    client, address = signed_in(rita), f"/preferences/tokens/publishers/new/{robot.pk}/"
    assert "refs/heads/main" in client.get(address).content.decode()
    done = client.post(address, PUBLISHER, follow=True)
    assert "acme/churn" in text_of(done.content.decode())
    again = client.post(address, PUBLISHER)
    assert (again.status_code, "This publisher is trusted already" in again.content.decode()) == (422, True)
    for other in (remy, ada):
        assert signed_in(other).post(address, PUBLISHER).status_code == 403
    publisher = TrustedPublisher.objects.get()
    assert "acme/churn" in signed_in(ada).get("/people/tokens/").content.decode()
    retire = f"/preferences/tokens/publishers/{publisher.pk}/retire/"
    assert signed_in(remy).post(retire).status_code == 403
    assert "last at most 15 minutes" in client.get(retire).content.decode()
    client.post(retire, follow=True)
    publisher.refresh_from_db()
    assert publisher.retired_by == rita
    assert "acme/churn" not in client.get("/preferences/tokens/").content.decode()


def test_to_trust_a_pipeline_needs_a_fresh_proof(robot: User, rita: User, client: Client) -> None:
    client.force_login(rita)
    asked = client.post(f"/preferences/tokens/publishers/new/{robot.pk}/", PUBLISHER)
    assert asked["Location"].startswith("/accounts/reauthenticate/")
    assert not TrustedPublisher.objects.exists()
