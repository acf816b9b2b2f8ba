"""What is written, line by line. Each event has the test that reads its line."""

import json
import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from allauth.socialaccount.models import SocialAccount
from django.core import mail
from django.test import Client

from accounts import security_log
from accounts.models import ApiToken, User
from accounts.security_log import Event
from approvals import administration
from registry_ui.demo.installation import ROOT
from tests.accounts.conftest import Lines
from tests.accounts.provider import Provider
from tests.accounts.test_openid_connect import LOGIN as AT_PROVIDER
from tests.accounts.test_openid_connect import dance
from tests.project.test_docs import OPERATIONS, code, rows, section
from tests.support.factories import PASSWORD, make_person, make_service_account, make_token

pytestmark = pytest.mark.django_db

LOGIN = "/accounts/login/"
ADDRESS = "127.0.0.1"


def only(lines: Lines, event: Event) -> dict[str, Any]:
    (line,) = lines(event)
    return line


def sign_in(client: Client, email: str, password: str = PASSWORD) -> Any:
    return client.post(LOGIN, {"login": email, "password": password})


@pytest.fixture
def inside(client: Client, rita: User) -> Client:
    """Rita's browser, with a fresh proof."""
    EmailAddress.objects.create(user=rita, email=rita.email, primary=True, verified=True)
    sign_in(client, rita.email)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return client


def code_of(secret: str) -> str:
    counter = next(iter(yield_hotp_counters_from_time()))
    return str(format_hotp_value(hotp_value(secret, counter)))


# --- Signing in -------------------------------------------------------------------------------------------------------


def test_a_sign_in_is_a_line_with_person_address_session_and_what_the_request_is_known_by(
    client: Client, rita: User, lines: Lines
) -> None:
    sign_in(client, rita.email)
    line = only(lines, Event.SIGNIN_OK)
    assert (line["person"], line["address"], line["method"]) == (rita.pk, ADDRESS, "password")
    assert re.fullmatch(r"[0-9a-f]{8}", line["session"])
    assert re.fullmatch(r"[0-9a-f-]{36}", line["correlation_id"])
    assert client.session.session_key not in str(line)


def test_a_wrong_password_is_a_line_with_whose_it_would_have_been(client: Client, rita: User, lines: Lines) -> None:
    sign_in(client, rita.email, "a-wrong-password")
    line = only(lines, Event.SIGNIN_FAILED)
    assert (line["person"], line["method"]) == (rita.pk, "password")
    assert not {"a-wrong-password", rita.email} & set(map(str, line.values()))


def test_what_a_stranger_types_is_not_written(client: Client, rita: User, lines: Lines) -> None:
    sign_in(client, "my-password-by-mistake@example.com")
    assert only(lines, Event.SIGNIN_FAILED)["person"] is None
    assert "mistake" not in str(lines())


def test_a_try_beyond_the_limit_is_limited(client: Client, rita: User, lines: Lines) -> None:
    for number in range(10):
        sign_in(client, f"guess{number}@example.com", "wrong")
    sign_in(client, rita.email)
    assert only(lines, Event.SIGNIN_LIMITED)["person"] == rita.pk
    assert lines(Event.SIGNIN_OK) == []


def test_signing_out_is_a_line(client: Client, rita: User, lines: Lines) -> None:
    sign_in(client, rita.email)
    client.post("/accounts/logout/")
    line = only(lines, Event.SIGNOUT)
    assert (line["person"], line["session"]) == (rita.pk, only(lines, Event.SIGNIN_OK)["session"])


def test_a_deactivated_person_and_a_service_account_are_refused_with_the_reason(
    client: Client, rita: User, provider: Provider, lines: Lines
) -> None:
    gone = make_person("Gone Away", "requester", is_active=False)
    sign_in(client, gone.email)
    bot = make_service_account(owner=rita)
    SocialAccount.objects.create(user=bot, provider="oidc", uid="1")
    dance(client)
    refused = [(each["person"], each["reason"]) for each in lines(Event.SIGNIN_FAILED)]
    assert refused == [(gone.pk, "deactivated"), (bot.pk, "service account")]


