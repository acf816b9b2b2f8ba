"""Fresh proof of identity for a signature: what counts, how old it is, and how to ask for it without losing what was
typed. On django-allauth's own pages and records."""

from datetime import UTC, datetime
from typing import Any

from allauth.account import app_settings
from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.reauthentication import get_reauthentication_flows, suspend_request
from django.http import HttpRequest, HttpResponse

from accounts import at_provider
from accounts.models import User

METHODS = {
    "password": "password",
    "totp": "authenticator app",
    "webauthn": "passkey",
    "recovery_codes": "recovery code",
    at_provider.METHOD: "identity provider",
}
"""What counts as proof, by allauth's names. Signing in through an identity provider does not: it may ask for nothing.
Proving it there does, since it then says when it asked (`at_provider`)."""


def can_prove(user: User) -> bool:
    """Whether this person has a password, a second factor or an account at the identity provider. allauth's
    `did_recently_reauthenticate` says yes for those without the first two, so it must not be asked."""
    return bool(get_adapter().get_reauthentication_methods(user))


def last_proof(request: HttpRequest) -> tuple[str, datetime] | None:
    """How and when (aware) the person of this session last proved who they are; None if they did not in it."""
    user: Any = request.user
    for record in reversed(get_authentication_records(request, user)):
        method = record.get("type") if record.get("method") == "mfa" else record.get("method")
        if method == at_provider.METHOD and not record.get("reauthenticated"):
            continue
        if method in METHODS:
            return METHODS[method], datetime.fromtimestamp(float(record["at"]), UTC)
    return None


def ask(request: HttpRequest) -> HttpResponse:
    """Leads to the page that asks for the proof. The POST is kept in the session and done after it."""
    methods = get_adapter().get_reauthentication_methods(request.user)
    answer: HttpResponse = suspend_request(request, methods[0]["url"])
    return answer


def is_owed_to_provider(request: HttpRequest) -> bool:
    """Whether a person who signs in through the provider alone has to come from there first, because they last did
    longer ago than allauth lets a proof be old. Else anyone who finds their session open could add a passkey or a
    password of their own to it, and prove with that to be them."""
    user: Any = request.user
    if get_reauthentication_flows(user) or at_provider.linked(user) is None:
        return False
    return not at_provider.came_lately(request, app_settings.REAUTHENTICATION_TIMEOUT)
