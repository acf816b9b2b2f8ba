"""Signing with a second factor as proof, in a browser: a passkey in Chromium's own authenticator, and an authenticator
app."""

import base64
import re
import time
from collections.abc import Callable, Iterator

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from playwright.sync_api import Page, expect

from tests.e2e.probes import PASSWORD
from tests.support.stack import Stack

pytestmark = pytest.mark.e2e
SignIn = Callable[..., Page]


def asked(stack: Stack, model: str) -> str:
    """Path of a request that waits for one approval with a fresh proof."""
    stack.probe("signed_policy", model)
    stack.make_version(model)
    stack.wait_for("the mirror", lambda: "1" in stack.probe("mirrored", model))
    return f"/requests/{stack.probe('open_request', model, 1)}/"


@pytest.fixture(autouse=True)
def without_factors_afterwards(stack: Stack) -> Iterator[None]:
    yield
    for name in ("Remy Ortiz", "Rosa Lind"):
        stack.probe("forget_factors", name)


def give_password(page: Page) -> None:
    page.wait_for_url(re.compile("/reauthenticate/"))
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()


def decide(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_label("Meaning of my signature").select_option("approved")
    page.get_by_role("textbox", name=re.compile("Comment", re.IGNORECASE)).first.fill("Read and compared.")
    page.get_by_role("button", name=re.compile("^Approve")).click()
    page.wait_for_url(re.compile("/reauthenticate/"))


def expect_signed_with(page: Page, method: str) -> None:
    expect(page.get_by_text(re.compile(f"meaning approved · proved by {method}")).first).to_be_visible(timeout=30_000)
    expect(page.get_by_text("Read and compared.").first).to_be_visible()


def code_now(secret: str) -> str:
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))


def test_a_passkey(stack: Stack, sign_in: SignIn) -> None:
    """At localhost, since browsers give passkeys to names alone, and without TLS to this one alone."""
    site = stack.url.replace("127.0.0.1", "localhost")
    remy = sign_in("remy", url=site)
    devtools = remy.context.new_cdp_session(remy)
    devtools.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    options |= {"isUserVerified": True, "automaticPresenceSimulation": True}
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    remy.goto(f"{site}/accounts/2fa/webauthn/add/")
    give_password(remy)
    remy.wait_for_url(re.compile("/webauthn/add/"))
    remy.get_by_label("Name").fill("Laptop")
    remy.get_by_role("button", name="Add").click()
    remy.wait_for_url(re.compile("/2fa/(recovery-codes/)?"))

    address = asked(stack, "proof_passkey")
    stack.probe("age_proofs", "Remy Ortiz", 600)
    decide(remy, f"{site}{address}")
    remy.get_by_role("link", name="Use a security key").click()
    remy.get_by_role("button", name="Use a security key").click()
    expect_signed_with(remy, "passkey")


def test_an_authenticator_app(stack: Stack, sign_in: SignIn) -> None:
    rosa = sign_in("rosa")
    rosa.goto(f"{stack.url}/accounts/2fa/totp/activate/")
    give_password(rosa)
    secret = rosa.get_by_label("Authenticator secret").input_value()
    assert base64.b32decode(secret)
    used = code_now(secret)
    rosa.get_by_label("Authenticator code").fill(used)
    rosa.get_by_role("button", name="Activate").click()
    rosa.wait_for_url(re.compile("/2fa/(recovery-codes/)?$"))

    address = asked(stack, "proof_app")  # takes a while, and each code serves once
    stack.probe("age_proofs", "Rosa Lind", 600)
    decide(rosa, f"{stack.url}{address}")
    rosa.get_by_role("link", name="Use authenticator app or code").click()
    while (code := code_now(secret)) == used:
        time.sleep(0.5)
    rosa.get_by_label("Code").fill(code)
    rosa.get_by_role("button", name="Confirm").click()
    expect_signed_with(rosa, "authenticator app")