def test_a_second_factor_is_named_and_a_wrong_code_refused(client: Client, rita: User, lines: Lines) -> None:
    secret = generate_totp_secret()
    TOTP.activate(rita, secret)
    sign_in(client, rita.email)
    client.post("/accounts/2fa/authenticate/", {"code": "000000"})
    failed = only(lines, Event.SIGNIN_FAILED)
    assert (failed["person"], failed["method"]) == (rita.pk, "code")
    client.post("/accounts/2fa/authenticate/", {"code": code_of(secret)})
    assert only(lines, Event.SIGNIN_OK)["method"] == "password+totp"


NO_PASSKEY = json.dumps({"id": "AA", "rawId": "AA", "type": "public-key", "response": {}})


@pytest.mark.parametrize(
    ("page", "event"),
    [
        ("login", Event.SIGNIN_FAILED),
        ("reauthenticate", Event.REAUTH_FAILED),
    ],
)
def test_a_passkey_that_is_none_is_refused(client: Client, rita: User, lines: Lines, page: str, event: Event) -> None:
    if event == Event.REAUTH_FAILED:
        client.force_login(rita)
        Authenticator.objects.create(user=rita, type=Authenticator.Type.WEBAUTHN, data={})
    client.post(f"/accounts/2fa/webauthn/{page}/", {"credential": NO_PASSKEY})
    assert only(lines, event)["method"] == "passkey"


def test_through_the_provider(client: Client, provider: Provider, lines: Lines) -> None:
    dance(client)
    assert only(lines, Event.SIGNIN_OK)["method"] == "provider"


def test_a_provider_that_refuses(client: Client, provider: Provider, lines: Lines) -> None:
    provider.audience = "somebody-else"
    dance(client)
    assert only(lines, Event.SIGNIN_FAILED)["method"] == "provider"


def test_a_session_that_ends_after_wrong_proofs(client: Client, rita: User, lines: Lines) -> None:
    client.force_login(rita)
    for _ in range(5):
        client.post("/accounts/reauthenticate/", {"password": "wrong"})
    assert len(lines(Event.REAUTH_FAILED)) == 5
    line = only(lines, Event.SESSION_ENDED)
    assert (line["person"], line["reason"], lines(Event.SIGNOUT)) == (rita.pk, "wrong proofs", [])


def test_passkeys_beyond_the_limit(lines: Lines, settings: Any) -> None:
    settings.MFA_RATE_LIMITS = {"webauthn_login": "1/m/ip"}
    for _ in range(2):
        Client().post("/accounts/2fa/webauthn/login/", {"credential": NO_PASSKEY})
    assert only(lines, Event.SIGNIN_LIMITED)["method"] == "passkey"


# --- Proof, password, factors, address, provider ----------------------------------------------------------------------


def test_a_proof_and_a_wrong_one(inside: Client, rita: User, lines: Lines) -> None:
    inside.post("/accounts/reauthenticate/", {"password": "wrong"})
    assert (only(lines, Event.REAUTH_OK)["person"], only(lines, Event.REAUTH_OK)["method"]) == (rita.pk, "password")
    assert (only(lines, Event.REAUTH_FAILED)["person"], lines(Event.SIGNIN_FAILED)) == (rita.pk, [])


def test_a_changed_password(inside: Client, rita: User, lines: Lines) -> None:
    new = "a-fresh-long-password"
    inside.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": new, "password2": new})
    assert only(lines, Event.PASSWORD_CHANGED)["person"] == rita.pk


