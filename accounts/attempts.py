"""How often passwords may be tried, so that guessing is hopeless and no stranger can keep a person out.

Who is known in this browser (`devices`) has tries of their own. All others share those for the account, and those from
one address. A try is counted before it is made, and given back when the password was right.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from allauth.account import signals
from allauth.core.internal.ratelimit import truncate_ip
from django.http import HttpRequest

from accounts import devices, limits
from accounts.models import User
from accounts.security_log import address_of

BY_DEVICE = (5, 300)
"""So many within so many seconds, of one account in a browser where it is known."""

BY_STRANGERS = (20, 3600)
"""Of one account, from everywhere else together."""

BY_ADDRESS = (10, 60)
"""From one address, for whatever account."""

PROOFS = (5, 3600)
"""Wrong proofs of identity in one session; the last of them ends it."""


class TooMany(Exception):
    def __init__(self, seconds: float, person: int | None) -> None:
        super().__init__()
        self.person = person
        """Whose account it was."""

        self.minutes = max(1, -int(-seconds // 60))
        """To wait."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try that was counted."""

    counted: tuple[tuple[str, int], ...]

    def rollback(self) -> None:
        """It was no guess. By this name django-allauth asks for it."""
        for key, seconds in self.counted:
            limits.hit(key, seconds, -1)


def begin(request: HttpRequest, email: str) -> Attempt:
    """Counts a try at this account. Raises TooMany."""
    person: User | None = User.objects.filter(email__iexact=email).first()
    account = str(person.pk) if person else hashlib.sha256(email.lower().encode()).hexdigest()
    device = devices.of(request, person)
    wanted = (
        [(f"device:{account}:{device}", BY_DEVICE)]
        if device
        else [
            (f"address:{truncate_ip(address_of(request))}", BY_ADDRESS),
            (_strangers(account), BY_STRANGERS),
        ]
    )
    counted: list[tuple[str, int]] = []
    for key, (most, seconds) in wanted:
        count, left = limits.hit(key, seconds)
        # Those from one address come first: beyond its limit it takes none of the account's away.
        if count > most:
            raise TooMany(left, person.pk if person else None)
        counted.append((key, seconds))
    return Attempt(tuple(counted))


def count_proof(request: HttpRequest) -> bool:
    """Counts a proof that is about to be tried in this session; False when there were too many wrong ones."""
    request.proofs = limits.hit(_proofs(request), PROOFS[1])[0]  # type: ignore[attr-defined]
    return bool(request.proofs <= PROOFS[0])  # type: ignore[attr-defined]


def was_last_proof(request: HttpRequest) -> bool:
    """Whether this request tried one, it was wrong, and there are to be no more."""
    return getattr(request, "proofs", 0) >= PROOFS[0]


def connect() -> None:
    """Called once, when the app is ready."""
    signals.authentication_step_completed.connect(_proven, dispatch_uid="attempts")


def forget_proofs(request: HttpRequest) -> None:
    """The one that was tried was right."""
    request.proofs = 0  # type: ignore[attr-defined]
    limits.forget(_proofs(request))


def _proven(request: HttpRequest, **told: Any) -> None:
    if told.get("reauthenticated") and hasattr(request, "proofs"):
        forget_proofs(request)


def _proofs(request: HttpRequest) -> str:
    return f"proofs:{hashlib.sha256(str(request.session.session_key).encode()).hexdigest()}"


def forget(person: User) -> None:
    """What strangers tried does not count any more: the person has proved to own the address."""
    limits.forget(_strangers(str(person.pk)))


def _strangers(account: str) -> str:
    return f"strangers:{account}"
