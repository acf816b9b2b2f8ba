"""What a password may be, by whom it is changed, and what it does not open."""

import re
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.conf import global_settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts.models import User
from registry_ui import settings as ours
from tests.accounts.test_security_log import code_of
from tests.accounts.test_sign_in import LOGIN, link_in, set_password, sign_in
from tests.support.factories import PASSWORD

pytestmark = pytest.mark.django_db

CHANGE = "/accounts/password/change/"
NEW = "a-fresh-long-password"
CODE = "/accounts/2fa/authenticate/"


def change(client: Client, person: User, present: str, new: str) -> Any:
    client.post(LOGIN, {"login": person.email, "password": PASSWORD})
    answer = client.post(CHANGE, {"oldpassword": present, "password1": new, "password2": new})
    person.refresh_from_db()
    return answer


def test_a_new_one_takes_the_present_one(client: Client, rita: User) -> None:
    page = change(client, rita, "not-the-present-one", NEW).content.decode()
    assert "Please type your current password." in page
    assert rita.check_password(PASSWORD)
    change(client, rita, PASSWORD, NEW)
    assert rita.check_password(NEW)


@pytest.mark.parametrize("new", ["Ω" + "long and Mixed " * 8 + "é!", "all lower case letters"])
def test_it_may_be_long_and_of_anything_and_counts_to_its_last_character(client: Client, rita: User, new: str) -> None:
    change(client, rita, PASSWORD, new)
    for other in (new[:-1], new.swapcase(), f"{new} "):
        assert sign_in(Client(), rita.email, other).status_code == 200
    assert sign_in(Client(), rita.email, new).status_code == 302


@pytest.mark.parametrize("path", [LOGIN, CHANGE])
def test_fields_are_masked_and_open_to_password_managers(client: Client, rita: User, path: str) -> None:
    if path == CHANGE:
        client.force_login(rita)
    fields = re.findall(r'<input[^>]*name="\w*password\w*"[^>]*>', client.get(path).content.decode())
    assert len(fields) == {LOGIN: 1, CHANGE: 3}[path]
    for field in fields:
        assert 'type="password"' in field
        assert re.search(r'autocomplete="(current|new)-password"', field)
        assert "maxlength" not in field
        assert "onpaste" not in field


def test_a_new_one_by_mail_does_not_pass_by_the_second_factor(client: Client, rita: User) -> None:
    TOTP.activate(rita, generate_totp_secret())
    client.post("/accounts/password/reset/", {"email": rita.email})
    set_password(client, link_in(str(mail.outbox[0].body)), NEW)
    for browser in (client, Client()):
        assert sign_in(browser, rita.email, NEW)["Location"] == CODE
        assert browser.get("/models/").status_code == 302


def test_a_code_counts_once(client: Client, rita: User, time_machine: Any) -> None:
    time_machine.move_to(timezone.now(), tick=False)  # within its half minute
    secret = generate_totp_secret()
    TOTP.activate(rita, secret)
    code = code_of(secret)
    answers = []
    for browser in (client, Client()):
        sign_in(browser, rita.email)
        answers.append(browser.post(CODE, {"code": code}).status_code)
    assert answers == [302, 200]


def test_they_are_kept_by_a_slow_hash() -> None:
    """Django's own, with as many rounds as OWASP asks for; the suite's settings have a quick one."""
    assert not hasattr(ours, "PASSWORD_HASHERS")
    assert global_settings.PASSWORD_HASHERS[0].endswith(".PBKDF2PasswordHasher")
    assert PBKDF2PasswordHasher.iterations >= 600_000