def test_a_reset_password_and_none_for_strangers(client: Client, rita: User, lines: Lines) -> None:
    client.post("/accounts/password/reset/", {"email": "nobody@example.com"})
    assert lines() == []
    client.post("/accounts/password/reset/", {"email": rita.email})
    assert only(lines, Event.PASSWORD_RESET_ASKED)["person"] == rita.pk
    key = re.search(r"/accounts/password/reset/key/\S+", str(mail.outbox[0].body))
    assert key is not None
    form = client.get(key[0], follow=True)
    sent = {"password1": "a-fresh-long-password", "password2": "a-fresh-long-password"}
    client.post(form.request["PATH_INFO"], sent)
    assert only(lines, Event.PASSWORD_RESET)["person"] == rita.pk
    assert key[0][-20:] not in str(lines())


def test_the_first_password_through_an_invitation(client: Client, ada: User, lines: Lines) -> None:
    from accounts import invitation

    nora = administration.invite(email="nora@example.com", name="Nora Berg", groups=[], by=ada)
    page = client.get(invitation.link_for(nora).removeprefix("http://127.0.0.1:8000"), follow=True)
    sent = {"password1": "a-fresh-long-password", "password2": "a-fresh-long-password"}
    client.post(page.request["PATH_INFO"], sent)
    assert only(lines, Event.PASSWORD_RESET)["person"] == nora.pk
    assert only(lines, Event.SIGNIN_OK)["method"] == "link"


