"""Proof of identity at the identity provider: there and back, and what is believed of its answer.

django-allauth has the way there and back but no such proof: it takes people who sign in through a provider alone for
proven. It checks the state (bound to the session, used once), PKCE and the ID token's issuer, audience and expiry; not
the token's signature, since it fetches the token itself over TLS. Ours are the nonce, the subject and the time of the
sign-in there, out of the claims that `claims` let through.
"""

import secrets
import time
from typing import Any

import requests
from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.login import record_authentication
from allauth.account.internal.flows.reauthentication import resume_request
from allauth.socialaccount.models import SocialAccount, SocialApp
from allauth.socialaccount.providers.base.constants import AuthError
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode

from accounts import claims, security_log
from accounts.security_log import Event

PROCESS = "prove"
"""The `process` of allauth's state. Anyone who comes back with it is never signed in, whatever else is true of them."""

METHOD = "socialaccount"
CLOCK_SKEW_SECONDS = 60
"""So far the provider's clock may be from ours."""

NOTHING_DONE = "No changes were made; your input is kept."


def linked(user: Any) -> tuple[SocialAccount, Any] | None:
    """The person's account at the provider that is configured, and the provider; None if they have none."""
    if not user.is_authenticated:
        return None
    for account in SocialAccount.objects.filter(user=user).order_by("pk"):
        try:
            return account, account.get_provider()
        except SocialApp.DoesNotExist:  # the installation no longer uses that provider
            continue
    return None


def came_lately(request: HttpRequest, within: float) -> bool:
    """Whether the person of this session came from the provider in the last `within` seconds."""
    user: Any = request.user
    records = get_authentication_records(request, user)
    return any(each["method"] == METHOD and time.time() - each["at"] < within for each in records)


def begin(request: HttpRequest, next_url: str) -> HttpResponse:
    """Leads to the provider, which is to make them sign in now. `next_url` is an address here, known to be safe.
    Raises ValueError for a person without an account there."""
    found = linked(request.user)
    if found is None:
        raise ValueError("You need an account at the provider.")
    _, provider = found
    nonce = secrets.token_urlsafe(24)
    asked = provider.get_auth_params() | {"prompt": "login", "max_age": "0", "nonce": nonce}
    data = {"nonce": nonce, "asked_at": time.time()}
    try:
        there: HttpResponse = provider.redirect(
            request, process=PROCESS, next_url=next_url, data=data, auth_params=asked
        )
    except requests.RequestException:
        return _again(request, next_url, f"{provider.name} did not answer.")
    except claims.Unusable as error:
        return _again(request, next_url, f"{provider.name} {error}")
    return there


def finish(request: HttpRequest, sociallogin: Any) -> HttpResponse:
    """What they came back with: noted as proof and what they were about to do done, or else the reason why not."""
    next_url = sociallogin.state.get("next") or reverse(settings.LOGIN_REDIRECT_URL)
    told: dict[str, Any] = sociallogin.account.extra_data["id_token"]
    state = sociallogin.state.get("data") or {}
    reason = _not_this_person(request, sociallogin) or _not_this_time(told, state)
    if reason:
        security_log.record(Event.REAUTH_FAILED, request, method="provider", reason=reason)
        return _again(request, next_url, f"{sociallogin.provider.name} {reason}")
    user: Any = request.user
    record_authentication(
        request,
        user,
        METHOD,
        reauthenticated=True,
        at=min(float(told["auth_time"]), time.time()),
        provider=sociallogin.account.provider,
        uid=sociallogin.account.uid,
    )
    query = request.GET.copy()
    query[REDIRECT_FIELD_NAME] = next_url  # where allauth's own pages of proof have it
    request.GET = query  # type: ignore[assignment]
    done: HttpResponse | None = resume_request(request)
    return done or redirect(next_url)


def failed(request: HttpRequest, provider: Any, state: dict[str, Any], error: str | None, why: Any) -> HttpResponse:
    """They refused to sign in there, or the provider did not answer as it should; `why` is the exception, if any."""
    reason = "did not let you in." if error == AuthError.CANCELLED else "refused, or could not be reached."
    reason = str(why) if isinstance(why, claims.Unusable) else reason
    return _again(request, state.get("next") or "", f"{provider.name} {reason}")


def _not_this_person(request: HttpRequest, sociallogin: Any) -> str:
    """Why this is not the account that belongs to the person who is signed in here; empty if it is."""
    account = sociallogin.account
    mine = SocialAccount.objects.filter(user_id=request.user.pk, provider=account.provider, uid=account.uid)
    if not request.user.is_authenticated or not mine.exists():
        return "signed you in as a different person: use the same account as here."
    return ""


def _not_this_time(told: dict[str, Any], state: dict[str, Any]) -> str:
    """Why it is not known that they signed in there after we sent them; empty if it is."""
    if not state.get("nonce") or not secrets.compare_digest(told.get("nonce", "").encode(), state["nonce"].encode()):
        return "sent an unexpected answer."
    signed_in_at = told.get("auth_time")
    if signed_in_at is None:
        return (
            "did not report when you signed in, which is required as proof. Ask an administrator, or use another proof."
        )
    if not state["asked_at"] - CLOCK_SKEW_SECONDS <= signed_in_at <= time.time() + CLOCK_SKEW_SECONDS:
        return "did not ask you to sign in again, which is required as proof."
    return ""


def _again(request: HttpRequest, next_url: str, reason: str) -> HttpResponse:
    messages.error(request, f"{reason} {NOTHING_DONE}")
    return redirect(f"{reverse('reauthenticate_at_provider')}?{urlencode({REDIRECT_FIELD_NAME: next_url})}")
