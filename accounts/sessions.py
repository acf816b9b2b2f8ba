"""Sessions of people: how long one lasts, where each is, and how it ends before its person signs out."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from allauth.account import signals as account
from allauth.mfa import signals as mfa
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.models import Session
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from accounts import security_log
from accounts.models import User
from accounts.security_log import Event

STARTED, SEEN = "signed_in_at", "seen_at"
"""In the session: when its person signed in, and when they last did anything, in seconds since 1970."""

EVERY = 300
"""So often, in seconds, it is written that a session is used."""

BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)  # fmt: skip
"""How they are known by what browsers say of themselves, the first that fits."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One line of the page *Sessions*."""

    number: int
    browser: str
    address: str
    started: datetime
    seen: datetime
    is_this: bool


def connect() -> None:
    """Called once, when the app is ready."""
    user_logged_in.connect(_begin, dispatch_uid="sessions")
    user_logged_out.connect(_over, dispatch_uid="sessions")
    for signal in (account.password_changed, account.password_set, mfa.authenticator_added, mfa.authenticator_removed):
        signal.connect(_end_others, dispatch_uid="sessions")
    account.password_reset.connect(_end_all, dispatch_uid="sessions")


def why_over(request: HttpRequest) -> str:
    """Why this session of a person is over: `absolute`, `idle`, or "" while it is not."""
    now, session = time.time(), request.session
    if now - session.get(STARTED, 0) > settings.SESSION_COOKIE_AGE:
        return "absolute"
    # What is written only every few minutes is taken to be as late as it can have been.
    return "idle" if now - session.get(SEEN, 0) > settings.SESSION_IDLE_SECONDS + EVERY else ""


def touch(request: HttpRequest) -> None:
    """Notes that its person does something here. What a page asks by itself, now and then, is not theirs."""
    now = time.time()
    is_theirs = request.method == "POST" or not request.headers.get("HX-Request")
    if is_theirs and now - request.session.get(SEEN, 0) > EVERY:
        request.session[SEEN] = now
        UserSession.objects.filter(session_key=request.session.session_key).update(last_seen_at=timezone.now())


def end(request: HttpRequest, reason: str) -> None:
    """Ends the session of this request, which goes on as nobody's. `reason` is for the security log."""
    security_log.record(Event.SESSION_ENDED, request, person=request.user.pk, reason=reason)
    UserSession.objects.filter(session_key=request.session.session_key).delete()
    request.session.flush()
    request.user = AnonymousUser()
    request._cached_user = request.user  # type: ignore[attr-defined]  # noqa: SLF001  what has been looked up already


def end_all(person: User, reason: str, *, but: str | None = None, numbers: Iterable[int] | None = None) -> int:
    """Ends the sessions of a person, or those of them with these numbers, in the caller's transaction; `but` is the key
    of one that stays. Returns how many."""
    found = UserSession.objects.filter(user=person).exclude(session_key=but or "")
    if numbers is not None:
        found = found.filter(pk__in=list(numbers))
    keys = list(found.values_list("session_key", flat=True))
    with transaction.atomic():
        # No two at once end, and tell of, the same.
        ended = Session.objects.filter(session_key__in=keys).delete()[0]
        UserSession.objects.filter(session_key__in=keys).delete()
    if ended:
        told = {"person": person.pk, "reason": reason, "sessions": ended}
        security_log.record_once_committed(Event.SESSION_ENDED, **told)
    return ended


def of(person: User, this: str | None) -> list[Shown]:
    """Those that are open, the last used first; `this` is the key of the one that asks. Two queries."""
    rows = list(UserSession.objects.filter(user=person).order_by("-last_seen_at", "-pk"))
    there = Session.objects.filter(session_key__in=[row.session_key for row in rows], expire_date__gt=timezone.now())
    live = set(there.values_list("session_key", flat=True))
    return [
        Shown(row.pk, browser_of(row.user_agent), row.ip, row.created_at, row.last_seen_at, row.session_key == this)
        for row in rows
        if row.session_key in live and not _is_over(row, timezone.now())
    ]


def browser_of(told: str) -> str:
    """What a browser says of itself, in words: `Firefox on Linux`."""
    browser = next((words for mark, words in BROWSERS if mark in told), "")
    system = next((words for mark, words in SYSTEMS if mark in told), "")
    return " on ".join(each for each in (browser or "Unknown browser", system) if each)


def _is_over(row: UserSession, now: datetime) -> bool:
    """What `why_over` would say when it is next used."""
    age, rest = now - row.created_at, now - row.last_seen_at
    too_long = settings.SESSION_IDLE_SECONDS + EVERY
    return bool(age.total_seconds() > settings.SESSION_COOKIE_AGE or rest.total_seconds() > too_long)


def _begin(request: HttpRequest, **_: Any) -> None:
    request.session[STARTED] = request.session[SEEN] = time.time()


def _over(request: HttpRequest, **_: Any) -> None:
    if getattr(request, "session", None) is not None and request.session.session_key:
        UserSession.objects.filter(session_key=request.session.session_key).delete()
        request.is_signed_out = True  # type: ignore[attr-defined]


def _end_others(request: HttpRequest, user: Any, **_: Any) -> None:
    end_all(user, "way to sign in changed", but=request.session.session_key)


def _end_all(user: Any, **_: Any) -> None:
    end_all(user, "way to sign in changed")