def test_factors_that_are_added_made_anew_and_removed(
    inside: Client, rita: User, lines: Lines, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        page = inside.get("/accounts/2fa/totp/activate/")
        inside.post("/accounts/2fa/totp/activate/", {"code": code_of(page.context["form"].secret)})
    assert {each["factor"] for each in lines(Event.FACTOR_ADDED)} == {"totp", "recovery_codes"}
    with django_capture_on_commit_callbacks(execute=True):
        inside.post("/accounts/2fa/recovery-codes/generate/")
    assert only(lines, Event.FACTOR_RESET)["factor"] == "recovery_codes"
    inside.post("/accounts/2fa/totp/deactivate/")
    assert {each["factor"] for each in lines(Event.FACTOR_REMOVED)} == {"totp", "recovery_codes"}
    assert {each["person"] for each in lines(Event.FACTOR_ADDED)} == {rita.pk}


def test_another_address(inside: Client, rita: User, lines: Lines) -> None:
    inside.post("/accounts/email/", {"action_add": "", "email": "sanz@example.com"})
    link = re.search(r"/accounts/confirm-email/\S+", str(mail.outbox[-1].body))
    assert link is not None
    inside.post(link[0])
    assert only(lines, Event.ADDRESS_CHANGED)["person"] == rita.pk
    assert "sanz@example.com" not in str(lines())


def test_an_account_at_the_provider(inside: Client, rita: User, provider: Provider, lines: Lines) -> None:
    back = inside.post(AT_PROVIDER.replace("process=login", "process=connect"))["Location"]
    import requests

    inside.get(requests.get(back, allow_redirects=False, timeout=5).headers["Location"])
    linked = only(lines, Event.PROVIDER_LINKED)
    assert (linked["person"], linked["provider"]) == (rita.pk, "oidc")
    inside.post("/accounts/3rdparty/", {"account": SocialAccount.objects.get().pk})
    assert only(lines, Event.PROVIDER_UNLINKED)["person"] == rita.pk


# --- Accounts, tokens, refusals, exports ------------------------------------------------------------------------------


def test_a_deactivation_once_it_is_committed(
    rita: User, ada: User, lines: Lines, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        administration.set_active(rita, is_active=False, by=ada)
        assert lines() == []
    line = only(lines, Event.ACCOUNT_DEACTIVATED)
    assert (line["person"], line["by"]) == (rita.pk, ada.pk)


def test_a_token_that_is_made_and_revoked(rita: User, lines: Lines, django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        text = make_token(rita)
        administration.revoke_token(ApiToken.objects.get(), by=rita)
    made, revoked = only(lines, Event.TOKEN_MADE), only(lines, Event.TOKEN_REVOKED)
    assert (
        (made["person"], made["token"]) == (revoked["person"], revoked["token"]) == (rita.pk, ApiToken.objects.get().pk)
    )
    assert text not in str(lines())


def test_a_token_that_is_refused(client: Client, lines: Lines) -> None:
    client.get("/api/v1/me", headers={"authorization": "Bearer csn_nonsense"})
    line = only(lines, Event.TOKEN_REFUSED)
    assert (line["reason"], line["address"]) == ("token_malformed", ADDRESS)
    assert "nonsense" not in str(lines())


def test_what_is_denied_is_one_line_with_the_rule_and_no_traceback(
    client: Client, rita: User, lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    client.force_login(rita)
    assert client.get("/people/").status_code == 403
    line = only(lines, Event.DENIED)
    assert (line["person"], line["route"]) == (rita.pk, "approvals:people")
    assert "administrator" in line["rule"].lower()
    assert [each for each in caplog.records if each.exc_info or each.name == "django.request"] == []


def test_what_is_denied_to_a_program_has_its_code(client: Client, rita: User, lines: Lines) -> None:
    token = make_token(rita, "audit:read")
    answer = client.get("/api/v1/models", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 403
    assert only(lines, Event.DENIED)["rule"] == answer.json()["code"]


def test_a_form_without_its_token_is_denied(rita: User, lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    sign_in(Client(enforce_csrf_checks=True), rita.email)
    line = only(lines, Event.DENIED)
    assert (line["route"], line["rule"].split(":")[0]) == ("account_login", "form token")
    assert LOGIN not in str([each.getMessage() for each in caplog.records])


@pytest.mark.parametrize("path", ["/callbacks/mlflow/", "/gate/policy"])
def test_a_call_that_is_not_signed_is_refused(client: Client, lines: Lines, settings: Any, path: str) -> None:
    settings.MLFLOW_WEBHOOK_SECRET, settings.GATE_TOKEN = "a-secret-of-mlflow", "a-token-of-the-gate"
    answer = client.get(path) if path == "/gate/policy" else client.post(path, b"{}", content_type="application/json")
    assert answer.status_code == 401
    assert only(lines, Event.CALLBACK_REFUSED)["reason"] == "unsigned"


def test_an_export(vera: User, lines: Lines, django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        administration.record_export(by=vera, filters={})
        administration.record_evidence(by=vera, what="archive")
    assert [(each["person"], each["what"]) for each in lines(Event.EXPORT_MADE)] == [
        (vera.pk, "history"),
        (vera.pk, "archive"),
    ]


# --- The list ---------------------------------------------------------------------------------------------------------


@pytest.mark.nodb
def test_every_event_is_listed_in_the_docs_written_somewhere_and_read_by_a_test() -> None:
    table = rows(section(OPERATIONS, "Security log"))
    assert [name for cells in table for name in code(cells[0])] == [str(event) for event in Event]
    sources = [*ROOT.glob("accounts/*.py"), *ROOT.glob("api/**/*.py"), *ROOT.glob("approvals/**/*.py")]
    sources += ROOT.glob("registry_ui/**/*.py")
    written = "\n".join(path.read_text() for path in sources)
    tested = "\n".join(
        path.read_text() for path in (*ROOT.glob("tests/**/test_security*.py"), *ROOT.glob("tests/accounts/test_*.py"))
    )
    for event in Event:
        assert f"Event.{event.name}" in written, event
        assert f"Event.{event.name}" in tested, event


def test_who_listens_is_told_of_each_line(client: Client, rita: User) -> None:
    told: list[tuple[Event, str]] = []

    def listen(event: Event, facts: dict[str, Any], **_: Any) -> None:
        told.append((event, facts["method"]))

    security_log.recorded.connect(listen)
    try:
        sign_in(client, rita.email)
    finally:
        security_log.recorded.disconnect(listen)
    assert told == [(Event.SIGNIN_OK, "password")]
