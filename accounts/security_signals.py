"""What Django and django-allauth signal, as lines of the security log."""

from typing import Any

from allauth.account import signals as account
from allauth.account.authentication import get_authentication_records
from allauth.mfa import signals as mfa
from allauth.socialaccount import signals as social
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest

from accounts.security_log import Event, record

NAMES = {"socialaccount": "provider", "webauthn": "passkey", "password_reset": "link"}
"""Ways to prove who one is, by allauth's names, where ours are others."""


def connect() -> None:
    """Called once, when the app is ready."""
    user_logged_in.connect(_signed_in, dispatch_uid="security_log")
    user_logged_out.connect(_signed_out, dispatch_uid="security_log")
    account.authentication_step_completed.connect(_proven, dispatch_uid="security_log")
    account.password_changed.connect(_password_changed, dispatch_uid="security_log")
    account.password_set.connect(_password_changed, dispatch_uid="security_log")
    account.password_reset.connect(_password_reset, dispatch_uid="security_log")
    account.email_changed.connect(_address_changed, dispatch_uid="security_log")
    mfa.authentication_failed.connect(_code_refused, dispatch_uid="security_log")
    mfa.authenticator_added.connect(_factor_added, dispatch_uid="security_log")
    mfa.authenticator_removed.connect(_factor_removed, dispatch_uid="security_log")
    mfa.authenticator_reset.connect(_factor_reset, dispatch_uid="security_log")
    social.social_account_added.connect(_provider_linked, dispatch_uid="security_log")
    social.social_account_removed.connect(_provider_unlinked, dispatch_uid="security_log")


def method_of(request: HttpRequest, user: Any) -> str:
    """How this session was signed in: `password`, `password+totp`, `passkey`, `provider`, `link`; "" if unknown."""
    if not hasattr(request, "session"):
        return ""
    records = [each for each in get_authentication_records(request, user) if not each.get("reauthenticated")]
    kinds = (each.get("type") if each.get("method") == "mfa" else each.get("method") for each in records)
    return "+".join(dict.fromkeys(NAMES.get(str(kind), str(kind)) for kind in kinds))


def _signed_in(request: HttpRequest, user: Any, **_: Any) -> None:
    record(Event.SIGNIN_OK, request, person=user.pk, method=method_of(request, user))


def _signed_out(request: HttpRequest, user: Any, **_: Any) -> None:
    if user is not None:
        record(Event.SIGNOUT, request, person=user.pk)


def _proven(request: HttpRequest, method: str, user: Any, **told: Any) -> None:
    if told.get("reauthenticated"):
        kind = str(told.get("type") or method)
        record(Event.REAUTH_OK, request, person=user.pk, method=NAMES.get(kind, kind))


def _code_refused(request: HttpRequest, user: Any, reauthentication: bool = False, **_: Any) -> None:
    event = Event.REAUTH_FAILED if reauthentication else Event.SIGNIN_FAILED
    record(event, request, person=user.pk, method="code")


def _password_changed(request: HttpRequest, user: Any, **_: Any) -> None:
    record(Event.PASSWORD_CHANGED, request, person=user.pk)


def _password_reset(request: HttpRequest, user: Any, **_: Any) -> None:
    record(Event.PASSWORD_RESET, request, person=user.pk)


def _address_changed(request: HttpRequest, user: Any, **_: Any) -> None:
    record(Event.ADDRESS_CHANGED, request, person=user.pk)


def _factor_added(request: HttpRequest, user: Any, authenticator: Any, **_: Any) -> None:
    record(Event.FACTOR_ADDED, request, person=user.pk, factor=_kind_of(authenticator))


def _factor_removed(request: HttpRequest, user: Any, authenticator: Any, **_: Any) -> None:
    record(Event.FACTOR_REMOVED, request, person=user.pk, factor=_kind_of(authenticator))


def _factor_reset(request: HttpRequest, user: Any, authenticator: Any, **_: Any) -> None:
    record(Event.FACTOR_RESET, request, person=user.pk, factor=_kind_of(authenticator))


def _provider_linked(request: HttpRequest, sociallogin: Any, **_: Any) -> None:
    account_there = sociallogin.account
    record(Event.PROVIDER_LINKED, request, person=account_there.user_id, provider=account_there.provider)


def _provider_unlinked(request: HttpRequest, socialaccount: Any, **_: Any) -> None:
    record(Event.PROVIDER_UNLINKED, request, person=socialaccount.user_id, provider=socialaccount.provider)


def _kind_of(authenticator: Any) -> str:
    return NAMES.get(str(authenticator.type), str(authenticator.type))
