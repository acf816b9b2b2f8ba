"""Fresh proof of identity for a signature: what counts, how old it is, and how to ask for it without losing what was
typed. On django-allauth's own pages and records."""

from datetime import UTC, datetime
from typing import Any

from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.reauthentication import get_reauthentication_flows, suspend_request
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from registry_ui.accounts.models import User

METHODS = {
    "password": "password",
    "totp": "authenticator app",
    "webauthn": "passkey",
    "recovery_codes": "recovery code",
}
"""What counts as proof, by allauth's names. Coming from an identity provider does not: it may ask for nothing."""


def can_prove(user: User) -> bool:
    """Whether this person has a password or a second factor here. allauth's `did_recently_reauthenticate` says yes for
    those who have neither, so it must not be asked."""
    return bool(get_reauthentication_flows(user))


def last_proof(request: HttpRequest) -> tuple[str, datetime] | None:
    """How and when (aware) the person of this session last proved who they are; None if they did not in it."""
    user: Any = request.user
    for record in reversed(get_authentication_records(request, user)):
        method = record.get("type") if record.get("method") == "mfa" else record.get("method")
        if method in METHODS:
            return METHODS[method], datetime.fromtimestamp(float(record["at"]), UTC)
    return None


def ask(request: HttpRequest) -> HttpResponse:
    """Leads to the page that asks for the proof. The POST is kept in the session and done after it."""
    answer: HttpResponse = suspend_request(request, reverse("account_reauthenticate"))
    return answer
