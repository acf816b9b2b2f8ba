"""The security log: who came in, who was refused, and what was changed of how people prove who they are. One line each,
at whatever COUNTERSIGN_LOG_LEVEL. People are in it by their number; passwords, codes, tokens, paths and what strangers
type are not. docs/operations.md lists the events."""

import hashlib
from enum import StrEnum
from typing import Any

import structlog
from allauth.account.adapter import get_adapter
from allauth.core import context
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import transaction
from django.dispatch import Signal
from django.http import HttpRequest

LOGGER = "security"

recorded = Signal()
"""Sent with each line: `event` (an Event) and `facts` (those of the line)."""

_logger = structlog.get_logger(LOGGER)


class Event(StrEnum):
    SIGNIN_OK = "signin.ok"
    SIGNIN_FAILED = "signin.failed"
    SIGNIN_LIMITED = "signin.limited"
    SIGNOUT = "signout"
    SESSION_ENDED = "session.ended"
    REAUTH_OK = "reauth.ok"
    REAUTH_FAILED = "reauth.failed"
    PASSWORD_CHANGED = "password.changed"
    PASSWORD_RESET_ASKED = "password.reset_asked"
    PASSWORD_RESET = "password.reset"
    FACTOR_ADDED = "factor.added"
    FACTOR_REMOVED = "factor.removed"
    FACTOR_RESET = "factor.reset"
    ADDRESS_CHANGED = "address.changed"
    PROVIDER_LINKED = "provider.linked"
    PROVIDER_UNLINKED = "provider.unlinked"
    IDENTITY_CLAIMS_APPLIED = "identity.claims_applied"
    IDENTITY_CLAIM_MISSING = "identity.claim_missing"
    IDENTITY_ADMINISTRATOR_KEPT = "identity.administrator_kept"
    ACCOUNT_DEACTIVATED = "account.deactivated"
    TOKEN_MADE = "token.made"
    TOKEN_REVOKED = "token.revoked"
    TOKEN_REFUSED = "token.refused"
    DENIED = "denied"
    CALLBACK_REFUSED = "callback.refused"
    EXPORT_MADE = "export.made"


def record(event: Event, request: HttpRequest | None = None, *, person: int | None = None, **facts: Any) -> None:
    """Writes the line. `person` is the number of whom it is about; None: who is signed in, if anybody. `request` None:
    the one that this thread answers, if any. `facts` hold what the event's row in docs/operations.md names."""
    request = request or context.request
    told: dict[str, Any] = {"person": person}
    if request is not None:
        told["person"] = person or number_of(request)
        told |= {"address": address_of(request), "session": _session_of(request)}
    told |= {name: str(value) if isinstance(value, StrEnum) else value for name, value in facts.items()}
    _logger.info(str(event), **told)
    recorded.send(sender=Event, event=event, facts=told)


def record_once_committed(event: Event, **facts: Any) -> None:
    """The same for what a transaction changes: no line of what was rolled back."""
    request = context.request
    transaction.on_commit(lambda: record(event, request, **facts))


def note_denial(request: HttpRequest, rule: str) -> None:
    """Keeps why this request is answered 403 (a permission, or the sentence of a rule) for the line `denied`."""
    request.denied = rule  # type: ignore[attr-defined]


def denial_of(request: HttpRequest) -> str:
    return str(getattr(request, "denied", ""))


def number_of(request: HttpRequest) -> int | None:
    """Of the person or service account that asks; None where nobody has looked, so that this asks no database."""
    by_token = getattr(getattr(request, "auth", None), "user", None)
    user = by_token or getattr(request, "_cached_user", None)
    return user.pk if user is not None and user.is_authenticated else None


def address_of(request: HttpRequest) -> str:
    """The client's, past the proxies that are trusted; "" where it is not known."""
    try:
        return str(get_adapter().get_client_ip(request))[:45]
    except (ImproperlyConfigured, PermissionDenied):  # fewer proxies than said, or a socket
        return str(request.META.get("REMOTE_ADDR") or "")[:45]


def _session_of(request: HttpRequest) -> str:
    """By which lines of one session are known to belong together, and no session can be taken over."""
    key = getattr(getattr(request, "session", None), "session_key", None)
    return hashlib.sha256(key.encode()).hexdigest()[:8] if key else ""
