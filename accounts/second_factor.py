"""Who needs a second factor because of their role (COUNTERSIGN_MFA_REQUIRED_FOR) and came without one. It is noted at
sign-in, so a page asks the database only for those who may owe it; sessions from before stay as they are."""

from typing import Any

from allauth.account.authentication import get_authentication_records
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.http import HttpRequest

from accounts import proxy
from accounts.models import User

KEY = "without_second_factor"
"""In the session of whoever came without one."""

FACTORS = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
STRONG = frozenset({"mfa", "hwk", "otp"})
"""One of these in the claim `amr` says that the provider asked for more than a password (RFC 8176)."""


def needed_for(groups: Any) -> frozenset[str]:
    """Which of these names of groups need one."""
    return frozenset(settings.MFA_REQUIRED_FOR).intersection(groups)


def note(request: HttpRequest, user: User) -> None:
    """At sign-in: how they came."""
    records = get_authentication_records(request, user)
    by_proxy = settings.OIDC_MFA_TRUSTED and proxy.KEY in request.session
    is_strong = by_proxy or any(each["method"] == "mfa" for each in records) or _trusted(records)
    _keep(request, is_weak=not is_strong)


def note_removal(request: HttpRequest, user: User, **_: Any) -> None:
    """Receiver of allauth's `authenticator_removed`: with the last one goes what they came with."""
    if not is_mfa_enabled(user, FACTORS):
        _keep(request, is_weak=not _trusted(get_authentication_records(request, user)))


def is_owed(request: HttpRequest) -> bool:
    """Whether they have to add one before anything else. No query but for those who came without."""
    user: Any = request.user
    if not request.session.get(KEY) or not needed_for(user.group_names):
        return False
    if is_mfa_enabled(user, FACTORS):  # since added
        _keep(request, is_weak=False)
        return False
    return True


def _keep(request: HttpRequest, *, is_weak: bool) -> None:
    if is_weak:
        request.session[KEY] = True
    else:
        request.session.pop(KEY, None)


def _trusted(records: list[dict[str, Any]]) -> bool:
    """Whether they came through a provider that is trusted to ask for two, or says that it did."""
    through = [each for each in records if each["method"] == "socialaccount"]
    if not through or settings.OIDC_MFA_TRUSTED:
        return bool(through)
    account = SocialAccount.objects.filter(provider=through[0]["provider"], uid=through[0]["uid"]).first()
    said = account.extra_data.get("id_token", {}).get("amr", []) if account else []
    return bool(STRONG.intersection(said))
