"""Browsers in which a person has signed in before: a signed cookie, of this person alone, until their password changes.
What strangers try elsewhere does not keep the person out here. It signs no one in."""

import secrets
from typing import Any

from allauth.account import signals
from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.core.signing import BadSignature
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare, salted_hmac

from accounts.models import User

COOKIE, SALT = "countersign_device", "accounts.devices"
SECONDS = 180 * 24 * 3600


def connect() -> None:
    """Called once, when the app is ready."""
    user_logged_in.connect(_known, dispatch_uid=SALT)
    for signal in (signals.password_changed, signals.password_set, signals.password_reset):
        signal.connect(_known, dispatch_uid=SALT)


def of(request: HttpRequest, person: User | None) -> str:
    """The number of this browser, if this person is known in it, or else ""."""
    try:
        told = request.get_signed_cookie(name(), default="", salt=SALT, max_age=SECONDS)
    except BadSignature:
        return ""
    number, _, rest = str(told).partition(":")
    device, _, fingerprint = rest.partition(":")
    if person is None or number != str(person.pk) or not constant_time_compare(fingerprint, _fingerprint(person)):
        return ""
    return device


def remember(request: HttpRequest, response: HttpResponse) -> None:
    """Gives the browser the cookie, where this request has signed somebody in or changed their password."""
    person: User | None = getattr(request, "known_person", None)
    if person is not None:
        response.set_signed_cookie(
            name(),
            f"{person.pk}:{of(request, person) or secrets.token_hex(8)}:{_fingerprint(person)}",
            salt=SALT,
            max_age=SECONDS,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )


def name() -> str:
    return f"{settings.COOKIE_PREFIX}{COOKIE}"


def _known(request: HttpRequest, user: Any, **_: Any) -> None:
    request.known_person = user  # type: ignore[attr-defined]


def _fingerprint(person: User) -> str:
    return salted_hmac(SALT, person.password).hexdigest()[:16]
